//! A chat in memory: its state cell, members, header and recent ids.
//!
//! An entry stays while any write derived from it is not acknowledged, because a reload would read a state that is
//! older than what was decided. The partition loop guarantees that: it decides on its own copies, puts them back when
//! the batch is acknowledged, and drops everything after any failure.

use std::collections::VecDeque;
use std::sync::Arc;

use chat_core::clock::Time;
use chat_core::id::{Rev, Seq, UserId, v7_millis};
use chat_core::message_log::Position;
use chat_core::message_store::{ChatHeader, ChatState, Roster};
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::decide::CLOCK_AHEAD_MS;

/// How long an applied id is kept in memory, by the log's time.
const WINDOW_MS: u64 = 10 * 60_000;

/// How many applied ids a chat keeps in memory at most.
const WINDOW_IDS: usize = 4_096;

/// A chat in memory.
#[derive(Debug, Clone)]
pub struct CachedChat {
    /// The state cell.
    pub state: ChatState,
    /// The members.
    pub roster: Arc<Roster>,
    /// What the chat is; absent where it does not exist.
    pub header: Option<ChatHeader>,
    /// Recently applied ids.
    pub ids: RecentIds,
    /// The last activity slot written to the members' inboxes, 0 when not known.
    pub active_slot: u64,
}

impl CachedChat {
    /// Makes the entry of a chat as the store has it. A chat that the store does not have has no older ids either.
    /// `now` is the log's time, which may have been later before: the write timestamp never fell.
    pub fn loaded(stored: Option<ChatState>, header: Option<ChatHeader>, roster: Arc<Roster>, now: Time) -> Self {
        let latest = |state: ChatState| now.max(Time::from_millis(state.ts / 1000));
        let complete_since = stored.map_or_else(Time::default, latest);
        Self {
            state: stored.unwrap_or_default(),
            roster,
            header,
            ids: RecentIds { complete_since, ..RecentIds::default() },
            active_slot: 0,
        }
    }
}

/// The ids applied in a chat since some time.
#[derive(Debug, Clone, Default)]
pub struct RecentIds {
    /// Every id applied later than this is in `found`.
    complete_since: Time,
    found: FxHashMap<(Uuid, UserId), (Position, Seq, Rev)>,
    order: VecDeque<(Time, Uuid, UserId)>,
}

impl RecentIds {
    /// Returns what an id was applied as below `position`, as far as memory knows.
    pub fn get(&self, id: Uuid, actor: &UserId, position: Position) -> Option<(Seq, Rev)> {
        // The key is cloned for the look-up only: both halves are cheap.
        let (at, seq, rev) = self.found.get(&(id, actor.clone()))?;
        (*at < position).then_some((*seq, *rev))
    }

    /// Returns whether only the store can tell that an id is new: its time is outside what memory covers.
    ///
    /// An id that was made at most [`CLOCK_AHEAD_MS`] ahead of the log was first appended later than its own time less
    /// that; so when memory is complete since before then, what it does not hold was never applied. Ids that ran
    /// farther ahead when they were applied are below `ids_ahead_until` of the state cell.
    pub fn must_ask_store(&self, id: Uuid, now: Time, ids_ahead_until: Time) -> bool {
        let Some(made) = v7_millis(id).map(Time::from_millis) else { return true };
        made > now.plus_millis(CLOCK_AHEAD_MS)
            || made <= self.complete_since.plus_millis(CLOCK_AHEAD_MS)
            || made <= ids_ahead_until
    }

    /// Notes an applied id.
    pub fn insert(&mut self, id: Uuid, actor: &UserId, position: Position, applied: (Seq, Rev), now: Time) {
        if self.found.insert((id, actor.clone()), (position, applied.0, applied.1)).is_none() {
            self.order.push_back((now, id, actor.clone()));
        }
    }

    /// Forgets ids outside the window. Only between batches: within one, an id that memory held when the batch's reads
    /// were chosen was not asked for, so it must still be there when its retry is decided.
    pub fn forget(&mut self, now: Time) {
        while let Some((time, _, _)) = self.order.front()
            && (self.order.len() > WINDOW_IDS || now.millis_since(*time) > WINDOW_MS)
            && let Some((time, id, actor)) = self.order.pop_front()
        {
            self.found.remove(&(id, actor));
            self.complete_since = self.complete_since.max(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_764_000_000_000);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn v7(time: Time, n: u64) -> Uuid {
        Uuid::from_u128((u128::from(time.millis()) << 80) | (7 << 76) | (0b10 << 62) | u128::from(n))
    }

    fn position(offset: u64) -> Position {
        Position { epoch: 1, partition: 0, offset }
    }

    #[test]
    fn an_id_counts_only_above_its_position() {
        let ann = UserId::new("ann").unwrap();
        let mut ids = RecentIds::default();
        ids.insert(v7(NOW, 1), &ann, position(5), (3, 0), NOW);
        assert_eq!(ids.get(v7(NOW, 1), &ann, position(6)), Some((3, 0)));
        assert_eq!(ids.get(v7(NOW, 1), &ann, position(5)), None, "the same record is no duplicate of itself");
        assert_eq!(ids.get(v7(NOW, 1), &UserId::new("bob").unwrap(), position(6)), None);
    }

    #[test]
    fn a_new_chat_never_asks_the_store_for_ids_of_today() {
        let chat = CachedChat::loaded(None, None, Arc::default(), NOW);
        assert!(!chat.ids.must_ask_store(v7(NOW, 1), NOW, Time::default()));
    }

    #[test]
    fn a_loaded_chat_asks_until_memory_covers_the_id() {
        let chat = CachedChat::loaded(Some(ChatState::default()), None, Arc::default(), NOW);
        let ask = |made: u64, now: u64| chat.ids.must_ask_store(v7(at(made), 1), at(now), Time::default());
        let now = NOW.millis();
        assert!(ask(now, now), "made when the chat was loaded");
        assert!(ask(now + CLOCK_AHEAD_MS, now + CLOCK_AHEAD_MS), "a clock two minutes ahead may have sent it before");
        assert!(!ask(now + CLOCK_AHEAD_MS + 1, now + CLOCK_AHEAD_MS));
        assert!(ask(now + 3 * CLOCK_AHEAD_MS, now + CLOCK_AHEAD_MS), "a wrong clock pays");
    }

    #[test]
    fn a_log_whose_clock_went_back_does_not_hide_what_was_applied_before() {
        let last = NOW.plus_millis(30_000);
        let state = ChatState { ts: last.millis() * 1000, ..ChatState::default() };
        let chat = CachedChat::loaded(Some(state), None, Arc::default(), NOW);
        let made = last.plus_millis(CLOCK_AHEAD_MS);
        assert!(chat.ids.must_ask_store(v7(made, 1), made, Time::default()));
    }

    #[test]
    fn an_id_applied_far_ahead_of_the_log_is_asked_for_later_too() {
        let chat = CachedChat::loaded(Some(ChatState::default()), None, Arc::default(), NOW);
        let hour = 3_600_000;
        let id = v7(NOW.plus_millis(hour), 1);
        let later = NOW.plus_millis(hour);
        assert!(!chat.ids.must_ask_store(id, later, Time::default()), "its time alone tells nothing any more");
        assert!(chat.ids.must_ask_store(id, later, later), "the state cell remembers");
    }

    #[test]
    fn memory_is_bounded_and_knows_what_it_forgot() {
        let ann = UserId::new("ann").unwrap();
        let mut ids = RecentIds::default();
        for n in 0..(WINDOW_IDS as u64 + 10) {
            ids.insert(v7(NOW.plus_millis(n), n), &ann, position(n), (n, 0), NOW.plus_millis(n));
        }
        assert!(ids.get(v7(NOW, 0), &ann, position(99_998)).is_some(), "nothing is forgotten within a batch");
        ids.forget(NOW.plus_millis(WINDOW_IDS as u64 + 10));
        assert_eq!(ids.found.len(), WINDOW_IDS);
        assert!(ids.must_ask_store(v7(NOW, 0), NOW.plus_millis(CLOCK_AHEAD_MS), Time::default()));
        let later = NOW.plus_millis(2 * WINDOW_MS);
        ids.insert(v7(later, 1), &ann, position(99_999), (1, 0), later);
        ids.forget(later);
        assert_eq!((ids.found.len(), ids.order.len()), (1, 1));
    }
}
