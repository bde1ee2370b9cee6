//! Ports that fail as told, and count, in front of those that work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use chat_core::clock::Time;
use chat_core::id::{ChatId, Rev, Seq, UserId};
use chat_core::message_log::{Append, Appended, Consumer, Entry, LogError, MessageLog, Position, Topic};
use chat_core::message_store::{
    ChatHeader, ChatState, IdKey, IdRow, InboxRow, MemberRow, MessageStore, Order, Roster, Row, SeqRange, StoreError,
    StoredMessage,
};
use uuid::Uuid;

/// What a read of the store comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Works,
    Unavailable,
    Corrupt,
    Panics,
}

/// A store for gateways.
#[derive(Debug)]
pub(crate) struct MoodyStore {
    store: Arc<dyn MessageStore>,
    mood: AtomicU8,
    reads: AtomicU64,
    partitions: AtomicU64,
}

impl MoodyStore {
    pub(crate) fn new(store: Arc<dyn MessageStore>) -> Self {
        Self { store, mood: AtomicU8::new(Mood::Works as u8), reads: AtomicU64::new(0), partitions: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, SeqCst);
    }

    /// Returns how often it was called.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(SeqCst)
    }

    /// Returns how many partitions those calls named: one that names several chats asks for one a chat.
    pub(crate) fn partitions(&self) -> u64 {
        self.partitions.load(SeqCst)
    }

    fn ask(&self) -> Result<&dyn MessageStore, StoreError> {
        self.ask_for(1)
    }

    fn ask_for(&self, partitions: usize) -> Result<&dyn MessageStore, StoreError> {
        self.reads.fetch_add(1, SeqCst);
        self.partitions.fetch_add(partitions as u64, SeqCst);
        let mood = self.mood.load(SeqCst);
        assert!(mood != Mood::Panics as u8, "the defect that the test asked for");
        if mood == Mood::Unavailable as u8 {
            Err(StoreError::Unavailable("as told".to_owned()))
        } else if mood == Mood::Corrupt as u8 {
            Err(StoreError::Corrupt("as told".to_owned()))
        } else {
            Ok(&*self.store)
        }
    }
}

#[async_trait]
impl MessageStore for MoodyStore {
    async fn write_rows(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.ask()?.write_rows(rows).await
    }

    async fn write_states(&self, states: Vec<(ChatId, ChatState)>) -> Result<(), StoreError> {
        self.ask()?.write_states(states).await
    }

    async fn states(&self, chats: &[ChatId]) -> Result<Vec<Option<ChatState>>, StoreError> {
        self.ask_for(chats.len())?.states(chats).await
    }

    async fn header(&self, chat: ChatId) -> Result<Option<ChatHeader>, StoreError> {
        self.ask()?.header(chat).await
    }

    async fn roster(&self, chat: ChatId, at: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        self.ask()?.roster(chat, at).await
    }

    async fn roster_before(&self, chat: ChatId, position: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        self.ask()?.roster_before(chat, position).await
    }

    async fn ids(&self, keys: &[IdKey]) -> Result<Vec<Option<IdRow>>, StoreError> {
        self.ask_for(keys.len())?.ids(keys).await
    }

    async fn messages(
        &self,
        chat: ChatId,
        range: SeqRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.ask()?.messages(chat, range, order, limit).await
    }

    async fn changes(&self, chat: ChatId, after: Rev, upto: Rev, limit: usize) -> Result<Vec<(Rev, Seq)>, StoreError> {
        self.ask()?.changes(chat, after, upto, limit).await
    }

    async fn members(&self, chat: ChatId) -> Result<Vec<MemberRow>, StoreError> {
        self.ask()?.members(chat).await
    }

    async fn memberships(&self, user: &UserId, chats: &[ChatId]) -> Result<Vec<Option<MemberRow>>, StoreError> {
        self.ask_for(chats.len())?.memberships(user, chats).await
    }

    async fn inbox(&self, user: &UserId) -> Result<Vec<InboxRow>, StoreError> {
        self.ask()?.inbox(user).await
    }

    fn kept_since(&self) -> Time {
        self.store.kept_since()
    }

    async fn restore_epoch(&self) -> Result<Uuid, StoreError> {
        self.ask()?.restore_epoch().await
    }
}

/// A log that takes so many records of messages, and never answers the next: as one that its gateway loses.
#[derive(Debug)]
pub(crate) struct StuckLog {
    log: Arc<dyn MessageLog>,
    left: AtomicU64,
    /// Whether the record that is not answered is written.
    writes_last: bool,
    is_stuck: AtomicBool,
}

impl StuckLog {
    pub(crate) fn new(log: Arc<dyn MessageLog>, writes_last: bool) -> Self {
        Self { log, left: AtomicU64::new(u64::MAX), writes_last, is_stuck: AtomicBool::new(false) }
    }

    /// Takes so many more.
    pub(crate) fn take(&self, records: u64) {
        self.left.store(records, SeqCst);
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck.load(SeqCst)
    }
}

#[async_trait]
impl MessageLog for StuckLog {
    fn partitions(&self, topic: Topic) -> u32 {
        self.log.partitions(topic)
    }

    async fn append(&self, append: Append) -> Result<Appended, LogError> {
        let took = self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        if append.topic == Topic::Messages && took.is_err() {
            if self.writes_last && !self.is_stuck.load(SeqCst) {
                self.log.append(append).await?;
            }
            self.is_stuck.store(true, SeqCst);
            return std::future::pending().await;
        }
        self.log.append(append).await
    }

    async fn append_all(&self, appends: Vec<Append>) -> Result<Vec<Appended>, LogError> {
        self.log.append_all(appends).await
    }

    async fn subscribe(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        self.log.subscribe(topic, group).await
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        self.log.read(topic, partition, offset, limit).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.log.end(topic, partition).await
    }
}

/// A log that takes nothing more.
#[derive(Debug)]
pub(crate) struct FullLog(pub(crate) Arc<dyn MessageLog>);

#[async_trait]
impl MessageLog for FullLog {
    fn partitions(&self, topic: Topic) -> u32 {
        self.0.partitions(topic)
    }

    async fn append(&self, _: Append) -> Result<Appended, LogError> {
        Err(LogError::Full)
    }

    async fn append_all(&self, _: Vec<Append>) -> Result<Vec<Appended>, LogError> {
        Err(LogError::Full)
    }

    async fn subscribe(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        self.0.subscribe(topic, group).await
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        self.0.read(topic, partition, offset, limit).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.0.end(topic, partition).await
    }
}
