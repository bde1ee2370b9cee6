//! The planner against a fleet that is simulated second by second.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::crd::Gateways;

fn rules() -> Rules {
    Rules::of(&Gateways::default())
}

fn quick(min: u32, max: u32) -> Rules {
    Rules {
        wanted: Wanted::Connections { target: 100, min, max },
        capacity: 150,
        up_step: 4,
        up_stabilization: Duration::ZERO,
        down_step: 1,
        down_stabilization: Duration::from_mins(1),
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ready(loads: &[u64]) -> Vec<Gateway> {
    let gateway = |(ordinal, &load)| Gateway { ordinal, phase: Phase::Ready, connections: Some(load) };
    (0..).zip(loads).map(gateway).collect()
}

/// Plans after these gateways were observed for so long.
fn after(seconds: u64, rules: &Rules, gateways: &[Gateway]) -> Plan {
    let mut scaler = Scaler::new(at(0));
    (0..=seconds).for_each(|second| scaler.observe(at(second), rules, gateways));
    scaler.plan(at(seconds), rules, gateways)
}

#[test]
fn the_manifest_s_defaults_are_those_of_its_documentation() {
    let rules = rules();
    assert_eq!(rules.wanted, Wanted::Connections { target: 10_000, min: 2, max: 50 });
    assert_eq!((rules.capacity, rules.up_step, rules.down_step), (15_000, 4, 1));
    assert_eq!((rules.up_stabilization, rules.down_stabilization), (Duration::ZERO, at(300)));
    let wanted = [0, 20_000, 20_001, 499_999, u64::MAX].map(|connections| rules.wanted(connections));
    assert_eq!(wanted, [2, 2, 3, 50, 50]);
}

#[test]
fn a_rise_is_followed_at_once_and_in_steps() {
    let plan = after(0, &quick(1, 9), &ready(&[700]));
    assert_eq!(plan, Plan { desired: 7, step: Step::Add(4), reason: Reason::MoreConnections });
    let patient = Rules { up_stabilization: at(30), ..quick(1, 9) };
    let mut scaler = Scaler::new(at(0));
    scaler.observe(at(0), &patient, &ready(&[10]));
    scaler.observe(at(30), &patient, &ready(&[700]));
    assert_eq!(scaler.plan(at(30), &patient, &ready(&[700])).step, Step::Keep, "one moment ago one was enough");
    scaler.observe(at(61), &patient, &ready(&[700]));
    assert_eq!(scaler.plan(at(61), &patient, &ready(&[700])).step, Step::Add(4));
}

#[test]
fn nothing_is_added_while_one_is_starting() {
    let mut gateways = ready(&[700, 0]);
    gateways[1].phase = Phase::Starting;
    let plan = after(0, &quick(1, 9), &gateways);
    assert_eq!((plan.step, plan.reason), (Step::Keep, Reason::Starting));
}

#[test]
fn the_last_gateway_is_drained_first_and_only_after_a_whole_window() {
    let gateways = ready(&[30, 30, 30]);
    let early = after(59, &quick(1, 9), &gateways);
    assert_eq!((early.step, early.reason), (Step::Keep, Reason::Observing(at(1))));
    let plan = after(60, &quick(1, 9), &gateways);
    assert_eq!(plan, Plan { desired: 1, step: Step::Drain(vec![2]), reason: Reason::FewerConnections });
    let two = Rules { down_step: 2, ..quick(1, 9) };
    assert_eq!(after(60, &two, &gateways).step, Step::Drain(vec![2, 1]));
}

#[test]
fn one_drain_waits_for_the_other() {
    let mut gateways = ready(&[30, 30, 30]);
    gateways[2].phase = Phase::Leaving;
    let plan = after(60, &quick(1, 9), &gateways);
    assert_eq!((plan.step, plan.reason), (Step::Keep, Reason::Draining));
}

#[test]
fn who_would_have_no_room_for_the_connections_keeps_all_gateways() {
    let fixed = Rules { wanted: Wanted::Replicas(1), ..quick(1, 9) };
    assert_eq!(after(60, &fixed, &ready(&[100, 60])).reason, Reason::NoRoom);
    assert_eq!(after(60, &fixed, &ready(&[90, 60])).step, Step::Drain(vec![1]));
    let none = Rules { wanted: Wanted::Replicas(0), ..fixed };
    assert_eq!(after(60, &none, &ready(&[1])).reason, Reason::NoRoom, "somebody is still there");
    assert_eq!(after(60, &none, &ready(&[0])).step, Step::Drain(vec![0]));
}

#[test]
fn a_silent_gateway_is_empty_on_the_way_up_and_full_on_the_way_down() {
    let mut gateways = ready(&[60, 0]);
    gateways[1].connections = None;
    let plan = after(60, &quick(1, 9), &gateways);
    assert_eq!((plan.step, plan.reason), (Step::Keep, Reason::Settled));
}

#[test]
fn a_rise_takes_drains_back_but_not_for_sessions_counted_twice() {
    let mut gateways = ready(&[90, 90, 20]);
    gateways[2].phase = Phase::Draining;
    let plan = after(60, &quick(1, 9), &gateways);
    assert_eq!((plan.step, plan.reason), (Step::Keep, Reason::Settled));
    gateways[2].connections = Some(35);
    assert_eq!(after(60, &quick(1, 9), &gateways).step, Step::Keep, "a moving session has two ends");
    gateways[2].connections = Some(45);
    assert_eq!(after(60, &quick(1, 9), &gateways).step, Step::Withdraw(vec![2]));
    gateways[2].phase = Phase::Leaving;
    assert_eq!(after(60, &quick(1, 9), &gateways).step, Step::Add(1), "who leaves does not come back");
}

#[test]
fn the_reason_is_the_one_that_holds() {
    assert_eq!(after(0, &quick(2, 9), &ready(&[0])).reason, Reason::LowerBound);
    assert_eq!(after(0, &quick(2, 9), &ready(&[101])).reason, Reason::MoreConnections);
    let asked = Rules { wanted: Wanted::Replicas(2), ..quick(1, 9) };
    assert_eq!(after(0, &asked, &ready(&[0])).reason, Reason::Asked);
    assert_eq!(after(60, &asked, &ready(&[0, 0, 0])).reason, Reason::Asked);
}

#[test]
fn who_needs_more_than_the_bound_is_told() {
    assert_eq!(after(0, &quick(1, 2), &ready(&[150, 150])).reason, Reason::UpperBound);
}

/// A fleet of the simulation. Connections spread evenly over who is ready; a draining gateway loses a share a second.
#[derive(Debug)]
struct Fleet {
    gateways: BTreeMap<u32, (Phase, u64, u64)>,
    next: u32,
}

impl Fleet {
    fn new(count: u32) -> Self {
        Self { gateways: (0..count).map(|ordinal| (ordinal, (Phase::Ready, 0, 0))).collect(), next: count }
    }

    /// Moves on by a second, with so many connections in all.
    fn second(&mut self, connections: u64, start_takes: u64) {
        self.gateways.retain(|_, (phase, load, _)| phase.stays() || *load > 0);
        for (phase, load, age) in self.gateways.values_mut() {
            *age += 1;
            if *phase == Phase::Starting && *age > start_takes {
                *phase = Phase::Ready;
            }
            if !phase.stays() {
                *load -= (*load).min(15);
            }
        }
        let leaving: u64 = self.gateways.values().filter(|it| !it.0.stays()).map(|it| it.1).sum();
        let ready = self.gateways.values().filter(|it| it.0 == Phase::Ready).count() as u64;
        let rest = connections.saturating_sub(leaving);
        for (n, it) in (0..).zip(self.gateways.values_mut().filter(|it| it.0 == Phase::Ready)) {
            it.1 = rest / ready + u64::from(n < rest % ready);
        }
    }

    fn seen(&self, silent: Option<u32>) -> Vec<Gateway> {
        let seen = |(&ordinal, &(phase, load, _)): (&u32, &(Phase, u64, u64))| Gateway {
            ordinal,
            phase,
            connections: (silent != Some(ordinal)).then_some(load),
        };
        self.gateways.iter().map(seen).collect()
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Keep => {}
            Step::Add(count) => {
                for _ in 0..*count {
                    self.gateways.insert(self.next, (Phase::Starting, 0, 0));
                    self.next += 1;
                }
            }
            Step::Drain(list) => list.iter().for_each(|it| self.set(*it, Phase::Draining)),
            Step::Withdraw(list) => list.iter().for_each(|it| self.set(*it, Phase::Ready)),
        }
    }

    fn set(&mut self, ordinal: u32, phase: Phase) {
        self.gateways.get_mut(&ordinal).expect("a gateway that was shown").0 = phase;
    }

    fn staying(&self) -> u32 {
        u32::try_from(self.gateways.values().filter(|it| it.0.stays()).count()).unwrap()
    }
}

prop_compose! {
    fn any_rules()(
        min in 1_u32..4, more in 0_u32..12, up_step in 1_u32..5, down_step in 1_u32..4,
        down in 0_u64..90, up in 0_u64..20,
    ) -> Rules {
        let wanted = Wanted::Connections { target: 100, min, max: min + more };
        Rules {
            wanted, up_step, down_step, capacity: 150,
            up_stabilization: at(up), down_stabilization: at(down),
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_promises_hold(
        rules in any_rules(),
        levels in prop::collection::vec((0_u64..1_600, 1_u64..120), 1..8),
        start_takes in 0_u64..20,
        silences in prop::collection::vec(prop::option::weighted(0.1, 0_u32..6), 1..50),
    ) {
        let Wanted::Connections { min, max, .. } = rules.wanted else { unreachable!() };
        let mut fleet = Fleet::new(min);
        let mut scaler = Scaler::new(at(0));
        let mut added: Option<u64> = None;
        let mut second = 0;
        for (connections, lasts) in levels {
            for _ in 0..lasts {
                fleet.second(connections.min(u64::from(max) * 150), start_takes);
                let silent = silences[usize::try_from(second).unwrap() % silences.len()];
                let seen = fleet.seen(silent);
                scaler.observe(at(second), &rules, &seen);
                let plan = scaler.plan(at(second), &rules, &seen);
                prop_assert!((min..=max).contains(&plan.desired), "{plan:?}");
                match &plan.step {
                    Step::Keep => {}
                    Step::Add(count) => {
                        prop_assert!((1..=rules.up_step).contains(count));
                        prop_assert!(seen.iter().all(|gateway| gateway.phase != Phase::Starting));
                        added = Some(second);
                    }
                    Step::Drain(list) => {
                        let before = seen.iter().filter(|gateway| !gateway.phase.stays()).count();
                        prop_assert!(before + list.len() <= rules.down_step as usize);
                        prop_assert!(at(second) >= rules.down_stabilization, "before a window was observed");
                        let quiet = added.is_none_or(|added| at(second - added) > rules.down_stabilization);
                        prop_assert!(quiet, "drained {list:?} at {second}, added at {added:?}");
                        let stay = |gateway: &&Gateway| {
                            gateway.phase == Phase::Ready && !list.contains(&gateway.ordinal)
                        };
                        let room = 150 * seen.iter().filter(stay).count() as u64;
                        let all: u64 = seen.iter().map(|gateway| gateway.connections.unwrap_or(150)).sum();
                        prop_assert!(all <= room, "{all} connections for {room} places");
                    }
                    Step::Withdraw(list) => prop_assert!(!list.is_empty()),
                }
                fleet.carry_out(&plan.step);
                prop_assert!((min..=max).contains(&fleet.staying()), "{fleet:?}");
                second += 1;
            }
        }
    }

    #[test]
    fn a_steady_load_comes_to_rest_at_the_number_wanted(
        rules in any_rules(), before in 0_u64..1_600, connections in 0_u64..1_600, start_takes in 0_u64..20,
    ) {
        let Wanted::Connections { min, max, .. } = rules.wanted else { unreachable!() };
        let mut fleet = Fleet::new(min);
        let mut scaler = Scaler::new(at(0));
        let mut moved = 0;
        for second in 0..2_000 {
            let load = if second < 300 { before } else { connections };
            fleet.second(load.min(u64::from(max) * 150), start_takes);
            let seen = fleet.seen(None);
            scaler.observe(at(second), &rules, &seen);
            let plan = scaler.plan(at(second), &rules, &seen);
            if plan.step != Step::Keep {
                moved = second;
            }
            fleet.carry_out(&plan.step);
        }
        prop_assert!(moved < 1_500, "still moving at {moved}");
        prop_assert_eq!(fleet.staying(), rules.wanted(connections.min(u64::from(max) * 150)));
        prop_assert!(fleet.seen(None).iter().all(|gateway| gateway.phase == Phase::Ready));
    }
}
