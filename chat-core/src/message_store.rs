//! Port: the store of chats, messages, members and cursors. A projection of the log, made by the sequencer.
//!
//! # Tables
//! Each [`Row`] is one write to one row of one table; [`row`] says which cells it sets. The tables are those of
//! `docs/data.md`: chats, rosters, messages, message ids, changes, chat members, chats by user.
//!
//! # Contract
//! - **Last writer wins, cell by cell.** Every row derived from the log carries a write timestamp made from the
//!   position. A write with an older timestamp than the cell's MUST NOT change the cell; with an equal one, either may
//!   win, because equal timestamps carry equal values (the state cell excepted: there the lower position wins).
//!   Cursors and active slots are max registers: a lower value never replaces a higher one.
//! - **Rows before heads.** The caller writes stage 1 ([`write_rows`](MessageStore::write_rows)), waits, then stage 2
//!   ([`write_states`](MessageStore::write_states)). The engine need not make either atomic: any subset of a failed
//!   call's writes MAY have landed, and MAY still land later.
//! - **Durable when acknowledged, or lost together.** What `write_rows` acknowledged MUST be in the store before the
//!   state cell that is written afterwards, also after a crash. An engine MAY lose an acknowledged suffix of all
//!   writes in a crash only if it loses the consumer's later commits with it (the embedded engine: one journal).
//! - Reads see every write acknowledged before they began. Rows above the state cell MAY be visible: readers read the
//!   state cell first and bound what they ask for by it.
//! - **Messages age out.** Rows of messages created before [`kept_since`](MessageStore::kept_since) are not read, and
//!   the engine MAY have dropped them. Message times never fall within a chat, so what is kept is always its end.
//! - Every call MUST return within its deadline (engines: 5 s) with [`StoreError::Unavailable`] otherwise.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::clock::Time;
use crate::id::{ChatId, Rev, Seq, UserId};
use crate::message_log::Position;

#[cfg(feature = "cassandra")]
pub mod cassandra;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod embedded;
mod kept;
pub mod memory;
pub mod roster;
pub mod row;
pub mod tables;

pub use kept::Kept;
pub use roster::{Roster, RosterMember};
pub use row::{ChatHeader, ChatState, IdKey, IdRow, InboxRow, MemberRow, Row, StoredMessage};

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer in time: a write may or may not have landed.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What the store holds cannot be read: a defect or damage, never retried blindly.
    #[error("the store holds an unreadable row: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Returns whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Which way to read messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Lowest seq first.
    OldestFirst,
    /// Highest seq first.
    NewestFirst,
}

/// A range of messages of one chat: `after < seq <= upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeqRange {
    /// Exclusive lower end.
    pub after: Seq,
    /// Inclusive upper end; never above the state cell's seq.
    pub upto: Seq,
}

/// The store.
#[async_trait]
pub trait MessageStore: Send + Sync + fmt::Debug {
    /// Stage 1: writes rows; resolves when all are acknowledged.
    async fn write_rows(&self, rows: Vec<Row>) -> Result<(), StoreError>;

    /// Stage 2: writes state cells, the commit point of a batch.
    async fn write_states(&self, states: Vec<(ChatId, ChatState)>) -> Result<(), StoreError>;

    /// Reads state cells, in the order asked; `None` where the chat does not exist.
    async fn states(&self, chats: &[ChatId]) -> Result<Vec<Option<ChatState>>, StoreError>;

    /// Reads what a chat is.
    async fn header(&self, chat: ChatId) -> Result<Option<ChatHeader>, StoreError>;

    /// Reads the roster written at exactly this position.
    async fn roster(&self, chat: ChatId, at: Position) -> Result<Option<Arc<Roster>>, StoreError>;

    /// Reads the newest roster written below this position.
    async fn roster_before(&self, chat: ChatId, position: Position) -> Result<Option<Arc<Roster>>, StoreError>;

    /// Looks up idempotency keys, in the order asked.
    async fn ids(&self, keys: &[IdKey]) -> Result<Vec<Option<IdRow>>, StoreError>;

    /// Reads messages of a range, at most `limit`.
    async fn messages(
        &self,
        chat: ChatId,
        range: SeqRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError>;

    /// Returns since when messages are kept: those created before have aged out. The beginning of time, where they are
    /// kept for ever.
    fn kept_since(&self) -> Time {
        Time::default()
    }

    /// Returns the seq of the oldest message that has not aged out, `head + 1` where all have. Reads nothing where
    /// messages are kept for ever.
    async fn first_seq(&self, chat: ChatId, head: Seq) -> Result<Seq, StoreError> {
        if self.kept_since() == Time::default() {
            return Ok(1);
        }
        let oldest = self.messages(chat, SeqRange { after: 0, upto: head }, Order::OldestFirst, 1).await?;
        Ok(oldest.first().map_or(head + 1, |row| row.message.seq))
    }

    /// Reads which messages were edited or deleted: `after < rev <= upto`, ascending by rev, at most `limit`.
    async fn changes(&self, chat: ChatId, after: Rev, upto: Rev, limit: usize) -> Result<Vec<(Rev, Seq)>, StoreError>;

    /// Reads the member rows of a chat, present and former.
    async fn members(&self, chat: ChatId) -> Result<Vec<MemberRow>, StoreError>;

    /// Reads one member row of each chat for one user, in the order asked.
    async fn memberships(&self, user: &UserId, chats: &[ChatId]) -> Result<Vec<Option<MemberRow>>, StoreError>;

    /// Reads the inbox partition of a user: every chat they are or were in.
    async fn inbox(&self, user: &UserId) -> Result<Vec<InboxRow>, StoreError>;

    /// Returns the restore epoch: a UUID made with the store, changed only when a backup is restored.
    async fn restore_epoch(&self) -> Result<Uuid, StoreError>;
}
