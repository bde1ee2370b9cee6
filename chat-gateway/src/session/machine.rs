//! What a session has been sent: the pure machine that keeps every chat in order.
//!
//! A chat has a cursor: the seq up to which its messages went out, and the rev up to which its changes did. Seq n goes
//! out only after n − 1, once. A frame ahead of the cursor is not kept: the chat is *behind*, with the head it must
//! reach, and the rows in between are read from the store, which holds everything the relay tells of. So memory is
//! bounded whatever the relay loses, and a loss is never skipped.
//!
//! Values in, values out: no clock, no lock, no I/O.

use std::collections::hash_map::Entry;

use chat_core::id::{ChatId, Rev, Seq};
use rustc_hash::FxHashMap;

mod unplaced;

/// What to do with a live frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next one: send it.
    Deliver,
    /// It went out before.
    Drop,
    /// Others are missing before it: the chat is behind now, and the store will give this one too.
    Behind,
}

/// A chat whose rows must be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// The chat.
    pub(crate) chat_id: ChatId,
    /// Messages were sent up to here.
    pub(crate) after: Seq,
    /// Changes were sent up to here; `None` where none was ever sent or named.
    pub(crate) after_rev: Option<Rev>,
    /// Messages are known to exist up to here.
    pub(crate) head: Seq,
    /// Changes are known to exist up to here.
    pub(crate) head_rev: Rev,
}

/// Marks the seq of a chat that a `sync` named. A seq needs 53 bits, and a session has one cursor a chat.
const NAMED: u64 = 1 << 63;

/// Stands for "no rev known".
const NO_REV: u64 = u64::MAX;

#[derive(Debug, Clone, Copy)]
struct Cursor {
    seq_and_named: u64,
    rev: u64,
}

impl Cursor {
    fn at(seq: Seq, rev: u64) -> Self {
        Self { seq_and_named: seq, rev }
    }

    fn seq(self) -> Seq {
        self.seq_and_named & !NAMED
    }

    fn is_named(self) -> bool {
        self.seq_and_named & NAMED != 0
    }

    fn set_seq(&mut self, seq: Seq) {
        self.seq_and_named = (self.seq_and_named & NAMED) | seq;
    }

    fn rev(self) -> Option<Rev> {
        (self.rev != NO_REV).then_some(self.rev)
    }
}

#[derive(Debug, Clone, Copy)]
struct Behind {
    chat_id: ChatId,
    head: Seq,
    head_rev: Rev,
}

/// The cursors of one session.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    chats: FxHashMap<ChatId, Cursor>,
    /// From where on live messages went out of chats that no sync has named.
    bases: FxHashMap<ChatId, Seq>,
    behind: Vec<Behind>,
    /// Only where the machine goes on from stored positions.
    unplaced: Option<Box<unplaced::Unplaced>>,
}

impl Machine {
    /// Decides about a live message. The first one of a chat that no sync named sets the chat's base.
    pub(crate) fn message(&mut self, chat_id: ChatId, seq: Seq) -> Step {
        if self.holds(chat_id) {
            return Step::Drop;
        }
        let cursor = match self.chats.entry(chat_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                self.bases.insert(chat_id, seq.saturating_sub(1));
                new.insert(Cursor::at(seq.saturating_sub(1), NO_REV))
            }
        };
        if seq <= cursor.seq() {
            Step::Drop
        } else if seq == cursor.seq() + 1 {
            cursor.set_seq(seq);
            self.settle(chat_id);
            Step::Deliver
        } else {
            self.require(chat_id, seq, 0);
            Step::Behind
        }
    }

    /// Decides about a live edit or delete. The first one of a chat without a rev sets the base of its revs.
    pub(crate) fn change(&mut self, chat_id: ChatId, seq: Seq, rev: Rev) -> Step {
        if self.passes(chat_id) {
            return Step::Deliver;
        }
        let cursor = self.chats.entry(chat_id).or_insert_with(|| Cursor::at(seq, NO_REV));
        match cursor.rev() {
            Some(sent) if rev <= sent => Step::Drop,
            Some(sent) if rev > sent + 1 => {
                self.require(chat_id, 0, rev);
                Step::Behind
            }
            _ => {
                cursor.rev = rev;
                self.settle(chat_id);
                Step::Deliver
            }
        }
    }

    /// Takes the position a `sync` names, and returns where to go on from. Without a rev the client takes changes from
    /// now on: they begin after `head_rev`.
    ///
    /// The first naming of a chat replaces its base, downwards too: the client has dropped what was pushed ahead of its
    /// position. What followed on its position it has taken, and so it does not come again; nor does anything that was
    /// sent before a later naming: a message comes at most once.
    pub(crate) fn name(&mut self, chat_id: ChatId, seq: Seq, rev: Option<Rev>, head_rev: Rev) -> (Seq, Rev) {
        let base = self.bases.remove(&chat_id);
        let cursor = self.chats.entry(chat_id).or_insert_with(|| Cursor::at(seq, NO_REV));
        if cursor.is_named() {
            cursor.set_seq(cursor.seq().max(seq));
            cursor.rev = cursor.rev().max(rev).unwrap_or(head_rev);
        } else {
            let has_followed = base.is_some_and(|base| seq >= base);
            cursor.set_seq(if has_followed { cursor.seq().max(seq) } else { seq });
            cursor.rev = rev.or_else(|| cursor.rev()).unwrap_or(head_rev);
            cursor.seq_and_named |= NAMED;
        }
        let named = *cursor;
        self.settle(chat_id);
        (named.seq(), named.rev)
    }

    /// Puts a chat at its head: its copy is dropped and read again by other means, or nothing of it was ever sent.
    pub(crate) fn rebase(&mut self, chat_id: ChatId, seq: Seq, rev: Rev) {
        self.bases.remove(&chat_id);
        self.chats.insert(chat_id, Cursor::at(seq | NAMED, rev));
        self.settle(chat_id);
    }

    /// Takes the head of a chat as the store has it, and returns whether the session is behind it. A chat that the
    /// session never heard of stays unknown.
    pub(crate) fn head(&mut self, chat_id: ChatId, seq: Seq, rev: Rev) -> bool {
        let Some(cursor) = self.chats.get_mut(&chat_id) else { return false };
        if cursor.rev == NO_REV {
            cursor.rev = rev;
        }
        let is_behind = cursor.seq() < seq || cursor.rev < rev;
        if is_behind {
            self.require(chat_id, seq, rev);
        }
        is_behind
    }

    /// Sets the base of a chat that the session did not hear of, so that what came after it is read.
    pub(crate) fn begin(&mut self, chat_id: ChatId, seq: Seq, rev: Rev) {
        if let Entry::Vacant(new) = self.chats.entry(chat_id) {
            new.insert(Cursor::at(seq, rev));
            self.bases.insert(chat_id, seq);
        }
    }

    /// Returns whether the session has a cursor for the chat.
    pub(crate) fn knows(&self, chat_id: ChatId) -> bool {
        self.chats.contains_key(&chat_id)
    }

    /// Returns the rev up to which a chat's changes were sent.
    pub(crate) fn sent_rev(&self, chat_id: ChatId) -> Option<Rev> {
        self.chats.get(&chat_id).and_then(|cursor| cursor.rev())
    }

    /// Returns the seq up to which a chat's messages were sent.
    pub(crate) fn sent(&self, chat_id: ChatId) -> Option<Seq> {
        self.chats.get(&chat_id).map(|cursor| cursor.seq())
    }

    /// Returns the chats with a cursor.
    pub(crate) fn chats(&self) -> impl Iterator<Item = ChatId> {
        self.chats.keys().copied()
    }

    /// Returns the chat that has been behind longest.
    pub(crate) fn due(&self) -> Option<Due> {
        let behind = self.behind.first()?;
        let cursor = self.chats.get(&behind.chat_id)?;
        Some(Due {
            chat_id: behind.chat_id,
            after: cursor.seq(),
            after_rev: cursor.rev(),
            head: behind.head,
            head_rev: behind.head_rev,
        })
    }

    /// Lets the next chat that is behind go first.
    pub(crate) fn rotate(&mut self) {
        if !self.behind.is_empty() {
            self.behind.rotate_left(1);
        }
    }

    /// Counts every message of `after < seq <= upto` as sent, because the caller holds all of them that the user may
    /// see and sends those above the returned seq now. `None`: there is nothing to send, or something before `after`
    /// is missing because the cursor was lowered meanwhile.
    pub(crate) fn cover(&mut self, chat_id: ChatId, after: Seq, upto: Seq) -> Option<Seq> {
        let cursor = self.chats.get_mut(&chat_id)?;
        let sent = cursor.seq();
        if sent < after || upto <= sent {
            return None;
        }
        cursor.set_seq(upto);
        self.settle(chat_id);
        Some(sent)
    }

    /// Counts every change of `after < rev <= upto` as sent, like [`cover`](Self::cover).
    pub(crate) fn cover_changes(&mut self, chat_id: ChatId, after: Rev, upto: Rev) -> Option<Rev> {
        let cursor = self.chats.get_mut(&chat_id)?;
        let sent = cursor.rev().unwrap_or(after);
        if sent < after || upto <= sent {
            return None;
        }
        cursor.rev = upto;
        self.settle(chat_id);
        Some(sent)
    }

    /// Stops waiting for a chat: there is nothing (more) in it that the user may see.
    pub(crate) fn release(&mut self, chat_id: ChatId) {
        self.behind.retain(|behind| behind.chat_id != chat_id);
    }

    fn require(&mut self, chat_id: ChatId, seq: Seq, rev: Rev) {
        match self.behind.iter_mut().find(|behind| behind.chat_id == chat_id) {
            Some(behind) => {
                behind.head = behind.head.max(seq);
                behind.head_rev = behind.head_rev.max(rev);
            }
            None => self.behind.push(Behind { chat_id, head: seq, head_rev: rev }),
        }
    }

    fn settle(&mut self, chat_id: ChatId) {
        // The common case: nothing is behind, and nothing is to be looked for.
        if self.behind.is_empty() {
            return;
        }
        let Some(cursor) = self.chats.get(&chat_id).copied() else { return };
        let reached = |behind: &Behind| cursor.seq() >= behind.head && cursor.rev().unwrap_or(0) >= behind.head_rev;
        self.behind.retain(|behind| behind.chat_id != chat_id || !reached(behind));
    }
}

#[cfg(test)]
mod tests;
