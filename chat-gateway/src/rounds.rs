//! The rounds of a task that is due every so often, from its start on.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Rounds that end when the gateway stops. One that takes longer than the time between two puts off those after it.
#[derive(Debug)]
pub(crate) struct Rounds {
    tick: Interval,
    shutdown: CancellationToken,
}

impl Rounds {
    /// Begins them; the first is due at once.
    pub(crate) fn every(period: Duration, shutdown: &CancellationToken) -> Self {
        let mut tick = tokio::time::interval(period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { tick, shutdown: shutdown.clone() }
    }

    /// Waits for the next round; returns `false` when there is none any more.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            () = self.shutdown.cancelled() => false,
            _ = self.tick.tick() => true,
        }
    }
}
