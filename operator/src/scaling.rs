//! How many gateways there should be, and which step leads there. Pure: times and counts go in, a step comes out.
//!
//! The number follows the connections: `ceil(connections / target)` within the bounds, steps and stabilization of the
//! manifest. A [`Scaler`] remembers what was wanted; [`Scaler::plan`] says what to do now; [`pace`] says how fast a
//! drain may go. Whoever asks carries the step out: the operator on pods, `chatctl local` on gateways in its process.
//!
//! # What holds, whatever is observed (`scaling/tests.rs`)
//! - Nothing is added while one that was added is still starting, and never past the upper bound.
//! - Nothing is drained for a whole stabilization window after gateways were added, nor before such a window was
//!   observed at all.
//! - A drain begins only where the gateways that stay have room for every connection.
//! - A gateway that does not answer counts as empty when gateways are added, and as full when they are drained.

mod pace;
mod plan;
mod rules;
mod window;

pub use pace::pace;
pub use plan::{Plan, Reason, Step};
pub use rules::{Rules, Wanted};
pub use window::Window;

use std::time::Duration;

/// A gateway as the planner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gateway {
    /// Its number. Those with the greatest are drained first, as a StatefulSet removes its pods.
    pub ordinal: u32,
    /// Where it is in its life.
    pub phase: Phase,
    /// Connections it holds; `None` where it does not answer.
    pub connections: Option<u64>,
}

/// Where a gateway is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Does not yet take connections.
    Starting,
    /// Takes connections.
    Ready,
    /// Moves its connections off because the planner said so; it may be told to stay.
    Draining,
    /// Moves its connections off for another reason, as when a person asked; it does not come back.
    Leaving,
}

impl Phase {
    /// Tells whether a gateway is one of those that are to stay.
    pub fn stays(self) -> bool {
        matches!(self, Self::Starting | Self::Ready)
    }
}

/// Remembers what number of gateways was wanted, as far back as the rules look.
#[derive(Debug, Clone)]
pub struct Scaler {
    up: Window,
    down: Window,
}

impl Scaler {
    /// Begins to observe. `now`, here and below, is the time since any fixed moment and never goes back.
    pub fn new(now: Duration) -> Self {
        Self { up: Window::new(now), down: Window::new(now) }
    }

    /// Takes down what the gateways say now.
    pub fn observe(&mut self, now: Duration, rules: &Rules, gateways: &[Gateway]) {
        let silent = u64::from(rules.capacity);
        let total = |silent| gateways.iter().map(|it| it.connections.unwrap_or(silent)).fold(0, u64::saturating_add);
        self.up.push(now, rules.up_stabilization, rules.wanted(total(0)));
        self.down.push(now, rules.down_stabilization, rules.wanted(total(silent)));
    }
}

#[cfg(test)]
mod tests;
