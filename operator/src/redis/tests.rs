//! The planner against a simulated cluster that loses pods, addresses and operators.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Known, Move, Pod, Role, SLOTS, View, Wanted, plan};

/// Passes within which a cluster of these sizes must be as wanted.
const PASSES: usize = 400;

/// A Redis Cluster in a few words: what each node is, where it is, and who owns what.
#[derive(Debug, Clone, Default)]
struct Cluster {
    /// By name of the pod: shard, address, id.
    pods: BTreeMap<String, (u32, String, String)>,
    nodes: Vec<Known>,
    born: u32,
}

impl Cluster {
    fn new(shards: u32, replicas: u32) -> Self {
        let mut cluster = Self::default();
        for shard in 0..shards {
            cluster.add_shard(shard, replicas);
        }
        cluster
    }

    fn add_shard(&mut self, shard: u32, replicas: u32) {
        for ordinal in 0..=replicas {
            self.start(&format!("redis-{shard:02}-{ordinal}"), shard);
        }
    }

    /// Starts a pod with an empty node at a new address.
    fn start(&mut self, name: &str, shard: u32) {
        self.born += 1;
        let (ip, id) = (format!("10.0.0.{}", self.born), format!("id-{}", self.born));
        self.pods.insert(name.to_owned(), (shard, ip, id.clone()));
        let node = Known { id, ip: None, role: Role::Primary, slots: BTreeSet::new(), leaving: BTreeMap::new() };
        self.nodes.push(node);
    }

    /// A pod is deleted and comes back empty; where it was a primary with a replica, that one is voted for.
    fn lose(&mut self, name: &str) {
        let (shard, _, id) = self.pods[name].clone();
        let replica = self.nodes.iter().position(|node| node.role == Role::Replica(id.clone()) && self.lives(&node.id));
        if let Some(replica) = replica {
            self.promote(replica);
        }
        self.start(name, shard);
    }

    fn lives(&self, id: &str) -> bool {
        self.pods.values().any(|pod| pod.2 == id)
    }

    /// All pods restart with new addresses; nobody knows where the others are.
    fn readdress(&mut self) {
        for (_, ip, _) in self.pods.values_mut() {
            self.born += 1;
            *ip = format!("10.0.1.{}", self.born);
        }
    }

    fn promote(&mut self, replica: usize) {
        let Role::Replica(of) = self.nodes[replica].role.clone() else { panic!("promoted a primary") };
        let old = self.nodes.iter().position(|node| node.id == of).unwrap();
        let slots = std::mem::take(&mut self.nodes[old].slots);
        self.nodes[old].leaving.clear();
        self.nodes[replica].slots = slots;
        self.nodes[replica].role = Role::Primary;
        let id = self.nodes[replica].id.clone();
        for node in &mut self.nodes {
            if node.role == Role::Replica(of.clone()) || node.id == of {
                node.role = Role::Replica(id.clone());
            }
        }
        self.nodes[replica].role = Role::Primary;
    }

    fn view(&self) -> View {
        let pod = |(name, (shard, ip, id)): (&String, &(u32, String, String))| Pod {
            name: name.clone(),
            shard: *shard,
            ip: ip.clone(),
            id: Some(id.clone()),
        };
        View { pods: self.pods.iter().map(pod).collect(), nodes: self.nodes.clone(), majority_lost: false }
    }

    fn at(&mut self, pod: &str) -> usize {
        let id = &self.pods[pod].2;
        self.nodes.iter().position(|node| node.id == *id).unwrap()
    }

    /// Makes a move, as Redis would, and refuses what Redis would refuse.
    fn make(&mut self, step: &Move) {
        match step {
            Move::Meet(pod) => {
                let (ip, at) = (self.pods[pod].1.clone(), self.at(pod));
                self.nodes[at].ip = Some(ip);
            }
            Move::Forget(id) => {
                assert!(!self.lives(id), "forgot a node that lives");
                self.nodes.retain(|node| node.id != *id);
            }
            Move::Replicate { pod, of } => {
                let (at, of) = (self.at(pod), self.pods[of].2.clone());
                assert!(self.nodes[at].slots.is_empty(), "a node with slots cannot become a replica");
                self.nodes[at].role = Role::Replica(of);
            }
            Move::Assign { pod, slots } => {
                let at = self.at(pod);
                assert!(self.nodes.iter().all(|node| node.slots.is_disjoint(slots)), "gave away owned slots");
                assert_eq!(self.nodes[at].role, Role::Primary);
                self.nodes[at].slots.extend(slots);
            }
            Move::MoveSlots { from, to, slots } => self.move_slots(from, to, slots),
            Move::Keep { pod, slots } => {
                let at = self.at(pod);
                self.nodes[at].leaving.retain(|slot, _| !slots.contains(slot));
            }
            Move::FailOver(pod) | Move::TakeOver(pod) => {
                let at = self.at(pod);
                self.promote(at);
            }
        }
    }

    fn move_slots(&mut self, from: &str, to: &str, slots: &BTreeSet<u16>) {
        let (from, to) = (self.at(from), self.at(to));
        assert!(slots.is_subset(&self.nodes[from].slots), "moved slots that were elsewhere");
        assert!(slots.len() <= 400);
        assert_eq!(self.nodes[to].role, Role::Primary, "moved slots to a replica");
        self.nodes[from].slots.retain(|slot| !slots.contains(slot));
        self.nodes[from].leaving.retain(|slot, _| !slots.contains(slot));
        self.nodes[to].slots.extend(slots);
    }

    /// Runs passes until nothing is left to do, and returns how many moves that took.
    fn settle(&mut self, wanted: &Wanted) -> usize {
        for pass in 0..PASSES {
            let Some(step) = plan(wanted, &self.view()) else { return pass };
            self.make(&step);
        }
        panic!("not settled after {PASSES} moves; next is {:?}", plan(wanted, &self.view()));
    }

    fn check(&self, wanted: &Wanted) {
        let counts: Vec<_> = self.nodes.iter().map(|node| node.slots.len()).filter(|count| *count > 0).collect();
        assert_eq!(counts.iter().sum::<usize>(), usize::from(SLOTS), "every slot has one owner");
        assert_eq!(counts.len(), usize::try_from(wanted.shards).unwrap(), "every shard owns slots, and no other");
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "balanced, not {counts:?}");
        for (name, (shard, ip, id)) in &self.pods {
            let node = self.nodes.iter().find(|node| node.id == *id).unwrap();
            assert_eq!(node.ip.as_ref(), Some(ip), "{name} is known where it is");
            if let Role::Replica(of) = &node.role {
                let primary = self.pods.values().find(|pod| pod.2 == *of).unwrap();
                assert_eq!(primary.0, *shard, "{name} copies a pod of its own shard");
            } else if *shard < wanted.shards {
                assert!(!node.slots.is_empty(), "{name} serves or copies");
            }
        }
        assert_eq!(self.nodes.len(), self.pods.len(), "who is gone is forgotten");
        assert!(self.nodes.iter().all(|node| node.leaving.is_empty()), "no slot is left open");
    }
}

fn wanted(shards: u32) -> Wanted {
    Wanted { shards, restart: None }
}

#[test]
fn a_cluster_is_formed_without_moving_a_slot() {
    for (shards, replicas) in [(1, 0), (1, 1), (3, 1), (5, 2)] {
        let mut cluster = Cluster::new(shards, replicas);
        let moves = cluster.settle(&wanted(shards));
        let pods = shards * (replicas + 1);
        let expected = pods + shards * replicas + shards;
        assert_eq!(moves, usize::try_from(expected).unwrap(), "meet all, copy, assign: {shards} × {replicas}");
        cluster.check(&wanted(shards));
    }
}

#[test]
fn it_grows_and_shrinks_and_nothing_goes_before_its_slots() {
    let mut cluster = Cluster::new(3, 1);
    cluster.settle(&wanted(3));
    (3..6).for_each(|shard| cluster.add_shard(shard, 1));
    cluster.settle(&wanted(6));
    cluster.check(&wanted(6));
    cluster.settle(&wanted(3));
    let outside: usize = cluster
        .pods
        .values()
        .filter(|pod| pod.0 >= 3)
        .map(|pod| cluster.nodes.iter().find(|node| node.id == pod.2).unwrap().slots.len())
        .sum();
    assert_eq!(outside, 0, "the shards that are to go own nothing");
    cluster.pods.retain(|_, pod| pod.0 < 3);
    cluster.settle(&wanted(3));
    cluster.check(&wanted(3));
}

#[test]
fn all_pods_with_new_addresses_meet_again() {
    let mut cluster = Cluster::new(3, 1);
    cluster.settle(&wanted(3));
    cluster.readdress();
    assert_eq!(cluster.settle(&wanted(3)), 6, "one meeting a pod, and nothing else");
    cluster.check(&wanted(3));
}

#[test]
fn a_primary_hands_over_before_it_restarts() {
    let mut cluster = Cluster::new(3, 1);
    cluster.settle(&wanted(3));
    let restart = Wanted { shards: 3, restart: Some("redis-01-0".to_owned()) };
    assert_eq!(plan(&restart, &cluster.view()), Some(Move::FailOver("redis-01-1".to_owned())));
    assert_eq!(cluster.settle(&restart), 1);
    assert_eq!(plan(&Wanted { restart: Some("redis-01-0".to_owned()), ..restart }, &cluster.view()), None);
    cluster.check(&wanted(3));
}

#[test]
fn replicas_take_over_when_nobody_is_left_to_vote() {
    let mut cluster = Cluster::new(3, 1);
    cluster.settle(&wanted(3));
    let mut view = cluster.view();
    for pod in view.pods.iter_mut().filter(|pod| pod.name.ends_with("-0")) {
        pod.id = None;
    }
    assert_eq!(plan(&wanted(3), &view), None, "for 30 s they may come back");
    view.majority_lost = true;
    assert_eq!(plan(&wanted(3), &view), Some(Move::TakeOver("redis-00-1".to_owned())));
}

#[test]
fn a_silent_pod_is_neither_forgotten_nor_given_slots() {
    let mut cluster = Cluster::new(3, 0);
    cluster.settle(&wanted(3));
    let mut view = cluster.view();
    view.pods[1].id = None;
    assert_eq!(plan(&wanted(3), &view), None);
}

#[test]
fn slots_left_open_are_moved_first() {
    let mut cluster = Cluster::new(3, 0);
    cluster.settle(&wanted(3));
    let at = cluster.at("redis-00-0");
    let open: BTreeSet<u16> = cluster.nodes[at].slots.iter().copied().take(2).collect();
    for (target, expected) in [("redis-02-0", true), ("redis-00-0", false)] {
        let id = cluster.pods[target].2.clone();
        cluster.nodes[at].leaving = open.iter().map(|slot| (*slot, id.clone())).collect();
        let step = plan(&wanted(3), &cluster.view()).unwrap();
        let (from, to, slots) = ("redis-00-0".to_owned(), target.to_owned(), open.clone());
        let move_on = Move::MoveSlots { from: from.clone(), to, slots: slots.clone() };
        assert_eq!(step, if expected { move_on } else { Move::Keep { pod: from, slots } });
    }
    cluster.settle(&wanted(3));
    cluster.check(&wanted(3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_between_the_cluster_ends_as_wanted(
        sizes in prop::collection::vec(prop::sample::select(vec![1u32, 3, 4, 6]), 1..3),
        replicas in 0u32..3,
        events in prop::collection::vec((0usize..3, 0usize..64, 0usize..30), 0..12),
    ) {
        let mut cluster = Cluster::new(6, replicas);
        for shards in sizes {
            let wanted = wanted(shards);
            for (event, which, moves) in &events {
                for _ in 0..*moves {
                    let Some(step) = plan(&wanted, &cluster.view()) else { break };
                    cluster.make(&step);
                }
                let pods: Vec<String> = cluster.pods.keys().cloned().collect();
                let pod = &pods[which % pods.len()];
                match event {
                    0 => cluster.lose(pod),
                    1 => cluster.readdress(),
                    _ => {
                        let at = cluster.at(pod);
                        let to = cluster.pods[&pods[(which + 1) % pods.len()]].2.clone();
                        let open = cluster.nodes[at].slots.iter().take(1).map(|slot| (*slot, to.clone()));
                        cluster.nodes[at].leaving = open.collect();
                    }
                }
            }
            cluster.settle(&wanted);
            cluster.check(&wanted);
        }
    }
}
