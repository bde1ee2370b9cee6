//! Who waits for what became of a record.
//!
//! The sequencer sends each verdict to the gateway that appended the record. A verdict may get lost, so the waiter
//! looks into the store after a while itself: the state cell first, then the idempotency key. If the cell is at or
//! past the record and no key is there, the record was refused; in the other order a record decided in between would
//! look refused.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::codes::ErrorCode;
use chat_core::event::{Outcome, Verdict};
use chat_core::frame::Fault;
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::{IdKey, StoreError};
use chat_core::record::Record;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::state::State;
use crate::view::store_fault;

/// How long a verdict is waited for before the store is asked, and how often it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// After this the outcome is unknown.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

type Key = (ChatId, Uuid, UserId);

/// The waiters of one gateway.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    waiters: Mutex<FxHashMap<Key, Vec<oneshot::Sender<Outcome>>>>,
}

impl Outcomes {
    fn lock(&self) -> MutexGuard<'_, FxHashMap<Key, Vec<oneshot::Sender<Outcome>>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, key: &Key) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(key.clone()).or_default().push(sender);
        receiver
    }

    /// Hands a verdict to whoever waits for it; returns whether anybody does.
    pub(crate) fn settle(&self, verdict: &Verdict) -> bool {
        let mut waiters = self.lock();
        if waiters.is_empty() {
            return false;
        }
        let waiting = waiters.remove(&(verdict.chat_id, verdict.id, verdict.actor.clone()));
        drop(waiters);
        let mut is_awaited = false;
        for sender in waiting.into_iter().flatten() {
            // A waiter that has given up hears nothing, and that is all right.
            is_awaited |= sender.send(verdict.outcome.clone()).is_ok();
        }
        is_awaited
    }

    /// Forgets the waiters of a key that are gone.
    fn forget(&self, key: &Key) {
        let mut waiters = self.lock();
        if let Some(waiting) = waiters.get_mut(key) {
            waiting.retain(|sender| !sender.is_closed());
            if waiting.is_empty() {
                waiters.remove(key);
            }
        }
    }
}

/// Removes a waiter however its request ends, also when the client hangs up.
struct Registration<'a> {
    outcomes: &'a Outcomes,
    key: Key,
    receiver: oneshot::Receiver<Outcome>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        self.outcomes.forget(&self.key);
    }
}

impl State {
    /// Appends a record and waits for what becomes of it, at most 5 s: then it is `unavailable`, the outcome unknown.
    pub(crate) async fn append_and_wait(&self, record: &Record) -> Result<Outcome, Fault> {
        let outcome = self.append_and_wait_within(record, GIVE_UP_AFTER).await?;
        outcome.ok_or_else(|| Fault::of(ErrorCode::Unavailable).retry_after(1_000))
    }

    /// Appends a record and waits for what becomes of it; `None`: it is durable and not decided yet.
    pub(crate) async fn append_and_wait_within(
        &self,
        record: &Record,
        within: Duration,
    ) -> Result<Option<Outcome>, Fault> {
        let key = (record.chat_id, record.id, record.actor.clone());
        let receiver = self.outcomes.wait(&key);
        let mut registration = Registration { outcomes: &self.outcomes, key, receiver };
        let appended = self.append(record).await?;
        let give_up = Instant::now() + within;
        loop {
            match tokio::time::timeout(LOOK_EVERY, &mut registration.receiver).await {
                Ok(Ok(outcome)) => return Ok(Some(outcome)),
                Ok(Err(_)) => return Err(Fault::of(ErrorCode::Internal)),
                Err(_) => {}
            }
            match self.look_up(record, appended.position).await {
                Ok(Some(outcome)) => return Ok(Some(outcome)),
                Ok(None) => {}
                Err(error) if error.is_retryable() => tracing::debug!(%error, "failed to look up an outcome"),
                Err(error) => return Err(store_fault(error)),
            }
            if Instant::now() >= give_up {
                return Ok(None);
            }
        }
    }

    async fn look_up(
        &self,
        record: &Record,
        position: chat_core::message_log::Position,
    ) -> Result<Option<Outcome>, StoreError> {
        let head = self.store.states(&[record.chat_id]).await?.pop().flatten();
        let key = IdKey { chat_id: record.chat_id, id: record.id, actor: record.actor.clone() };
        let row = self.store.ids(&[key]).await?.pop().flatten();
        let is_decided = head.is_some_and(|head| head.position >= position);
        Ok(match row {
            // The key's row is written before the cell: only the cell makes it true.
            _ if !is_decided => None,
            Some(row) if row.position == position => Some(Outcome::Applied { seq: row.seq, rev: row.rev }),
            Some(row) if row.position < position => Some(Outcome::Duplicate { seq: row.seq, rev: row.rev }),
            _ => Some(Outcome::Refused { code: ErrorCode::Forbidden }),
        })
    }
}
