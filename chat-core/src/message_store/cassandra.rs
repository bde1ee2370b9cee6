//! The store on Cassandra: one row of the port is one statement, whose write timestamp comes from the log.
//!
//! The merge is the engine's own: of two writes to a cell the higher timestamp holds. Of two with one timestamp it
//! keeps the value whose bytes are greater, so a state cell begins with the complement of its position. A max register
//! is written with its value as its timestamp. Where messages age out, their cells have a time to live from when they
//! were written, so none goes before its age, and reads leave out what is older. Nothing is ever set to null: what a write does not concern is unset, and
//! what it empties gets an empty text.

use std::sync::Arc;

use async_trait::async_trait;
use scylla::value::CqlTimestamp;
use uuid::Uuid;

use super::{
    ChatHeader, ChatState, IdKey, IdRow, InboxRow, Kept, MemberRow, MessageStore, Order, Roster, Row, SeqRange,
    StoreError, StoredMessage,
};
use crate::cassandra::values::{long, number, position_bytes, time};
use crate::cassandra::{Cassandra, OpenError, each, unavailable, unreadable, within};
use crate::clock::Time;
use crate::id::{ChatId, Rev, Seq, UserId};
use crate::message_log::Position;

mod cells;
mod flights;
mod highest;
mod statements;
mod write;

use flights::Flights;
use statements::Statements;

/// The longest time to live that the engine takes, in seconds: 20 years.
const LONGEST_TTL: i32 = 630_720_000;

/// Messages, and changes, of one partition.
const BUCKET: u64 = 10_000;

type Page = Result<Arc<Vec<StoredMessage>>, StoreError>;

/// The store on Cassandra. Clones share it.
#[derive(Debug, Clone)]
pub struct CassandraStore {
    cassandra: Cassandra,
    statements: Arc<Statements>,
    pages: Arc<Flights<(ChatId, SeqRange, bool, usize), Page>>,
    kept: Option<Kept>,
    /// Time to live of the cells of messages, in seconds; 0 is for ever.
    ttl: i32,
}

impl CassandraStore {
    /// Prepares the statements of the store. `kept` says how long messages are kept; `None` is for ever. A new age holds
    /// at once for what is read, and for what is written from then on: what was written with a shorter one goes with it.
    pub async fn open(cassandra: Cassandra, kept: Option<Kept>) -> Result<Self, OpenError> {
        let statements = Arc::new(Statements::prepare(&cassandra).await?);
        let ttl = kept.as_ref().map_or(0, |kept| {
            let seconds = kept.age().as_secs() + u64::from(kept.age().subsec_nanos() > 0);
            i32::try_from(seconds).unwrap_or(LONGEST_TTL).min(LONGEST_TTL)
        });
        Ok(Self { cassandra, statements, pages: Arc::default(), kept, ttl })
    }

    async fn state(&self, chat: ChatId) -> Result<Option<ChatState>, StoreError> {
        let row: Option<(Option<Vec<u8>>,)> = self.cassandra.row(&self.statements.state, (chat.0,)).await?;
        row.and_then(|(cell,)| cell).map(|cell| cells::state_of(&cell)).transpose()
    }

    async fn id(&self, key: &IdKey) -> Result<Option<IdRow>, StoreError> {
        let values = (key.chat_id.0, day_of(key.id), key.id, key.actor.as_str());
        let row = self.cassandra.row(&self.statements.id, values).await?;
        row.map_or(Ok(None), cells::id_of)
    }

    /// Reads messages bucket by bucket. An empty bucket is the end of what there is, or so old that its rows are gone:
    /// the state cell, read then, bounds the search, and so does the first message that has not aged out.
    async fn page(&self, chat: ChatId, range: SeqRange, order: Order, limit: usize) -> Page {
        let SeqRange { mut after, mut upto } = range;
        let (mut found, mut bounded, since) = (Vec::new(), false, self.kept_since());
        while after < upto && found.len() < limit {
            let bucket = match order {
                Order::OldestFirst => bucket_of(after + 1),
                Order::NewestFirst => bucket_of(upto),
            };
            let (below, last) = (bucket * BUCKET, bucket.saturating_add(1).saturating_mul(BUCKET));
            let values = (chat.0, long(bucket), long(after.max(below)), long(upto.min(last)));
            let statement = match order {
                Order::OldestFirst => &self.statements.messages_oldest_first,
                Order::NewestFirst => &self.statements.messages_newest_first,
            };
            let keep = |row| {
                let message = cells::message_of(chat, row)?;
                Ok(message.filter(|stored| stored.message.created_at >= since))
            };
            let rows = self.cassandra.rows(statement, values, limit - found.len(), keep).await?;
            if rows.is_empty() && !bounded {
                let head = self.state(chat).await?.map_or(0, |state| state.seq);
                upto = upto.min(head);
                if order == Order::OldestFirst {
                    after = after.max(self.first(chat, head).await?.saturating_sub(1));
                }
                bounded = true;
                continue;
            }
            if rows.is_empty() && order == Order::NewestFirst {
                break;
            }
            found.extend(rows);
            match order {
                Order::OldestFirst => after = last,
                Order::NewestFirst => upto = below,
            }
        }
        Ok(Arc::new(found))
    }

    /// Finds the first message that has not aged out by halving: what is kept is always the end of a chat.
    async fn first(&self, chat: ChatId, head: Seq) -> Result<Seq, StoreError> {
        if self.kept.is_none() {
            return Ok(1);
        }
        let since = self.kept_since();
        let (mut low, mut high) = (1, head + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let values = (chat.0, long(bucket_of(middle)), long(middle));
            let row: Option<(Option<CqlTimestamp>,)> = self.cassandra.row(&self.statements.created, values).await?;
            let created_at = row.and_then(|(created_at,)| created_at).map(time).transpose()?;
            if created_at.is_some_and(|created_at| created_at >= since) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }
}

fn bucket_of(number: u64) -> u64 {
    number.saturating_sub(1) / BUCKET
}

/// Returns the day in the id: that of a UUIDv7 is its time, that of another one is as good a part of a key.
fn day_of(id: Uuid) -> i64 {
    let millis = id.as_u128() >> 80;
    i64::try_from(millis / 86_400_000).unwrap_or_else(|_| unreachable!("48 bits"))
}

#[async_trait]
impl MessageStore for CassandraStore {
    async fn write_rows(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let rows = highest::of_each_register(rows);
        let parts: Vec<_> = rows.iter().map(|row| self.write(row)).collect();
        within(each(parts)).await.map(drop)
    }

    async fn write_states(&self, states: Vec<(ChatId, ChatState)>) -> Result<(), StoreError> {
        let parts: Vec<_> = states.iter().map(|(chat, state)| self.write_state(*chat, state)).collect();
        within(each(parts)).await.map(drop)
    }

    async fn states(&self, chats: &[ChatId]) -> Result<Vec<Option<ChatState>>, StoreError> {
        let parts: Vec<_> = chats.iter().map(|chat| self.state(*chat)).collect();
        within(each(parts)).await
    }

    async fn header(&self, chat: ChatId) -> Result<Option<ChatHeader>, StoreError> {
        let row = within(self.cassandra.row(&self.statements.header, (chat.0,))).await?;
        row.map_or(Ok(None), cells::header_of)
    }

    async fn roster(&self, chat: ChatId, at: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        let values = (chat.0, position_bytes(at));
        let row = within(self.cassandra.row(&self.statements.roster, values)).await?;
        row.map_or(Ok(None), cells::roster_of)
    }

    async fn roster_before(&self, chat: ChatId, position: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        let values = (chat.0, position_bytes(position));
        let row = within(self.cassandra.row(&self.statements.roster_before, values)).await?;
        row.map_or(Ok(None), cells::roster_of)
    }

    async fn ids(&self, keys: &[IdKey]) -> Result<Vec<Option<IdRow>>, StoreError> {
        let parts: Vec<_> = keys.iter().map(|key| self.id(key)).collect();
        within(each(parts)).await
    }

    async fn messages(
        &self,
        chat: ChatId,
        range: SeqRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let store = self.clone();
        let read = move || async move { within(store.page(chat, range, order, limit)).await };
        let key = (chat, range, order == Order::OldestFirst, limit);
        let page = within(async { self.pages.join(key, read).await }).await?;
        Ok(Arc::unwrap_or_clone(page))
    }

    fn kept_since(&self) -> Time {
        self.kept.as_ref().map_or_else(Time::default, Kept::since)
    }

    async fn first_seq(&self, chat: ChatId, head: Seq) -> Result<Seq, StoreError> {
        within(self.first(chat, head)).await
    }

    async fn changes(&self, chat: ChatId, after: Rev, upto: Rev, limit: usize) -> Result<Vec<(Rev, Seq)>, StoreError> {
        let read = async {
            let (mut after, mut upto, mut bounded, mut found) = (after, upto, false, Vec::new());
            while after < upto && found.len() < limit {
                let last = bucket_of(after + 1).saturating_add(1).saturating_mul(BUCKET);
                let values = (chat.0, long(bucket_of(after + 1)), long(after), long(upto.min(last)));
                let keep = |(rev, seq): (i64, Option<i64>)| seq.map(|seq| Ok((number(rev)?, number(seq)?))).transpose();
                let rows = self.cassandra.rows(&self.statements.changes, values, limit - found.len(), keep).await?;
                if rows.is_empty() && !bounded {
                    upto = upto.min(self.state(chat).await?.map_or(0, |state| state.rev));
                    bounded = true;
                    continue;
                }
                found.extend(rows);
                after = last;
            }
            Ok(found)
        };
        within(read).await
    }

    async fn members(&self, chat: ChatId) -> Result<Vec<MemberRow>, StoreError> {
        within(self.cassandra.rows(&self.statements.members, (chat.0,), usize::MAX, cells::member_of)).await
    }

    async fn memberships(&self, user: &UserId, chats: &[ChatId]) -> Result<Vec<Option<MemberRow>>, StoreError> {
        let parts: Vec<_> = chats
            .iter()
            .map(async |chat| {
                let row = self.cassandra.row(&self.statements.membership, (chat.0, user.as_str())).await?;
                row.map_or(Ok(None), cells::member_of)
            })
            .collect();
        within(each(parts)).await
    }

    async fn inbox(&self, user: &UserId) -> Result<Vec<InboxRow>, StoreError> {
        let values = (user.as_str(),);
        within(self.cassandra.rows(&self.statements.inbox, values, usize::MAX, cells::inbox_of)).await
    }

    async fn restore_epoch(&self) -> Result<Uuid, StoreError> {
        let row: Option<(String,)> = within(self.cassandra.row(&self.statements.restore_epoch, ())).await?;
        let (epoch,) = row.ok_or_else(|| unavailable("the keyspace is not provisioned"))?;
        epoch.parse().map_err(unreadable)
    }
}
