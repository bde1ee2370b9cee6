//! The next step.

use std::fmt;
use std::time::Duration;

use super::{Gateway, Phase, Rules, Scaler, Wanted};
use crate::count::size;

/// What to do now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Number of gateways to get to.
    pub desired: u32,
    /// What leads there now.
    pub step: Step,
    /// Why this and no more.
    pub reason: Reason,
}

/// What to do now. Gateways are named by their ordinals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Start so many gateways.
    Add(u32),
    /// Move the connections off these gateways, then remove them.
    Drain(Vec<u32>),
    /// Let these gateways take connections again.
    Withdraw(Vec<u32>),
}

/// Why there are as many gateways as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is the number wanted.
    Settled,
    /// There are more connections than these gateways should hold.
    MoreConnections,
    /// Fewer gateways can hold the connections.
    FewerConnections,
    /// Somebody else, a person or another autoscaler, asked for another number.
    Asked,
    /// There are fewer than the lower bound.
    LowerBound,
    /// More are wanted, and some that were added are still starting.
    Starting,
    /// Fewer are wanted, but they were not observed long enough; so long is missing.
    Observing(Duration),
    /// Fewer are wanted, and as many drain as may at once.
    Draining,
    /// Fewer are wanted, but those that stay have no room for every connection.
    NoRoom,
    /// More would be needed than the upper bound allows.
    UpperBound,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled => f.write_str("as many as wanted"),
            Self::MoreConnections => f.write_str("more connections than these should hold"),
            Self::FewerConnections => f.write_str("fewer can hold the connections"),
            Self::Asked => f.write_str("that number was asked for"),
            Self::LowerBound => f.write_str("fewer than the lower bound"),
            Self::Starting => f.write_str("waits for gateways that are starting"),
            Self::Observing(left) => write!(f, "looks on for {} s before any goes", left.as_secs_f64().ceil()),
            Self::Draining => f.write_str("waits for a drain"),
            Self::NoRoom => f.write_str("the others have no room for the connections of one more"),
            Self::UpperBound => f.write_str("more are needed than the upper bound allows"),
        }
    }
}

impl Scaler {
    /// Says what to do with these gateways, which must have been [observed](Self::observe).
    pub fn plan(&self, now: Duration, rules: &Rules, gateways: &[Gateway]) -> Plan {
        let there = count(gateways, Phase::stays);
        // Between the two the number stays as it is: the least that was wanted lately asks for more, the greatest for
        // fewer.
        let up = self.up.least().unwrap_or(there);
        let down = self.down.greatest().unwrap_or(there);
        if up > there {
            return more(rules, gateways, there, up);
        }
        if down < there {
            return match self.down.missing(now, rules.down_stabilization) {
                Some(left) => Plan { desired: down, step: Step::Keep, reason: Reason::Observing(left) },
                None => fewer(rules, gateways, there, down),
            };
        }
        let reason = if is_past_upper_bound(rules, gateways) { Reason::UpperBound } else { Reason::Settled };
        Plan { desired: there, step: Step::Keep, reason }
    }
}

fn more(rules: &Rules, gateways: &[Gateway], there: u32, desired: u32) -> Plan {
    let known = |gateway: &Gateway| gateway.connections.unwrap_or(0);
    let draining = count(gateways, |phase| !phase.stays()) > 0;
    let taken = rules.taken_while_draining(there.into());
    if draining && there >= min(rules) && taken.is_some_and(|taken| total(gateways, known) <= taken) {
        return Plan { desired: there, step: Step::Keep, reason: Reason::Draining };
    }
    let why = match rules.wanted {
        Wanted::Replicas(_) => Reason::Asked,
        Wanted::Connections { target, .. } if total(gateways, known) <= u64::from(target) * u64::from(there) => {
            Reason::LowerBound
        }
        Wanted::Connections { .. } => Reason::MoreConnections,
    };
    // A gateway that drains is there at once, with its sessions: the lowest come back first.
    let mut back = ordinals(gateways, |phase| phase == Phase::Draining);
    back.truncate(size(desired - there));
    let (step, reason) = if !back.is_empty() {
        (Step::Withdraw(back), why)
    } else if count(gateways, |phase| phase == Phase::Starting) > 0 {
        (Step::Keep, Reason::Starting)
    } else {
        (Step::Add(rules.up_step.max(1).min(desired - there)), why)
    };
    Plan { desired, step, reason }
}

fn fewer(rules: &Rules, gateways: &[Gateway], there: u32, desired: u32) -> Plan {
    let draining = count(gateways, |phase| !phase.stays());
    let may = rules.down_step.max(1).saturating_sub(draining).min(there - desired);
    if may == 0 {
        return Plan { desired, step: Step::Keep, reason: Reason::Draining };
    }
    let staying = ordinals(gateways, Phase::stays);
    let fits = |&go: &u32| have_room(rules, gateways, &staying[staying.len() - size(go)..]);
    match (1..=may).rev().find(fits) {
        Some(go) => {
            let step = Step::Drain(staying[staying.len() - size(go)..].iter().rev().copied().collect());
            let asked = matches!(rules.wanted, Wanted::Replicas(_));
            Plan { desired, step, reason: if asked { Reason::Asked } else { Reason::FewerConnections } }
        }
        None => Plan { desired, step: Step::Keep, reason: Reason::NoRoom },
    }
}

/// Tells whether every connection there is finds a place when these gateways go.
fn have_room(rules: &Rules, gateways: &[Gateway], go: &[u32]) -> bool {
    let capacity = u64::from(rules.capacity);
    let all = total(gateways, |gateway| gateway.connections.unwrap_or(capacity));
    let stays = |gateway: &&Gateway| gateway.phase == Phase::Ready && !go.contains(&gateway.ordinal);
    let ready = gateways.iter().filter(stays).count();
    // Who was told to have no gateway has none; otherwise one that takes connections always stays.
    let may_be_none = rules.wanted == Wanted::Replicas(0);
    (ready > 0 || may_be_none && all == 0) && all <= capacity.saturating_mul(u64::try_from(ready).unwrap_or(u64::MAX))
}

fn is_past_upper_bound(rules: &Rules, gateways: &[Gateway]) -> bool {
    let Wanted::Connections { target, max, .. } = rules.wanted else { return false };
    total(gateways, |gateway| gateway.connections.unwrap_or(0)) > u64::from(target) * u64::from(max)
}

fn min(rules: &Rules) -> u32 {
    match rules.wanted {
        Wanted::Connections { min, .. } => min,
        Wanted::Replicas(replicas) => replicas,
    }
}

fn total(gateways: &[Gateway], connections: impl Fn(&Gateway) -> u64) -> u64 {
    gateways.iter().map(connections).fold(0, u64::saturating_add)
}

fn count(gateways: &[Gateway], is: impl Fn(Phase) -> bool) -> u32 {
    u32::try_from(gateways.iter().filter(|gateway| is(gateway.phase)).count()).unwrap_or(u32::MAX)
}

/// Returns the ordinals of the gateways in such a phase, in order.
fn ordinals(gateways: &[Gateway], is: impl Fn(Phase) -> bool) -> Vec<u32> {
    let mut ordinals: Vec<u32> =
        gateways.iter().filter(|gateway| is(gateway.phase)).map(|gateway| gateway.ordinal).collect();
    ordinals.sort_unstable();
    ordinals
}
