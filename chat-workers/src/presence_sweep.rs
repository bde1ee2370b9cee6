//! The sweep of presence: who stopped without a word goes offline when the mark runs out.
//!
//! Each expired user is handed to one sweeper, once. What cannot be told then is lost, which gateways make up for:
//! they read the users they watch again every minute.

use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::{Clock, Time};
use chat_core::frame::{PresenceStatus, Push};
use chat_core::id::{GatewayId, UserId};
use chat_core::presence::{PRESENCE_TTL_MS, PresenceError, PresenceTable};
use chat_core::relay::frames::{self, RELAY_DEADLINE};
use chat_core::relay::{Item, Relay};
use chat_core::user_store::{UserRow, UserStore, UserWrite};
use futures_util::{StreamExt, stream};
use rustc_hash::FxHashMap;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::ReceiptsMetrics;

/// How often is looked for marks that ran out: with the mark's 30 s, watchers hear within 35 s of the last frame.
const EVERY: Duration = Duration::from_secs(1);

/// Users that are handed out at once.
const BATCH: usize = 256;

/// Batches a sweep; the rest waits for the next, so that a gateway's end does not flood the others.
const BATCHES: usize = 16;

/// Look-ups of watchers that are on their way at once.
const CONCURRENT_READS: usize = 64;

/// Users whose last seen is still to be written; beyond it the oldest knowledge is dropped.
const UNWRITTEN: usize = 16_384;

/// What the sweep works with.
#[derive(Debug, Clone)]
pub(crate) struct SweepPorts {
    pub(crate) presence: Arc<dyn PresenceTable>,
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Sweeps presence.
#[derive(Debug)]
pub(crate) struct PresenceSweep {
    ports: SweepPorts,
    metrics: ReceiptsMetrics,
    /// When users were last seen, as far as it is not written.
    unwritten: FxHashMap<UserId, Time>,
}

impl PresenceSweep {
    pub(crate) fn new(ports: SweepPorts, metrics: ReceiptsMetrics) -> Self {
        Self { ports, metrics, unwritten: FxHashMap::default() }
    }

    /// Sweeps until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = tick.tick() => {}
            }
            // Not cancelled half-way: who was handed out is told of.
            if let Err(error) = self.sweep().await {
                warn!(%error, "sweep presence");
            }
        }
    }

    async fn sweep(&mut self) -> Result<(), PresenceError> {
        for _ in 0..BATCHES {
            let users = self.ports.presence.expired(BATCH).await?;
            if users.is_empty() {
                break;
            }
            self.metrics.expired.inc_by(users.len() as u64);
            let is_last = users.len() < BATCH;
            self.go_offline(users).await;
            if is_last {
                break;
            }
        }
        if !self.unwritten.is_empty() {
            self.write().await;
        }
        Ok(())
    }

    async fn go_offline(&mut self, users: Vec<UserId>) {
        // The last sign of life was as long ago as the mark lived.
        let now = self.ports.clock.now().millis();
        let last_seen = Time::from_millis(now.saturating_sub(PRESENCE_TTL_MS));
        if self.unwritten.len() + users.len() > UNWRITTEN {
            self.unwritten.clear();
        }
        self.unwritten.extend(users.iter().map(|user| (user.clone(), last_seen)));
        let watched = self.watched(users).await;
        let names: Vec<UserId> = watched.iter().map(|(user, _)| user.clone()).collect();
        let rows = self.ports.users.users(&names).await.unwrap_or_else(|error| {
            warn!(%error, "read who hides their last seen");
            // Hidden until it can be read.
            vec![UserRow { last_seen_visible: false, ..UserRow::default() }; names.len()]
        });
        let mut envelopes: FxHashMap<GatewayId, Vec<Item>> = FxHashMap::default();
        for ((user, gateways), row) in watched.into_iter().zip(rows) {
            let last_seen_at = row.last_seen_at.max(Some(last_seen)).filter(|_| row.last_seen_visible);
            let push = Arc::new(Push::Presence { user, status: PresenceStatus::Offline, last_seen_at });
            for gateway in gateways {
                let item = Item::Frame { push: Arc::clone(&push), recipients: Arc::default() };
                envelopes.entry(gateway).or_default().push(item);
            }
        }
        frames::publish(&*self.ports.relay, envelopes).await;
    }

    /// Returns those of the users that gateways want to hear of.
    async fn watched(&self, users: Vec<UserId>) -> Vec<(UserId, Vec<GatewayId>)> {
        let lookups = users.into_iter().map(|user| async move {
            match timeout(RELAY_DEADLINE, self.ports.presence.watchers(&user)).await {
                Ok(Ok(gateways)) => (user, gateways),
                outcome => {
                    warn!(?outcome, "look up who watches a user");
                    (user, Vec::new())
                }
            }
        });
        let watched = stream::iter(lookups).buffer_unordered(CONCURRENT_READS);
        watched.filter(|(_, gateways)| std::future::ready(!gateways.is_empty())).collect().await
    }

    /// Writes when users were last seen; what the store does not take is written with the next sweep.
    async fn write(&mut self) {
        let seen = self.unwritten.iter().map(|(user, at)| UserWrite::Seen { user: user.clone(), at: *at });
        match self.ports.users.write(seen.collect()).await {
            Ok(()) => self.unwritten = FxHashMap::default(),
            Err(error) => warn!(%error, users = self.unwritten.len(), "write last seen"),
        }
    }
}

#[cfg(test)]
mod tests;
