//! What one pass sees of a Redis Cluster.

use std::collections::{BTreeMap, BTreeSet};

/// A pod of a shard, as Kubernetes and its Redis tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Name of the pod.
    pub name: String,
    /// Number of its shard, from 0.
    pub shard: u32,
    /// Address it has now.
    pub ip: String,
    /// Id of its Redis node; `None` where it does not answer.
    pub id: Option<String>,
}

/// A node as the cluster knows it: a line of `CLUSTER NODES`, joined over all nodes that answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Id of the node.
    pub id: String,
    /// Address at which all the others know it; `None` where some know it at another, or not at all.
    pub ip: Option<String>,
    /// What it does.
    pub role: Role,
    /// Slots it owns; none where it is a replica.
    pub slots: BTreeSet<u16>,
    /// Slots of its own that it was told to give away and that are not yet given, each with the id of the node that
    /// was to get it and may hold some of its keys.
    pub leaving: BTreeMap<u16, String>,
}

/// Says what a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Owns slots, or may.
    Primary,
    /// Copies the node of this id.
    Replica(String),
}

/// Holds what one pass sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The pods, by shard and ordinal.
    pub pods: Vec<Pod>,
    /// The nodes.
    pub nodes: Vec<Known>,
    /// Whether most primaries have been gone for over 30 s: then nobody is left to vote, and a replica takes over.
    pub majority_lost: bool,
}

impl View {
    /// Returns the node of a pod that answers.
    pub fn node(&self, pod: &Pod) -> Option<&Known> {
        self.by_id(pod.id.as_ref()?)
    }

    /// Returns a node by its id.
    pub fn by_id(&self, id: &str) -> Option<&Known> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Returns the pod that a node runs in, if it answers.
    pub fn pod(&self, node: &Known) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.id.as_deref() == Some(&node.id))
    }

    /// Returns the replicas of a node that answer.
    pub fn replicas<'a>(&'a self, node: &'a Known) -> impl Iterator<Item = &'a Pod> {
        let copies = |known: &&Known| matches!(&known.role, Role::Replica(of) if *of == node.id);
        self.nodes.iter().filter(copies).filter_map(|known| self.pod(known))
    }
}
