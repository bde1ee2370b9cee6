//! The dispatcher: the one task that reads this gateway's channel and hands what comes to the sessions.
//!
//! It takes all envelopes that have arrived, serializes each frame once, and gives every session its share under one
//! lock with one wake. It never waits for the store: a gap is noted and resolved beside it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chat_core::relay::{Envelope, Inbox, RelayError};
use futures_util::FutureExt;
use tokio::time::{Instant, MissedTickBehavior};

use crate::state::State;

mod deliver;
pub(crate) mod encode;
mod light;
mod numbers;
pub(crate) mod resolve;

use numbers::{Heard, Numbers};

/// How often the channel's counter is read: with the one reading after it that confirms a loss, two seconds.
const COUNT_EVERY: Duration = Duration::from_millis(900);

/// How long a reading of the counter may take.
const COUNT_WITHIN: Duration = Duration::from_millis(900);

/// Envelopes handled at once, before sessions get to write.
const BATCH: usize = 256;

/// Pauses between attempts to subscribe.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// Reads the channel until the gateway stops.
pub(crate) async fn run(state: Arc<State>) {
    let mut pause = RETRY_FIRST;
    let mut is_first = true;
    while !state.shutdown.is_cancelled() {
        match state.relay.open(&state.id).await {
            Ok(inbox) => {
                state.is_subscribed.store(true, Relaxed);
                if !is_first {
                    // Between the two subscriptions nothing was heard, and perhaps the relay is a new one.
                    note_reset(&state);
                }
                is_first = false;
                pause = RETRY_FIRST;
                let error = read(&state, inbox).await;
                if let Some(error) = error {
                    tracing::warn!(%error, "the subscription broke");
                }
            }
            Err(error) => tracing::warn!(%error, "failed to subscribe"),
        }
        state.is_subscribed.store(false, Relaxed);
        tokio::select! {
            () = state.shutdown.cancelled() => {}
            () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
        }
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// Reads one subscription until it breaks, or (`None`) until the gateway stops.
async fn read(state: &Arc<State>, mut inbox: Box<dyn Inbox>) -> Option<RelayError> {
    let mut numbers = match inbox.counter().await {
        Ok(counter) => Numbers::at(counter),
        Err(error) => return Some(error),
    };
    let mut count = tokio::time::interval_at(Instant::now() + COUNT_EVERY, COUNT_EVERY);
    count.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch: Vec<(u64, Envelope)> = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return None,
            _ = count.tick() => match tokio::time::timeout(COUNT_WITHIN, inbox.counter()).await {
                Ok(Ok(counter)) => match numbers.count(counter) {
                    Heard::InOrder => {}
                    Heard::Gap => note_gap(state),
                    Heard::Reset => note_reset(state),
                },
                Ok(Err(error)) => return Some(error),
                Err(_) => return Some(RelayError::Unavailable("the counter was not answered in time".to_owned())),
            },
            next = inbox.next() => match next {
                Ok(numbered) => batch.push(numbered),
                Err(error) => return Some(error),
            },
        }
        let mut broke = None;
        while !batch.is_empty() && batch.len() < BATCH {
            match inbox.next().now_or_never() {
                Some(Ok(numbered)) => batch.push(numbered),
                Some(Err(error)) => {
                    broke = Some(error);
                    break;
                }
                None => break,
            }
        }
        let mut is_gap = false;
        for (number, _) in &batch {
            is_gap |= numbers.envelope(*number) != Heard::InOrder;
        }
        is_gap |= deliver::deliver(state, batch.drain(..).map(|(_, envelope)| envelope));
        if is_gap {
            note_gap(state);
        }
        if broke.is_some() {
            return broke;
        }
        // The sessions that were woken write now; without this a busy channel would starve them on one thread.
        tokio::task::yield_now().await;
    }
}

fn note_gap(state: &State) {
    state.metrics.gaps.inc();
    state.gap.notify_one();
}

/// Notes a gap that may have taken the routes along: until they are back nothing comes at all.
fn note_reset(state: &State) {
    state.routes.refresh();
    note_gap(state);
}
