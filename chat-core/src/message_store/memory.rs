//! The store in memory: for tests and simulations. The same merge and reads as the embedded engine, no durability.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use uuid::Uuid;

use super::tables::{Scan, Tables};
use super::{
    ChatHeader, ChatState, IdKey, IdRow, InboxRow, MemberRow, MessageStore, Order, Roster, Row, SeqRange, StoreError,
    StoredMessage,
};
use crate::id::{ChatId, Rev, Seq, UserId};
use crate::message_log::Position;

/// Keeps all tables in one value. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    tables: Arc<RwLock<Tables>>,
    restore_epoch: Uuid,
}

impl MemoryStore {
    /// Makes an empty store with this restore epoch ([`default`](Default::default): the nil UUID).
    pub fn new(restore_epoch: Uuid) -> Self {
        Self { tables: Arc::default(), restore_epoch }
    }

    /// Returns a copy of the tables as they are now.
    pub fn tables(&self) -> Tables {
        self.read(Tables::clone)
    }

    // A poisoned lock is taken over: `apply` cannot leave a row half merged.
    fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> T {
        read(&self.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, write: impl FnOnce(&mut Tables)) {
        write(&mut self.tables.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[async_trait]
impl MessageStore for MemoryStore {
    async fn write_rows(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.write(|tables| rows.iter().for_each(|row| tables.apply(row)));
        Ok(())
    }

    async fn write_states(&self, states: Vec<(ChatId, ChatState)>) -> Result<(), StoreError> {
        self.write(|tables| states.iter().for_each(|(chat, state)| tables.apply_state(*chat, state)));
        Ok(())
    }

    async fn states(&self, chats: &[ChatId]) -> Result<Vec<Option<ChatState>>, StoreError> {
        self.read(|tables| chats.iter().map(|chat| tables.state(*chat)).collect())
    }

    async fn header(&self, chat: ChatId) -> Result<Option<ChatHeader>, StoreError> {
        self.read(|tables| tables.header(chat))
    }

    async fn roster(&self, chat: ChatId, at: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        self.read(|tables| tables.roster(chat, at))
    }

    async fn roster_before(&self, chat: ChatId, position: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        self.read(|tables| tables.roster_before(chat, position))
    }

    async fn ids(&self, keys: &[IdKey]) -> Result<Vec<Option<IdRow>>, StoreError> {
        self.read(|tables| keys.iter().map(|key| tables.id(key)).collect())
    }

    async fn messages(
        &self,
        chat: ChatId,
        range: SeqRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.read(|tables| tables.messages(chat, range, order, limit))
    }

    async fn changes(&self, chat: ChatId, after: Rev, upto: Rev, limit: usize) -> Result<Vec<(Rev, Seq)>, StoreError> {
        self.read(|tables| tables.changes(chat, after, upto, limit))
    }

    async fn members(&self, chat: ChatId) -> Result<Vec<MemberRow>, StoreError> {
        self.read(|tables| tables.members(chat))
    }

    async fn memberships(&self, user: &UserId, chats: &[ChatId]) -> Result<Vec<Option<MemberRow>>, StoreError> {
        self.read(|tables| chats.iter().map(|chat| tables.membership(user, *chat)).collect())
    }

    async fn inbox(&self, user: &UserId) -> Result<Vec<InboxRow>, StoreError> {
        self.read(|tables| tables.inbox(user))
    }

    async fn restore_epoch(&self) -> Result<Uuid, StoreError> {
        Ok(self.restore_epoch)
    }
}

#[cfg(test)]
mod tests;
