//! Receipts on their way to the log: what the users of this gateway tell within one tick becomes one record a chat.
//!
//! A cursor is acknowledged when it is taken here, not when it is durable: it only ever rises, and the next one of the
//! same chat says all that this one said. So a gateway that dies costs at most what a tick held, until the reader
//! reads on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::id::ChatId;
use chat_core::message_log::{MessageLog, Topic};
use chat_core::receipt::{ReceiptRecord, UserCursors};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::state::State;

/// How long cursors are gathered before they are told (design: 200-500 ms).
const TICK: Duration = Duration::from_millis(250);

/// Cursors that may wait; beyond it a receipt is `overloaded`.
const MAX_WAITING: usize = 100_000;

/// Records of one call to the log.
const RECORDS_AT_ONCE: usize = 512;

/// Cursors of one record. A chat has at most 500 members, so this bounds a record whatever the limits say.
const CURSORS_A_RECORD: usize = 512;

/// Pauses after the log did not take them.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// The cursors that wait for the next tick.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

/// Cursors by chat, merged by user. Pure.
#[derive(Debug, Default)]
struct Waiting {
    chats: FxHashMap<ChatId, Vec<UserCursors>>,
    count: usize,
}

impl Waiting {
    /// Merges cursors in; `false` when there is no room for one more user.
    fn raise(&mut self, chat_id: ChatId, cursors: UserCursors) -> bool {
        let users = self.chats.entry(chat_id).or_default();
        if let Some(known) = users.iter_mut().find(|known| known.user == cursors.user) {
            known.raise(&cursors);
            return true;
        }
        if self.count >= MAX_WAITING {
            if users.is_empty() {
                self.chats.remove(&chat_id);
            }
            return false;
        }
        users.push(cursors);
        self.count += 1;
        true
    }

    /// Takes everything as records.
    fn take(&mut self) -> Vec<ReceiptRecord> {
        self.count = 0;
        let mut records = Vec::with_capacity(self.chats.len());
        for (chat_id, mut cursors) in self.chats.drain() {
            while cursors.len() > CURSORS_A_RECORD {
                let rest = cursors.split_off(CURSORS_A_RECORD);
                records.push(ReceiptRecord::new(chat_id, std::mem::replace(&mut cursors, rest)));
            }
            records.push(ReceiptRecord::new(chat_id, cursors));
        }
        if self.chats.capacity() > 1_024 {
            self.chats.shrink_to_fit();
        }
        records
    }
}

impl Receipts {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the cursors of one receipt.
    pub(crate) fn raise(&self, chat_id: ChatId, cursors: UserCursors) -> Result<(), Fault> {
        let is_taken = self.lock().raise(chat_id, cursors);
        self.wake.notify_one();
        if is_taken { Ok(()) } else { Err(Fault::of(ErrorCode::Overloaded).retry_after(1_000)) }
    }
}

impl Receipts {
    /// Puts back what the log did not take; returns how many cursors have no room any more. Those are the oldest
    /// knowledge: their readers tell newer.
    fn put_back(&self, records: Vec<ReceiptRecord>) -> usize {
        let mut waiting = self.lock();
        let mut lost = 0;
        for ReceiptRecord { chat_id, cursors, .. } in records {
            lost += cursors.into_iter().filter(|cursors| !waiting.raise(chat_id, cursors.clone())).count();
        }
        lost
    }
}

/// Tells cursors to the log, tick by tick, until the gateway stops; what waits then is told first.
pub(crate) async fn run(state: Arc<State>) {
    let partitions = state.log.partitions(Topic::Receipts);
    let mut pause = RETRY_FIRST;
    let mut is_stopping = false;
    while !is_stopping {
        tokio::select! {
            () = state.shutdown.cancelled() => is_stopping = true,
            () = gathered(&state.receipts) => {}
        }
        let records = state.receipts.lock().take();
        if append(&*state.log, &records, partitions).await {
            pause = RETRY_FIRST;
            continue;
        }
        let lost = state.receipts.put_back(records);
        tracing::warn!(lost, ?pause, "receipts wait for the log");
        state.receipts.wake.notify_one();
        tokio::select! {
            () = state.shutdown.cancelled() => {}
            () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
        }
        pause = (pause * 2).min(RETRY_LAST);
    }
}

async fn gathered(receipts: &Receipts) {
    receipts.wake.notified().await;
    tokio::time::sleep(TICK).await;
}

/// Appends records; returns whether the log took them all. Those it took before it failed are told again: cursors only
/// rise.
async fn append(log: &dyn MessageLog, records: &[ReceiptRecord], partitions: u32) -> bool {
    for batch in records.chunks(RECORDS_AT_ONCE) {
        let appends = batch.iter().map(|record| record.to_append(partitions)).collect();
        if let Err(error) = log.append_all(appends).await {
            tracing::warn!(%error, records = records.len(), "failed to append receipts");
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use chat_core::id::UserId;
    use uuid::Uuid;

    use super::*;

    fn cursors(user: &str, delivered: u64, read: u64) -> UserCursors {
        UserCursors::new(UserId::new(user).unwrap(), delivered, read, true)
    }

    #[test]
    fn a_tick_is_one_record_a_chat_and_one_entry_a_user() {
        let (a, b) = (ChatId(Uuid::from_u128(1)), ChatId(Uuid::from_u128(2)));
        let mut waiting = Waiting::default();
        for (chat_id, told) in
            [(a, cursors("ann", 3, 0)), (a, cursors("bob", 5, 5)), (b, cursors("ann", 1, 0)), (a, cursors("ann", 2, 2))]
        {
            assert!(waiting.raise(chat_id, told));
        }
        let mut records = waiting.take();
        records.sort_by_key(|record| record.chat_id);
        let expected = [
            ReceiptRecord::new(a, vec![cursors("ann", 3, 2), cursors("bob", 5, 5)]),
            ReceiptRecord::new(b, vec![cursors("ann", 1, 0)]),
        ];
        assert_eq!(records, expected);
        assert_eq!(waiting.take(), []);
    }

    #[test]
    fn what_waits_is_bounded_but_known_users_still_rise() {
        let chat_id = ChatId(Uuid::from_u128(1));
        let mut waiting = Waiting { count: MAX_WAITING - 1, ..Waiting::default() };
        assert!(waiting.raise(chat_id, cursors("ann", 1, 0)));
        assert!(!waiting.raise(chat_id, cursors("bob", 1, 0)));
        assert!(!waiting.raise(ChatId(Uuid::from_u128(2)), cursors("ann", 1, 0)));
        assert!(waiting.raise(chat_id, cursors("ann", 2, 0)));
        assert_eq!(waiting.chats.len(), 1, "a refused chat leaves nothing behind");
    }
}
