//! The reads of the port, said once in terms of `get` and `scan` of one ordered map.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;

use super::{RowKey, StoredRow};
use crate::clock::Time;
use crate::id::{ChatId, Rev, Seq, UserId};
use crate::message_log::Position;
use crate::message_store::{
    ChatHeader, ChatState, IdKey, IdRow, InboxRow, MemberRow, Order, Roster, SeqRange, StoreError, StoredMessage,
};

/// Reads rows from one ordered map; what the port asks for follows from the two required methods.
pub trait Scan {
    /// Returns one row.
    fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, StoreError>;

    /// Visits the rows of a range of keys in order until `visit` breaks; an empty range is no error.
    fn scan(
        &self,
        keys: RangeInclusive<RowKey>,
        order: Order,
        visit: &mut dyn FnMut(RowKey, StoredRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Returns since when messages are kept; see the port.
    fn kept_since(&self) -> Time {
        Time::default()
    }

    /// Reads a state cell.
    fn state(&self, chat: ChatId) -> Result<Option<ChatState>, StoreError> {
        let key = RowKey::State(chat);
        match self.get(&key)? {
            None => Ok(None),
            Some(StoredRow::State(state)) => Ok(state),
            Some(_) => Err(foreign(&key)),
        }
    }

    /// Reads what a chat is.
    fn header(&self, chat: ChatId) -> Result<Option<ChatHeader>, StoreError> {
        let key = RowKey::Chat(chat);
        match self.get(&key)? {
            None => Ok(None),
            Some(StoredRow::Chat(cells)) => Ok(cells.header()),
            Some(_) => Err(foreign(&key)),
        }
    }

    /// Reads the roster written at exactly this position.
    fn roster(&self, chat: ChatId, at: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        let key = RowKey::Roster(chat, at);
        match self.get(&key)? {
            None => Ok(None),
            Some(StoredRow::Roster(roster)) => Ok(roster),
            Some(_) => Err(foreign(&key)),
        }
    }

    /// Reads the newest roster written below this position.
    fn roster_before(&self, chat: ChatId, position: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        let mut newest = None;
        let keys = RowKey::Roster(chat, Position::default())..=RowKey::Roster(chat, position);
        self.scan(keys, Order::NewestFirst, &mut |key, row| match (key, row) {
            (RowKey::Roster(_, at), StoredRow::Roster(roster)) if at < position => {
                newest = roster;
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })?;
        Ok(newest)
    }

    /// Looks up an idempotency key.
    fn id(&self, key: &IdKey) -> Result<Option<IdRow>, StoreError> {
        let key = RowKey::Id(key.clone());
        match self.get(&key)? {
            None => Ok(None),
            Some(StoredRow::Id(row)) => Ok(row),
            Some(_) => Err(foreign(&key)),
        }
    }

    /// Reads messages of a range, at most `limit`.
    fn messages(
        &self,
        chat: ChatId,
        range: SeqRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let mut messages = Vec::new();
        if limit == 0 {
            return Ok(messages);
        }
        let since = self.kept_since();
        let first = match order {
            Order::OldestFirst => self.first_kept(chat, range, since)?,
            Order::NewestFirst => range.after.saturating_add(1),
        };
        let keys = RowKey::Message(chat, first)..=RowKey::Message(chat, range.upto);
        self.scan(keys, order, &mut |key, row| {
            if let (RowKey::Message(_, seq), StoredRow::Message(cells)) = (key, row) {
                if cells.is_before(since) {
                    // Times do not fall: what is older than this has aged out too.
                    return until(order == Order::NewestFirst);
                }
                messages.extend(cells.message(chat, seq));
            }
            until(messages.len() == limit)
        })?;
        Ok(messages)
    }

    /// Returns where a range begins that leaves out what has aged out: rows that are not dropped yet are passed over by
    /// bisection, because there may be many.
    fn first_kept(&self, chat: ChatId, range: SeqRange, since: Time) -> Result<Seq, StoreError> {
        let first = range.after.saturating_add(1);
        if since == Time::default() {
            return Ok(first);
        }
        let mut oldest = None;
        self.scan(
            RowKey::Message(chat, first)..=RowKey::Message(chat, range.upto),
            Order::OldestFirst,
            &mut |key, row| {
                if let (RowKey::Message(_, seq), StoredRow::Message(cells)) = (key, row) {
                    oldest = Some((seq, cells.is_before(since)));
                }
                ControlFlow::Break(())
            },
        )?;
        let Some((mut aged, true)) = oldest else { return Ok(first) };
        let mut kept = range.upto.saturating_add(1);
        while kept - aged > 1 {
            let middle = aged + (kept - aged) / 2;
            match self.get(&RowKey::Message(chat, middle))? {
                Some(StoredRow::Message(cells)) if cells.is_before(since) => aged = middle,
                _ => kept = middle,
            }
        }
        Ok(kept)
    }

    /// Reads which messages were edited or deleted: `after < rev <= upto`, ascending by rev, at most `limit`.
    fn changes(&self, chat: ChatId, after: Rev, upto: Rev, limit: usize) -> Result<Vec<(Rev, Seq)>, StoreError> {
        let mut changes = Vec::new();
        if limit == 0 {
            return Ok(changes);
        }
        let keys = RowKey::Change(chat, after.saturating_add(1))..=RowKey::Change(chat, upto);
        self.scan(keys, Order::OldestFirst, &mut |key, row| {
            if let (RowKey::Change(_, rev), StoredRow::Change(cell)) = (key, row) {
                changes.extend(cell.get().map(|seq| (rev, *seq)));
            }
            until(changes.len() == limit)
        })?;
        Ok(changes)
    }

    /// Reads the member rows of a chat, present and former, ascending by user id.
    fn members(&self, chat: ChatId) -> Result<Vec<MemberRow>, StoreError> {
        let mut members = Vec::new();
        self.scan(RowKey::members_of(chat), Order::OldestFirst, &mut |key, row| {
            if let (RowKey::Member(_, user), StoredRow::Member(cells)) = (key, row) {
                members.extend(cells.member(user));
            }
            ControlFlow::Continue(())
        })?;
        Ok(members)
    }

    /// Reads the member row of one user in one chat.
    fn membership(&self, user: &UserId, chat: ChatId) -> Result<Option<MemberRow>, StoreError> {
        let key = RowKey::Member(chat, user.clone());
        match self.get(&key)? {
            None => Ok(None),
            Some(StoredRow::Member(cells)) => Ok(cells.member(user.clone())),
            Some(_) => Err(foreign(&key)),
        }
    }

    /// Reads the inbox partition of a user, ascending by chat id.
    fn inbox(&self, user: &UserId) -> Result<Vec<InboxRow>, StoreError> {
        let mut inbox = Vec::new();
        self.scan(RowKey::inbox_of(user), Order::OldestFirst, &mut |key, row| {
            if let (RowKey::Inbox(_, chat), StoredRow::Inbox(cells)) = (key, row) {
                inbox.extend(cells.inbox(chat));
            }
            ControlFlow::Continue(())
        })?;
        Ok(inbox)
    }
}

fn until(done: bool) -> ControlFlow<()> {
    if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn foreign(key: &RowKey) -> StoreError {
    StoreError::Corrupt(format!("{key:?} holds a row of another table"))
}
