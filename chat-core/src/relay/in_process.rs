//! The relay of a single process: bounded channels and a table of routes. Losing the process loses it all, which the
//! contract allows.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use super::leases::Leases;
use super::{Envelope, Inbox, ROUTE_TTL_MS, Registered, Relay, RelayError};
use crate::id::{GatewayId, UserId};

/// How many envelopes wait for one gateway before further ones are dropped: more than a second of the embedded
/// stack's highest rate of direct messages. An idle channel takes no memory for it.
pub const CHANNEL_ENVELOPES: usize = 16_384;

/// How long the counter of a channel outlives its last use: a gateway that comes back later finds a lower counter,
/// which it takes for a gap.
const COUNTER_TTL: Duration = Duration::from_millis(2 * ROUTE_TTL_MS);

/// Relays within one process. Clones are ends of the same relay.
///
/// A channel holds [`CHANNEL_ENVELOPES`]; publishing into a full one drops the envelope and keeps its number. A second
/// inbox of a gateway ends the first ([`RelayError::Interrupted`]). Contents are shared, never copied. No call fails.
#[derive(Clone)]
pub struct InProcessRelay(Arc<Shared>);

struct Shared {
    channels: Mutex<Channels>,
    routes: RwLock<Leases>,
}

#[derive(Default)]
struct Channels {
    by_gateway: FxHashMap<GatewayId, Channel>,
    swept_at: Option<Instant>,
}

struct Channel {
    /// Highest number taken; also read by the inbox, without the lock.
    counter: Arc<AtomicU64>,
    sender: Option<mpsc::Sender<(u64, Envelope)>>,
    used_at: Instant,
}

impl InProcessRelay {
    /// Makes a relay without routes or channels.
    pub fn new() -> Self {
        let routes = RwLock::new(Leases::new(Duration::from_millis(ROUTE_TTL_MS)));
        Self(Arc::new(Shared { channels: Mutex::default(), routes }))
    }

    fn channels(&self) -> MutexGuard<'_, Channels> {
        self.0.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for InProcessRelay {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InProcessRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessRelay").finish_non_exhaustive()
    }
}

impl Channels {
    /// Returns the gateway's channel, new if there is none, and marks it used.
    fn channel(&mut self, gateway: &GatewayId, now: Instant) -> &mut Channel {
        self.sweep(now);
        let channel = self.by_gateway.entry(gateway.clone()).or_insert_with(|| Channel {
            counter: Arc::default(),
            sender: None,
            used_at: now,
        });
        channel.used_at = now;
        channel
    }

    /// Forgets channels that nobody reads and nobody used for [`COUNTER_TTL`], so that past boots take no memory.
    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now < at + COUNTER_TTL) {
            return;
        }
        self.swept_at = Some(now);
        self.by_gateway.retain(|_, channel| {
            let is_read = channel.sender.as_ref().is_some_and(|sender| !sender.is_closed());
            is_read || now < channel.used_at + COUNTER_TTL
        });
    }
}

#[async_trait]
impl Relay for InProcessRelay {
    async fn open(&self, gateway: &GatewayId) -> Result<Box<dyn Inbox>, RelayError> {
        let (sender, receiver) = mpsc::channel(CHANNEL_ENVELOPES);
        let mut channels = self.channels();
        let channel = channels.channel(gateway, Instant::now());
        channel.sender = Some(sender);
        Ok(Box::new(InProcessInbox { receiver, counter: Arc::clone(&channel.counter) }))
    }

    async fn register(&self, gateway: &GatewayId, users: &[UserId]) -> Result<Vec<Registered>, RelayError> {
        let were_held = {
            let mut routes = self.0.routes.write().unwrap_or_else(PoisonError::into_inner);
            routes.renew(gateway, users, Instant::now())
        };
        let registered = |was_held| if was_held { Registered::Refreshed } else { Registered::New };
        Ok(were_held.into_iter().map(registered).collect())
    }

    async fn unregister(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), RelayError> {
        self.0.routes.write().unwrap_or_else(PoisonError::into_inner).release(gateway, users);
        Ok(())
    }

    async fn routes(&self, users: &[UserId]) -> Result<Vec<Vec<GatewayId>>, RelayError> {
        let now = Instant::now();
        let routes = self.0.routes.read().unwrap_or_else(PoisonError::into_inner);
        Ok(users.iter().map(|user| routes.holders(user, now)).collect())
    }

    async fn publish(&self, gateway: &GatewayId, envelope: Envelope) -> Result<(), RelayError> {
        let mut channels = self.channels();
        let channel = channels.channel(gateway, Instant::now());
        // Taken and sent under one lock, so that numbers arrive in order as long as nothing is lost.
        let number = channel.counter.fetch_add(1, Ordering::Relaxed) + 1;
        // A full or closed channel gives the envelope back to be dropped here: its number tells of the loss.
        let refused = channel.sender.as_ref().and_then(|sender| sender.try_send((number, envelope)).err());
        drop(channels);
        drop(refused);
        Ok(())
    }
}

struct InProcessInbox {
    receiver: mpsc::Receiver<(u64, Envelope)>,
    counter: Arc<AtomicU64>,
}

impl fmt::Debug for InProcessInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessInbox").field("counter", &self.counter).finish_non_exhaustive()
    }
}

#[async_trait]
impl Inbox for InProcessInbox {
    async fn next(&mut self) -> Result<(u64, Envelope), RelayError> {
        self.receiver.recv().await.ok_or(RelayError::Interrupted)
    }

    async fn counter(&self) -> Result<u64, RelayError> {
        Ok(self.counter.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
