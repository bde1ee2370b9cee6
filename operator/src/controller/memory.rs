//! What the operator remembers of a cluster between passes. All of it can be found out again: an operator that starts
//! anew looks at every object once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::ResourceExt as _;
use tokio::time::Instant;

use super::admin::Token;
use crate::crd::{ChatCluster, ChatClusterStatus};
use crate::fleet::rounded;
use crate::plan::Change;
use crate::scaling::Scaler;
use crate::workload::Workload;

/// Times that one object may be written within [`CONFLICT_WITHIN`]: past it somebody else keeps writing it too.
const WRITES: usize = 5;

/// See [`WRITES`].
const CONFLICT_WITHIN: Duration = Duration::from_mins(5);

/// How long what was found out about a Secret holds.
const SECRET_FOR: Duration = Duration::from_mins(1);

/// How long a number of connections is told.
const TOLD_FOR: Duration = Duration::from_secs(30);

/// What is remembered of one object.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Fingerprint of what was wanted when it was last looked at.
    pub(super) wanted: String,
    /// Version of the object that was looked at then.
    pub(super) version: Option<String>,
    /// How far its pods were.
    pub(super) workload: Option<Workload>,
    /// Address that a load balancer has for it.
    pub(super) address: Option<String>,
    /// What differed right after it was written: how the API server writes what was sent.
    pub(super) residue: Vec<Change>,
    writes: VecDeque<Instant>,
}

impl Seen {
    /// Takes down a write. Returns false, and takes nothing down, where there were too many lately.
    pub(super) fn may_write(&mut self, now: Instant) -> bool {
        self.writes.retain(|at| now.duration_since(*at) < CONFLICT_WITHIN);
        if self.writes.len() >= WRITES {
            return false;
        }
        self.writes.push_back(now);
        true
    }
}

/// Keys of a Secret with the length of each value.
pub(super) type Keys = BTreeMap<String, usize>;

/// What is remembered of one cluster.
#[derive(Debug, Default)]
pub(super) struct ClusterMemory {
    /// The objects, by kind and name.
    pub(super) objects: BTreeMap<(&'static str, String), Seen>,
    /// The status as it was last written, and the version of the cluster that it made.
    pub(super) status: Option<(ChatClusterStatus, String)>,
    /// What was wanted of the number of gateways.
    pub(super) scaler: Option<Scaler>,
    /// The admin ports' token, and when it was read.
    pub(super) token: Option<(Instant, Token)>,
    connections: Option<(Instant, u64)>,
    /// Failures in a row.
    pub(super) failures: u32,
    secrets: BTreeMap<String, (Instant, Keys)>,
}

impl ClusterMemory {
    /// Returns the status as it is: the watch may not have seen yet what was written last.
    pub(super) fn status_of(&self, cluster: &ChatCluster) -> ChatClusterStatus {
        let watched = cluster.resource_version().unwrap_or_default();
        match &self.status {
            Some((written, version)) if is_older(&watched, version) => written.clone(),
            _ => cluster.status.clone().unwrap_or_default(),
        }
    }

    /// Returns the connections as they are told: rounded, and another number twice a minute at most.
    pub(super) fn told_connections(&mut self, now: Instant, connections: u64) -> u64 {
        match self.connections {
            Some((at, told)) if now.duration_since(at) < TOLD_FOR => told,
            _ => {
                let told = rounded(connections);
                self.connections = Some((now, told));
                told
            }
        }
    }

    /// Returns what is known of a Secret, if that is recent.
    pub(super) fn secret(&self, name: &str, now: Instant) -> Option<&Keys> {
        let (at, keys) = self.secrets.get(name)?;
        (now.duration_since(*at) < SECRET_FOR).then_some(keys)
    }

    /// Takes down what a Secret has; forgets those that nobody asks for any more.
    pub(super) fn take_secret(&mut self, name: &str, keys: Keys, now: Instant) {
        self.secrets.retain(|_, (at, _)| now.duration_since(*at) < SECRET_FOR);
        self.secrets.insert(name.to_owned(), (now, keys));
    }
}

/// The memories of all clusters, by the uid of each.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<String, Arc<tokio::sync::Mutex<ClusterMemory>>>>);

impl Memory {
    /// Returns the memory of a cluster.
    pub(super) fn of(&self, uid: &str) -> Arc<tokio::sync::Mutex<ClusterMemory>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(uid.to_owned()).or_default())
    }

    /// Forgets clusters that are gone.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| is_there(uid));
    }

    /// Returns the number of clusters that are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Tells whether one version of an object is older than another: both are from the same API server, which counts up.
pub(super) fn is_older(version: &str, other: &str) -> bool {
    match (version.parse::<u64>(), other.parse::<u64>()) {
        (Ok(version), Ok(other)) => version < other,
        _ => false,
    }
}
