//! One move at a time.

use std::collections::BTreeSet;

use super::{
    SLOTS,
    view::{Known, Pod, Role, View},
};
use crate::count::size;

/// Most slots of one move: a pass stays short, and another need is seen soon.
const BATCH: usize = 400;

/// What is wanted of a managed Redis Cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Shards that own slots, at least 1.
    pub shards: u32,
    /// Pod that is to restart next, if any: it must be no primary with slots by then.
    pub restart: Option<String>,
}

/// One move; pods are named, nodes that no pod runs are given by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// A replica takes over without a vote: `CLUSTER FAILOVER TAKEOVER`.
    TakeOver(String),
    /// The others get to know a pod, or its new address: `CLUSTER MEET`.
    Meet(String),
    /// All nodes forget one that no pod runs: `CLUSTER FORGET`.
    Forget(String),
    /// A pod copies another: `CLUSTER REPLICATE`.
    Replicate {
        /// Pod that copies.
        pod: String,
        /// Pod that is copied.
        of: String,
    },
    /// A pod gets slots that nobody owns: `CLUSTER ADDSLOTS`.
    Assign {
        /// Pod that gets them.
        pod: String,
        /// The slots.
        slots: BTreeSet<u16>,
    },
    /// Slots go from one pod to another, keys and all.
    MoveSlots {
        /// Pod that owns them.
        from: String,
        /// Pod that gets them.
        to: String,
        /// The slots, at most 400.
        slots: BTreeSet<u16>,
    },
    /// A pod keeps slots that it was told to give to a node which cannot take them: `CLUSTER SETSLOT … STABLE`.
    Keep {
        /// Pod that owns them.
        pod: String,
        /// The slots, at most 400.
        slots: BTreeSet<u16>,
    },
    /// A replica takes over from its primary in agreement with it: `CLUSTER FAILOVER`.
    FailOver(String),
}

/// Returns the next move, or `None` where all is as wanted or nothing can be done until more pods answer.
pub fn plan(wanted: &Wanted, view: &View) -> Option<Move> {
    take_over(view)
        .or_else(|| meet(view))
        .or_else(|| forget(view))
        .or_else(|| replicate(view))
        .or_else(|| assign(wanted, view))
        .or_else(|| finish_open(view))
        .or_else(|| rebalance(wanted, view))
        .or_else(|| fail_over(wanted, view))
}

/// Nobody can be voted for any more: a live replica of each lost primary takes over by itself.
fn take_over(view: &View) -> Option<Move> {
    if !view.majority_lost {
        return None;
    }
    let mut lost = view.nodes.iter().filter(|node| !node.slots.is_empty() && view.pod(node).is_none());
    lost.find_map(|node| view.replicas(node).next()).map(|pod| Move::TakeOver(pod.name.clone()))
}

/// A pod that is unknown to some, or known at an address that it no longer has: all pods restarted with new addresses
/// do not find each other by themselves.
fn meet(view: &View) -> Option<Move> {
    let astray = |pod: &&Pod| {
        let known = view.node(pod).and_then(|node| node.ip.as_deref());
        pod.id.is_some() && known != Some(pod.ip.as_str())
    };
    view.pods.iter().find(astray).map(|pod| Move::Meet(pod.name.clone()))
}

/// A node that no pod runs. One with slots stays until nobody has a copy; one whose pod may only be slow stays too.
fn forget(view: &View) -> Option<Move> {
    if view.pods.is_empty() || view.pods.iter().any(|pod| pod.id.is_none()) {
        return None;
    }
    let gone =
        |node: &&Known| view.pod(node).is_none() && (node.slots.is_empty() || view.replicas(node).next().is_none());
    view.nodes.iter().find(gone).map(|node| Move::Forget(node.id.clone()))
}

/// One primary a shard: the one with most slots, else the first; the others copy it.
fn replicate(view: &View) -> Option<Move> {
    for pod in &view.pods {
        let (Some(node), Some(primary)) = (view.node(pod), primary(view, pod.shard)) else { continue };
        let copies = matches!(&node.role, Role::Replica(of) if Some(of) == primary.id.as_ref());
        // A replica of a primary that is away waits for the vote: its copy is the only one.
        let waits = matches!(&node.role, Role::Replica(of) if view.by_id(of).is_some_and(|it| !it.slots.is_empty()));
        if pod.name != primary.name && !copies && !waits && node.slots.is_empty() {
            return Some(Move::Replicate { pod: pod.name.clone(), of: primary.name.clone() });
        }
    }
    None
}

fn primary(view: &View, shard: u32) -> Option<&Pod> {
    let of_shard = view.pods.iter().filter(|pod| pod.shard == shard);
    let primaries = of_shard.filter_map(|pod| Some((pod, view.node(pod)?))).filter(|it| it.1.role == Role::Primary);
    // The first of those with most slots.
    primaries.rev().max_by_key(|(_, node)| node.slots.len()).map(|(pod, _)| pod)
}

/// The primaries of the wanted shards, those that answer.
fn primaries<'a>(wanted: &Wanted, view: &'a View) -> Vec<(&'a Pod, &'a Known)> {
    (0..wanted.shards).filter_map(|shard| primary(view, shard)).filter_map(|pod| Some((pod, view.node(pod)?))).collect()
}

/// Slots that nobody owns: when a cluster is formed, and when a shard was lost with all its copies.
fn assign(wanted: &Wanted, view: &View) -> Option<Move> {
    let owned: BTreeSet<u16> = view.nodes.iter().flat_map(|node| &node.slots).copied().collect();
    let free: Vec<u16> = (0..SLOTS).filter(|slot| !owned.contains(slot)).collect();
    let primaries = primaries(wanted, view);
    // A cluster is formed when all its shards are there, so that slots need not be moved at once.
    if free.is_empty() || (owned.is_empty() && primaries.len() < size(wanted.shards)) {
        return None;
    }
    let (pod, node) = primaries.iter().min_by_key(|(_, node)| node.slots.len()).copied()?;
    let as_empty = primaries.iter().filter(|(_, other)| other.slots.len() == node.slots.len()).count();
    let share = free.len().div_ceil(as_empty.max(1));
    Some(Move::Assign { pod: pod.name.clone(), slots: free.into_iter().take(share).collect() })
}

/// Slots whose move was begun and not ended, wherever an operator stopped: the move is ended first, to the node that has
/// some of the keys already; where that one cannot take them, the move is given up.
fn finish_open(view: &View) -> Option<Move> {
    let open = view.nodes.iter().find(|node| !node.leaving.is_empty() && view.pod(node).is_some())?;
    let from = view.pod(open)?;
    let target = open.leaving.values().next()?;
    let same = open.leaving.iter().filter(|(_, to)| *to == target).map(|(slot, _)| *slot);
    let slots = same.take(BATCH).collect();
    let to = view.by_id(target).filter(|node| node.role == Role::Primary && node.id != open.id);
    Some(match to.and_then(|node| view.pod(node)) {
        Some(to) => Move::MoveSlots { from: from.name.clone(), to: to.name.clone(), slots },
        None => Move::Keep { pod: from.name.clone(), slots },
    })
}

/// Moves slots off shards that are to go, then from the fullest to the emptiest, until they differ by one at most.
fn rebalance(wanted: &Wanted, view: &View) -> Option<Move> {
    let primaries = primaries(wanted, view);
    let (to, emptiest) = primaries.iter().min_by_key(|(_, node)| node.slots.len()).copied()?;
    let mut owners = view.nodes.iter().filter_map(|node| Some((view.pod(node)?, node)));
    let surplus = owners.find(|(pod, node)| pod.shard >= wanted.shards && !node.slots.is_empty());
    let (from, node, count) = if let Some((pod, node)) = surplus {
        (pod, node, node.slots.len())
    } else {
        let (pod, node) = primaries.iter().rev().max_by_key(|(_, node)| node.slots.len()).copied()?;
        (pod, node, (node.slots.len() - emptiest.slots.len()) / 2)
    };
    // Where a wanted shard does not answer, what it would get waits.
    let all_there = primaries.len() == size(wanted.shards);
    let slots: BTreeSet<u16> = node.slots.iter().rev().copied().take(count.min(BATCH)).collect();
    (all_there && !slots.is_empty()).then(|| Move::MoveSlots { from: from.name.clone(), to: to.name.clone(), slots })
}

/// A primary that is to restart hands over to a replica first.
fn fail_over(wanted: &Wanted, view: &View) -> Option<Move> {
    let restarts = wanted.restart.as_ref()?;
    let pod = view.pods.iter().find(|pod| pod.name == *restarts)?;
    let node = view.node(pod).filter(|node| node.role == Role::Primary && !node.slots.is_empty())?;
    view.replicas(node).next().map(|replica| Move::FailOver(replica.name.clone()))
}
