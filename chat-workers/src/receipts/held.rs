//! `delivered` cursors that are not written yet: one entry a chat and user, however often it rises.

use std::time::Duration;

use chat_core::id::{ChatId, Seq, UserId};
use chat_core::message_store::Row;
use chat_core::receipt::UserCursors;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

/// Held cursors of one partition.
#[derive(Debug)]
pub(super) struct Held {
    hold: Duration,
    max_cursors: usize,
    cursors: FxHashMap<(ChatId, UserId), UserCursors>,
    /// When they are to be written; set while there are any.
    due: Option<Instant>,
    /// The oldest record that one of them came from.
    oldest: Option<u64>,
}

impl Held {
    /// Makes it empty; what comes in is due after `hold`, or at once when there are more than `max_cursors`.
    pub(super) fn new(hold: Duration, max_cursors: usize) -> Self {
        Self { hold, max_cursors, cursors: FxHashMap::default(), due: None, oldest: None }
    }

    pub(super) fn hold(&mut self, chat_id: ChatId, user: &UserId, delivered: Seq, active: Seq, offset: u64) {
        let told = UserCursors { user: user.clone(), delivered, read: 0, active };
        self.cursors.entry((chat_id, user.clone())).and_modify(|held| held.raise(&told)).or_insert(told);
        let due = self.due.get_or_insert_with(|| Instant::now() + self.hold);
        if self.cursors.len() >= self.max_cursors {
            *due = (*due).min(Instant::now());
        }
        self.oldest = Some(self.oldest.map_or(offset, |oldest| oldest.min(offset)));
    }

    /// Returns what is held of a user in a chat.
    pub(super) fn of(&self, chat_id: ChatId, user: &UserId) -> Option<&UserCursors> {
        self.cursors.get(&(chat_id, user.clone()))
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.oldest
    }

    pub(super) fn is_full(&self) -> bool {
        self.cursors.len() >= 2 * self.max_cursors
    }

    /// Returns the writes.
    pub(super) fn rows(&self) -> Vec<Row> {
        let rows = self.cursors.iter().flat_map(|((chat_id, user), held)| {
            let (chat_id, delivered, active) = (*chat_id, held.delivered, held.active);
            let cursor = Row::Cursor { chat_id, user: user.clone(), delivered, read: 0 };
            let push = Row::PushCursor { chat_id, user: user.clone(), active, pushed: 0 };
            [Some(cursor), Some(push).filter(|_| active > 0)]
        });
        rows.flatten().collect()
    }

    /// Puts the writing off.
    pub(super) fn write_at(&mut self, due: Instant) {
        if self.due.is_some() {
            self.due = Some(due);
        }
    }

    /// Forgets what was written.
    pub(super) fn clear(&mut self) {
        self.cursors = FxHashMap::default();
        (self.due, self.oldest) = (None, None);
    }
}
