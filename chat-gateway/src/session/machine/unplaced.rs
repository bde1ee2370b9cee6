//! Machines that go on from stored positions: those of polls and event streams.
//!
//! Such a machine knows the chats of its positions. For any other it must not take the first live message as the
//! chat's base: the client was away, and others may be missing before it. Until the caller has looked into the store
//! live messages of unknown chats are therefore held back, and the chats noted for the caller to look at.

use chat_core::id::{ChatId, Rev, Seq};
use chat_core::poll_positions::ChatPosition;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Cursor, Machine, NO_REV, Step};

/// What is not known yet of chats without a cursor.
#[derive(Debug)]
pub(super) struct Unplaced {
    is_held: bool,
    chats: FxHashSet<ChatId>,
}

impl Machine {
    /// Makes a machine that stands at these positions and holds unknown chats back.
    pub(crate) fn restore(positions: &[ChatPosition]) -> Self {
        let cursor = |at: &ChatPosition| (at.chat_id, Cursor::at(at.seq, at.rev.unwrap_or(NO_REV)));
        Self {
            chats: positions.iter().map(cursor).collect::<FxHashMap<_, _>>(),
            bases: FxHashMap::default(),
            behind: Vec::new(),
            unplaced: Some(Box::new(Unplaced { is_held: true, chats: FxHashSet::default() })),
        }
    }

    /// Returns the chats that were held back since the last call. When there is none, nothing is held back any more.
    pub(crate) fn take_unplaced(&mut self) -> Vec<ChatId> {
        let Some(unplaced) = &mut self.unplaced else { return Vec::new() };
        unplaced.is_held = !unplaced.chats.is_empty();
        let mut chats: Vec<ChatId> = unplaced.chats.drain().collect();
        chats.retain(|chat_id| !self.chats.contains_key(chat_id));
        chats
    }

    /// Returns whether a live message is held back, and notes its chat.
    pub(super) fn holds(&mut self, chat_id: ChatId) -> bool {
        let Some(unplaced) = &mut self.unplaced else { return false };
        let is_held = unplaced.is_held && !self.chats.contains_key(&chat_id);
        if is_held {
            unplaced.chats.insert(chat_id);
        }
        is_held
    }

    /// Returns whether a live change goes out without its chat's getting a cursor: one made of an old message's seq
    /// would bring all that came after that message.
    pub(super) fn passes(&self, chat_id: ChatId) -> bool {
        self.unplaced.is_some() && !self.chats.contains_key(&chat_id)
    }

    /// Takes a live message that there is no room for: it is read from the store later, by whoever goes on from here.
    pub(crate) fn leave_message(&mut self, chat_id: ChatId, seq: Seq) -> Step {
        if self.holds(chat_id) {
            return Step::Drop;
        }
        let cursor = self.chats.entry(chat_id).or_insert_with(|| Cursor::at(seq.saturating_sub(1), NO_REV));
        if seq <= cursor.seq() {
            return Step::Drop;
        }
        self.require(chat_id, seq, 0);
        Step::Behind
    }

    /// Takes a live change that there is no room for, like [`leave_message`](Self::leave_message).
    pub(crate) fn leave_change(&mut self, chat_id: ChatId, rev: Rev) -> Step {
        match self.sent_rev(chat_id) {
            Some(sent) if rev > sent => {
                self.require(chat_id, 0, rev);
                Step::Behind
            }
            _ => Step::Drop,
        }
    }

    /// Returns the chats whose changes have no base yet.
    pub(crate) fn without_rev(&self) -> Vec<ChatId> {
        self.chats.iter().filter(|(_, cursor)| cursor.rev().is_none()).map(|(chat_id, _)| *chat_id).collect()
    }

    /// Gives the changes of a chat their base, if they have none.
    pub(crate) fn base_rev(&mut self, chat_id: ChatId, rev: Rev) {
        if let Some(cursor) = self.chats.get_mut(&chat_id)
            && cursor.rev().is_none()
        {
            cursor.rev = rev;
        }
    }

    /// Returns where each chat stands.
    pub(crate) fn positions(&self) -> impl Iterator<Item = ChatPosition> {
        self.chats.iter().map(|(chat_id, cursor)| ChatPosition {
            chat_id: *chat_id,
            seq: cursor.seq(),
            rev: cursor.rev(),
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn chat(n: u128) -> ChatId {
        ChatId(Uuid::from_u128(n))
    }

    fn at(n: u128, seq: Seq, rev: Option<Rev>) -> ChatPosition {
        ChatPosition { chat_id: chat(n), seq, rev }
    }

    #[test]
    fn a_restored_machine_goes_on_where_it_was() {
        let stored = [at(1, 7, Some(2))];
        let mut machine = Machine::restore(&stored);
        assert_eq!(machine.message(chat(1), 7), Step::Drop);
        assert_eq!(machine.message(chat(1), 8), Step::Deliver);
        assert_eq!(machine.message(chat(1), 10), Step::Behind);
        assert_eq!(machine.change(chat(1), 3, 3), Step::Deliver);
        assert_eq!(machine.positions().collect::<Vec<_>>(), [at(1, 8, Some(3))]);
    }

    #[test]
    fn unknown_chats_are_held_back_until_they_are_placed() {
        let mut machine = Machine::restore(&[]);
        assert_eq!(machine.message(chat(1), 7), Step::Drop);
        assert_eq!(machine.take_unplaced(), [chat(1)]);
        machine.begin(chat(1), 4, 0);
        assert_eq!(machine.message(chat(1), 8), Step::Behind);
        assert_eq!(machine.message(chat(2), 3), Step::Drop, "still held");
        assert_eq!(machine.take_unplaced(), [chat(2)]);
        assert_eq!(machine.take_unplaced(), []);
        assert_eq!(machine.message(chat(3), 9), Step::Deliver, "no longer held");
        assert_eq!(machine.without_rev(), [chat(3)]);
        machine.base_rev(chat(3), 5);
        assert_eq!(machine.sent_rev(chat(3)), Some(5));
    }

    #[test]
    fn what_there_is_no_room_for_is_not_counted_as_sent() {
        let mut machine = Machine::restore(&[at(1, 7, Some(2))]);
        assert!(machine.take_unplaced().is_empty());
        assert_eq!(machine.leave_message(chat(1), 7), Step::Drop);
        assert_eq!(machine.leave_message(chat(1), 8), Step::Behind);
        assert_eq!(machine.leave_message(chat(2), 4), Step::Behind);
        assert_eq!(machine.leave_change(chat(1), 3), Step::Behind);
        let mut positions: Vec<_> = machine.positions().collect();
        positions.sort_by_key(|position| position.chat_id);
        assert_eq!(positions, [at(1, 7, Some(2)), at(2, 3, None)]);
    }

    #[test]
    fn a_change_of_an_unknown_chat_is_no_position() {
        let mut machine = Machine::restore(&[]);
        assert_eq!(machine.change(chat(1), 3, 9), Step::Deliver);
        assert_eq!(machine.positions().count(), 0);
    }
}
