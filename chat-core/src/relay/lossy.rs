//! Faults in front of any relay, for simulations and tests: lossy, repeating, reordering, late, forgetful, or away.
//!
//! All of it is what the contract allows. The same seed and the same arrivals give the same faults.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Envelope, Inbox, Registered, Relay, RelayError};
use crate::id::{GatewayId, UserId};

/// How long an envelope waits to be overtaken before it comes anyway.
const OVERTAKEN_WITHIN: Duration = Duration::from_millis(100);

/// What happens to envelopes on their way to a gateway. Chances are between 0 and 1; the default is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// Chance that an envelope never arrives.
    pub drop: f64,
    /// Chance that it arrives twice.
    pub duplicate: f64,
    /// Chance that the next one overtakes it.
    pub reorder: f64,
    /// Chance that it is held back for up to [`delay_up_to`](Self::delay_up_to), while others pass.
    pub delay: f64,
    /// Longest time an envelope is held back.
    pub delay_up_to: Duration,
}

impl Faults {
    /// Some of everything: every fault hits at least one envelope in twenty.
    pub const ROUGH: Self =
        Self { drop: 0.05, duplicate: 0.05, reorder: 0.1, delay: 0.1, delay_up_to: Duration::from_millis(500) };
}

/// Puts faults between a relay and its users. Clones are ends of the same relay.
#[derive(Clone)]
pub struct LossyRelay(Arc<Shared>);

struct Shared {
    inner: Arc<dyn Relay>,
    seed: u64,
    state: Mutex<State>,
    /// How often all subscriptions were cut.
    cuts: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    faults: Faults,
    is_down: bool,
    /// How often all counters were lost.
    counter_losses: u64,
    channels: FxHashMap<GatewayId, Channel>,
    /// What was registered through this relay, to be lost on demand.
    routes: FxHashMap<GatewayId, FxHashSet<UserId>>,
}

#[derive(Default)]
struct Channel {
    times_opened: u64,
    counter_losses_seen: u64,
    /// Values of the inner counter at each loss, ascending; numbers start at 1 again above each.
    bases: Vec<u64>,
}

impl Channel {
    /// Returns what became of a number of the inner relay.
    fn renumber(&self, inner: u64) -> u64 {
        inner - self.bases.iter().rev().find(|base| **base < inner).unwrap_or(&0)
    }
}

impl LossyRelay {
    /// Wraps a relay, without faults until [`set_faults`](Self::set_faults) asks for them.
    pub fn new(inner: Arc<dyn Relay>, seed: u64) -> Self {
        Self(Arc::new(Shared { inner, seed, state: Mutex::default(), cuts: watch::Sender::new(0) }))
    }

    /// Sets what happens to envelopes that arrive from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.state().faults = faults;
    }

    /// Forgets every route that was registered through this relay.
    pub async fn lose_routes(&self) -> Result<(), RelayError> {
        let lost = std::mem::take(&mut self.0.state().routes);
        for (gateway, users) in lost {
            self.0.inner.unregister(&gateway, &users.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Forgets every counter: numbers start again at 1. Each gateway comes to it the next time that it waits for an
    /// envelope, reads its counter or opens an inbox; what is under way by then keeps its old number.
    pub fn lose_counters(&self) {
        self.0.state().counter_losses += 1;
    }

    /// Ends every open inbox with [`RelayError::Interrupted`], with all that was under way to it.
    pub fn cut_subscriptions(&self) {
        self.0.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Makes every call fail with [`RelayError::Unavailable`] until it is set up again. Going down cuts the
    /// subscriptions.
    pub fn set_down(&self, is_down: bool) {
        self.0.state().is_down = is_down;
        if is_down {
            self.cut_subscriptions();
        }
    }
}

impl fmt::Debug for LossyRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LossyRelay").field(&self.0.inner).finish()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_up(&self) -> Result<(), RelayError> {
        if self.state().is_down { Err(RelayError::Unavailable("set down by a test".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Relay for LossyRelay {
    async fn open(&self, gateway: &GatewayId) -> Result<Box<dyn Inbox>, RelayError> {
        self.0.check_up()?;
        let cuts = self.0.cuts.subscribe();
        let cuts_at_opening = *cuts.borrow();
        let inner = self.0.inner.open(gateway).await?;
        let times_opened = {
            let mut state = self.0.state();
            let channel = state.channels.entry(gateway.clone()).or_default();
            channel.times_opened += 1;
            channel.times_opened
        };
        let seed = FxBuildHasher.hash_one((self.0.seed, gateway, times_opened));
        let inbox = LossyInbox {
            relay: Arc::clone(&self.0),
            gateway: gateway.clone(),
            inner,
            cuts_at_opening,
            cuts,
            rng: StdRng::seed_from_u64(seed),
            held: Vec::new(),
        };
        inbox.notice_counter_loss().await?;
        Ok(Box::new(inbox))
    }

    async fn register(&self, gateway: &GatewayId, users: &[UserId]) -> Result<Vec<Registered>, RelayError> {
        self.0.check_up()?;
        self.0.state().routes.entry(gateway.clone()).or_default().extend(users.iter().cloned());
        self.0.inner.register(gateway, users).await
    }

    async fn unregister(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), RelayError> {
        self.0.check_up()?;
        if let Some(registered) = self.0.state().routes.get_mut(gateway) {
            registered.retain(|user| !users.contains(user));
        }
        self.0.inner.unregister(gateway, users).await
    }

    async fn routes(&self, users: &[UserId]) -> Result<Vec<Vec<GatewayId>>, RelayError> {
        self.0.check_up()?;
        self.0.inner.routes(users).await
    }

    async fn publish(&self, gateway: &GatewayId, envelope: Envelope) -> Result<(), RelayError> {
        self.0.check_up()?;
        self.0.inner.publish(gateway, envelope).await
    }
}

struct LossyInbox {
    relay: Arc<Shared>,
    gateway: GatewayId,
    inner: Box<dyn Inbox>,
    cuts_at_opening: u64,
    cuts: watch::Receiver<u64>,
    rng: StdRng,
    held: Vec<Held>,
}

/// An envelope that comes later.
struct Held {
    due: Instant,
    /// Comes as soon as another one passed it.
    follows_next: bool,
    arrival: (u64, Envelope),
}

impl fmt::Debug for LossyInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossyInbox").field("gateway", &self.gateway).field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl LossyInbox {
    /// Fails where the relay is down, or this subscription was cut, for good.
    fn check_open(&self) -> Result<(), RelayError> {
        self.relay.check_up()?;
        if *self.cuts.borrow() == self.cuts_at_opening { Ok(()) } else { Err(RelayError::Interrupted) }
    }

    /// Takes the inner counter as the new zero where counters were lost since this was last called for the gateway.
    async fn notice_counter_loss(&self) -> Result<(), RelayError> {
        let losses = self.relay.state().counter_losses;
        let seen = self.relay.state().channels.get(&self.gateway).map_or(0, |channel| channel.counter_losses_seen);
        if losses != seen {
            let base = self.inner.counter().await?;
            let mut state = self.relay.state();
            let channel = state.channels.entry(self.gateway.clone()).or_default();
            channel.counter_losses_seen = losses;
            channel.bases.push(base);
        }
        Ok(())
    }

    fn renumber(&self, inner: u64) -> u64 {
        self.relay.state().channels.get(&self.gateway).map_or(inner, |channel| channel.renumber(inner))
    }

    fn hold(&mut self, arrival: (u64, Envelope), time: Duration, follows_next: bool) {
        self.held.push(Held { due: Instant::now() + time, follows_next, arrival });
    }

    /// Decides the fate of an arrival: returns it if it passes at once.
    fn meet(&mut self, (number, envelope): (u64, Envelope)) -> Option<(u64, Envelope)> {
        let faults = self.relay.state().faults;
        let arrival = (self.renumber(number), envelope);
        if self.rng.random_bool(faults.drop) {
            return None;
        }
        if self.rng.random_bool(faults.duplicate) {
            self.hold(arrival.clone(), Duration::ZERO, true);
        }
        if self.rng.random_bool(faults.delay) {
            let time = faults.delay_up_to.mul_f64(self.rng.random_range(0.0..=1.0));
            self.hold(arrival, time, false);
            return None;
        }
        if self.rng.random_bool(faults.reorder) {
            self.hold(arrival, OVERTAKEN_WITHIN, true);
            return None;
        }
        let now = Instant::now();
        for held in self.held.iter_mut().filter(|held| held.follows_next) {
            held.due = now;
        }
        Some(arrival)
    }

    /// Takes the held envelope that was due first, if its time has come.
    fn take_due(&mut self) -> Option<(u64, Envelope)> {
        let (index, first) = self.held.iter().enumerate().min_by_key(|(_, held)| held.due)?;
        (first.due <= Instant::now()).then(|| self.held.remove(index).arrival)
    }
}

#[async_trait]
impl Inbox for LossyInbox {
    async fn next(&mut self) -> Result<(u64, Envelope), RelayError> {
        loop {
            self.check_open()?;
            self.notice_counter_loss().await?;
            if let Some(arrival) = self.take_due() {
                return Ok(arrival);
            }
            let next_due = self.held.iter().map(|held| held.due).min();
            // A fixed order keeps runs repeatable.
            tokio::select! {
                biased;
                arrived = self.inner.next() => {
                    let arrived = arrived?;
                    if let Some(arrival) = self.meet(arrived) {
                        return Ok(arrival);
                    }
                }
                _ = self.cuts.changed() => {}
                () = tokio::time::sleep_until(next_due.unwrap_or_else(Instant::now)), if next_due.is_some() => {}
            }
        }
    }

    async fn counter(&self) -> Result<u64, RelayError> {
        self.check_open()?;
        self.notice_counter_loss().await?;
        let inner = self.inner.counter().await?;
        Ok(self.relay.state().channels.get(&self.gateway).map_or(inner, |channel| {
            // Unlike an envelope, the counter stands at the loss itself, which is the new zero.
            inner - channel.bases.last().unwrap_or(&0)
        }))
    }
}

#[cfg(test)]
mod tests;
