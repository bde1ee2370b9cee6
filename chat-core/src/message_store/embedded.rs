//! The store on the embedded database: rows by [`RowKey`], merged by the writer and written without a sync of their
//! own; `crate::embedded` says why that loses nothing. Rows that the log cannot make again are synced before they are
//! acknowledged.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::tables::{RowKey, Scan, StoredRow};
use super::{
    ChatHeader, ChatState, IdKey, IdRow, InboxRow, Kept, MemberRow, MessageStore, Order, Roster, Row, SeqRange,
    StoreError, StoredMessage,
};
use crate::clock::Time;
use crate::embedded::{Engine, Worker};
use crate::id::{ChatId, Rev, Seq, UserId};
use crate::message_log::Position;

mod retention;
mod writer;

use retention::Sweeper;
use writer::{Command, Writer, Writes};

/// The port's deadline for every call.
const DEADLINE: Duration = Duration::from_secs(5);

/// Calls that may wait for the writer; further ones wait for a place, within the deadline.
const QUEUE: usize = 1024;

/// Rows that one group takes at most.
const GROUP_ROWS: usize = 16 << 10;

/// The store of an embedded database; opened by [`EmbeddedDb::open`](crate::embedded::EmbeddedDb::open).
#[derive(Debug)]
pub struct EmbeddedStore {
    writer: Worker<Command>,
    engine: Arc<Engine>,
    kept: Option<Kept>,
    /// Drops what has aged out, as long as the store is open.
    _sweeper: Option<Sweeper>,
}

impl EmbeddedStore {
    pub(crate) fn open(engine: Arc<Engine>, kept: Option<Kept>) -> std::io::Result<Self> {
        let mut writer = Writer::new(Arc::clone(&engine));
        let writer = Worker::spawn("store-writer", QUEUE, GROUP_ROWS, move |group| writer.run(group))?;
        let sweeper = kept.clone().map(|kept| Sweeper::spawn(Arc::clone(&engine), kept)).transpose()?;
        Ok(Self { writer, engine, kept, _sweeper: sweeper })
    }

    async fn write(&self, writes: Writes) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let work = async {
            self.writer.queue().send(Command { writes, reply }).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        tokio::time::timeout(DEADLINE, work).await.map_err(unavailable)?
    }

    /// Reads where it may block: a row may have to come from the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let engine = Arc::clone(&self.engine);
        let work = tokio::task::spawn_blocking(move || read(&engine));
        tokio::time::timeout(DEADLINE, work).await.map_err(unavailable)?.map_err(unavailable)?
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store's writer has stopped".to_owned())
}

impl Scan for Engine {
    fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, StoreError> {
        let bytes = self.rows.get(key.encode()).map_err(unavailable)?;
        bytes.map(|bytes| StoredRow::decode(key, &bytes)).transpose()
    }

    fn scan(
        &self,
        keys: RangeInclusive<RowKey>,
        order: Order,
        visit: &mut dyn FnMut(RowKey, StoredRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut rows = self.rows.range(keys.start().encode()..=keys.end().encode());
        let mut next = || match order {
            Order::OldestFirst => rows.next(),
            Order::NewestFirst => rows.next_back(),
        };
        while let Some(pair) = next() {
            let (key, value) = pair.into_inner().map_err(unavailable)?;
            let key = RowKey::decode(&key).ok_or_else(|| StoreError::Corrupt(format!("key {key:?}")))?;
            let row = StoredRow::decode(&key, &value)?;
            if visit(key, row).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The rows without the messages that have aged out.
struct Aged<'a> {
    engine: &'a Engine,
    since: Time,
}

impl Scan for Aged<'_> {
    fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, StoreError> {
        self.engine.get(key)
    }

    fn scan(
        &self,
        keys: RangeInclusive<RowKey>,
        order: Order,
        visit: &mut dyn FnMut(RowKey, StoredRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.engine.scan(keys, order, visit)
    }

    fn kept_since(&self) -> Time {
        self.since
    }
}

#[async_trait]
impl MessageStore for EmbeddedStore {
    async fn write_rows(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.write(Writes::Rows(rows)).await
    }

    async fn write_states(&self, states: Vec<(ChatId, ChatState)>) -> Result<(), StoreError> {
        self.write(Writes::States(states)).await
    }

    async fn states(&self, chats: &[ChatId]) -> Result<Vec<Option<ChatState>>, StoreError> {
        let chats = chats.to_vec();
        self.read(move |engine| chats.iter().map(|chat| engine.state(*chat)).collect()).await
    }

    async fn header(&self, chat: ChatId) -> Result<Option<ChatHeader>, StoreError> {
        self.read(move |engine| engine.header(chat)).await
    }

    async fn roster(&self, chat: ChatId, at: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        self.read(move |engine| engine.roster(chat, at)).await
    }

    async fn roster_before(&self, chat: ChatId, position: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        self.read(move |engine| engine.roster_before(chat, position)).await
    }

    async fn ids(&self, keys: &[IdKey]) -> Result<Vec<Option<IdRow>>, StoreError> {
        let keys = keys.to_vec();
        self.read(move |engine| keys.iter().map(|key| engine.id(key)).collect()).await
    }

    async fn messages(
        &self,
        chat: ChatId,
        range: SeqRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let since = self.kept_since();
        self.read(move |engine| Aged { engine, since }.messages(chat, range, order, limit)).await
    }

    fn kept_since(&self) -> Time {
        self.kept.as_ref().map_or_else(Time::default, Kept::since)
    }

    async fn changes(&self, chat: ChatId, after: Rev, upto: Rev, limit: usize) -> Result<Vec<(Rev, Seq)>, StoreError> {
        self.read(move |engine| engine.changes(chat, after, upto, limit)).await
    }

    async fn members(&self, chat: ChatId) -> Result<Vec<MemberRow>, StoreError> {
        self.read(move |engine| engine.members(chat)).await
    }

    async fn memberships(&self, user: &UserId, chats: &[ChatId]) -> Result<Vec<Option<MemberRow>>, StoreError> {
        let (user, chats) = (user.clone(), chats.to_vec());
        self.read(move |engine| chats.iter().map(|chat| engine.membership(&user, *chat)).collect()).await
    }

    async fn inbox(&self, user: &UserId) -> Result<Vec<InboxRow>, StoreError> {
        let user = user.clone();
        self.read(move |engine| engine.inbox(&user)).await
    }

    async fn restore_epoch(&self) -> Result<Uuid, StoreError> {
        Ok(self.engine.restore_epoch)
    }
}

#[cfg(test)]
mod tests;
