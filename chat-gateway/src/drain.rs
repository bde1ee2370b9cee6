//! Draining: moving the sessions of this gateway to others before it goes.
//!
//! Not ready, then a pause in which endpoints and load balancers notice, then `reconnect` frames at a rate, and in the
//! last fifth of the time what is left is closed, paced. A drain is a lease: if it is not renewed the gateway takes
//! clients again, so that a crashed operator leaves nobody half-drained.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::codes::CloseCode;
use chat_core::frame::Push;
use chat_core::frame::server::ReconnectReason;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::session::Session;
use crate::state::State;

mod plan;

use plan::{Plan, Step, Terms};

/// How often a drain makes a step.
const STEP_EVERY: Duration = Duration::from_millis(100);

/// `reconnect` frames of one step spread their clients over this time.
const SPREAD_MS: u64 = 1_000;

/// Asks a gateway to move its sessions off. Asking again renews and changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRequest {
    /// When nobody may be left.
    pub deadline_at: Time,
    /// `reconnect` frames a second.
    pub rate: u32,
    /// Seconds after which the drain is withdrawn if it is not asked for again.
    #[serde(default = "default_lease_s")]
    pub lease_s: u64,
}

fn default_lease_s() -> u64 {
    60
}

/// A drain under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainStatus {
    /// When it began.
    pub started_at: Time,
    /// When nobody may be left.
    pub deadline_at: Time,
    /// Sessions at its beginning.
    pub initial: usize,
    /// Sessions now.
    pub remaining: usize,
    /// `reconnect` frames a second.
    pub rate: u32,
}

/// The drain of a gateway, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    is_draining: AtomicBool,
    current: Mutex<Option<Drain>>,
    wake: Notify,
}

#[derive(Debug)]
struct Drain {
    started_at: Time,
    deadline_at: Time,
    initial: usize,
    rate: u32,
    plan: Plan,
    /// Sessions that were not told yet; taken when the telling begins.
    to_tell: Option<Vec<Arc<Session>>>,
}

impl Drains {
    fn lock(&self) -> MutexGuard<'_, Option<Drain>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether new sessions are refused.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }
}

impl State {
    /// Begins, renews or changes the drain.
    pub(crate) fn drain(&self, request: DrainRequest) {
        let now_ms = self.uptime.millis();
        let terms = Terms {
            deadline_ms: now_ms + request.deadline_at.millis_since(self.clock.now()),
            rate: request.rate.max(1),
            lease_until_ms: now_ms.saturating_add(request.lease_s.saturating_mul(1_000)),
        };
        let mut current = self.drains.lock();
        if let Some(drain) = &mut *current {
            drain.deadline_at = request.deadline_at;
            drain.rate = terms.rate;
            drain.plan.renew(terms);
        } else {
            tracing::info!(deadline_at = %request.deadline_at, rate = terms.rate, "drain begins");
            *current = Some(Drain {
                started_at: self.clock.now(),
                deadline_at: request.deadline_at,
                initial: self.admission.connections(),
                rate: terms.rate,
                plan: Plan::new(now_ms, self.config.drain.settle_seconds * 1_000, terms),
                to_tell: None,
            });
        }
        self.drains.is_draining.store(true, Relaxed);
        drop(current);
        self.drains.wake.notify_one();
    }

    /// Withdraws the drain, if there is one.
    pub(crate) fn cancel_drain(&self) {
        if self.drains.lock().take().is_some() {
            tracing::info!("drain withdrawn");
        }
        self.drains.is_draining.store(false, Relaxed);
    }

    /// Returns the drain under way.
    pub(crate) fn drain_status(&self) -> Option<DrainStatus> {
        self.drains.lock().as_ref().map(|drain| DrainStatus {
            started_at: drain.started_at,
            deadline_at: drain.deadline_at,
            initial: drain.initial,
            remaining: self.admission.connections(),
            rate: drain.rate,
        })
    }
}

/// Carries drains out until the gateway stops.
pub(crate) async fn run(state: Arc<State>) {
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = state.drains.wake.notified() => {}
        }
        let mut tick = tokio::time::interval(STEP_EVERY);
        while state.drains.is_draining() {
            tokio::select! {
                () = state.shutdown.cancelled() => return,
                _ = tick.tick() => step(&state),
            }
        }
    }
}

fn step(state: &State) {
    let now_ms = state.uptime.millis();
    let mut current = state.drains.lock();
    let Some(drain) = &mut *current else { return };
    match drain.plan.step(now_ms, state.admission.connections()) {
        Step::Wait => {}
        Step::Withdraw => {
            drop(current);
            tracing::warn!("the drain was not renewed");
            state.cancel_drain();
        }
        Step::Tell(count) => {
            let to_tell = drain.to_tell.get_or_insert_with(|| state.sessions.all());
            let told = to_tell.split_off(to_tell.len().saturating_sub(count));
            drop(current);
            for session in told {
                let after_ms = rand::random_range(0..=SPREAD_MS);
                session.push_frame(&Push::Reconnect { after_ms, reason: ReconnectReason::Drain });
            }
        }
        Step::Close(count) => {
            drop(current);
            let open = state.sessions.all().into_iter().filter(|session| !session.is_closing());
            for session in open.take(count) {
                session.close(CloseCode::Drain);
            }
        }
    }
}
