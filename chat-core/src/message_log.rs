//! Port: the durable, partitioned log. It is the truth; all else is a projection of it.
//!
//! ```text
//!  producers ── append(topic, partition) ──► [ 0 1 2 3 4 5 6 … ]   offsets, per partition, no gaps visible to readers
//!                                                ▲     ▲     ▲
//!                                        committed  position  end
//! ```
//!
//! # Contract
//! - `append` MUST resolve with `Ok` only when the record survives the crash of the process and of the machine
//!   (embedded: after the sync that covers it; Kafka: `acks=all`). A dropped or failed `append` MAY still have been
//!   written: the outcome is unknown and the caller repeats it with the same idempotency key.
//! - Records of one partition appended by one producer one after the other (each `append` called after the previous
//!   call was made) keep their order.
//! - `Appended::time` is the log's own clock (`LogAppendTime`). It MAY go backwards between records.
//! - A [`Consumer`] gets each record of its partitions in offset order, at least once, from the committed offset.
//! - `commit` MUST NOT be acknowledged before everything the caller wrote to the store before the call is as durable
//!   as the log: on the embedded engine both share one journal, so a commit is never ahead of its rows.
//! - Cancelling `Consumer::next` loses no record. Cancelling `append` leaves the outcome unknown.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::id::ChatId;

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod embedded;
mod follower;
mod groups;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;

/// The topics of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Sends and changes, written by gateways, read by the sequencer.
    Messages,
    /// Cursors, one record per chat and tick, written by gateways, read by the receipts worker.
    Receipts,
    /// Sequenced facts, written by the sequencer.
    Events,
    /// One record per message with its recipients, written by the sequencer, read by the push worker.
    Push,
    /// What became of each push.
    PushOutcomes,
    /// Records of `messages` that cannot be applied, with their reason.
    MessagesDlq,
    /// Records of `push` that cannot be applied, with their reason.
    PushDlq,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 7] = [
        Self::Messages,
        Self::Receipts,
        Self::Events,
        Self::Push,
        Self::PushOutcomes,
        Self::MessagesDlq,
        Self::PushDlq,
    ];

    /// Returns the topic's name without the cluster's prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Receipts => "receipts",
            Self::Events => "events",
            Self::Push => "push",
            Self::PushOutcomes => "push.outcomes",
            Self::MessagesDlq => "messages.dlq",
            Self::PushDlq => "push.dlq",
        }
    }
}

/// Where a record stands. Positions of one chat compare by epoch, then offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// Life of the log: a replaced topic opens the next one.
    pub epoch: u32,
    /// The partition. A chat never changes it within an epoch.
    pub partition: u32,
    /// Offset in the partition, from 0.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.epoch, self.partition, self.offset)
    }
}

/// Returns the partition of a chat: Kafka's own default, murmur2 of the key modulo the count, so that the customer's
/// producers and consumers find the same one. The key is the chat id as text.
pub fn partition_of(chat_id: ChatId, count: u32) -> u32 {
    let mut buffer = uuid::Uuid::encode_buffer();
    let key = chat_id.0.hyphenated().encode_lower(&mut buffer);
    (murmur2::murmur2(key.as_bytes(), murmur2::KAFKA_SEED) & 0x7fff_ffff) % count.max(1)
}

/// A record as its reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// When the log took it.
    pub time: Time,
    /// The key it was written under.
    pub key: Bytes,
    /// The record.
    pub payload: Bytes,
    /// Small named values beside it (trace context, reason of a dead letter).
    pub headers: Vec<(String, Bytes)>,
}

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub topic: Topic,
    /// Which partition.
    pub partition: u32,
    /// The key.
    pub key: Bytes,
    /// The record.
    pub payload: Bytes,
    /// Small named values beside it.
    pub headers: Vec<(String, Bytes)>,
}

/// The log's answer to an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where the record stands.
    pub position: Position,
    /// When the log took it.
    pub time: Time,
}

/// Why the log did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The bounded queue before the log is full: nothing was written.
    #[error("the log's queue is full")]
    Full,
    /// The log did not answer: the outcome is unknown.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// The partition does not exist.
    #[error("the topic {topic} has no partition {partition}")]
    NoPartition {
        /// The topic.
        topic: &'static str,
        /// The partition asked for.
        partition: u32,
    },
    /// Records between the committed offset and the log's start are gone (`DataLost`).
    #[error("partition {partition} starts at {start}, past the committed offset {committed}")]
    DataLost {
        /// The partition.
        partition: u32,
        /// First offset kept.
        start: u64,
        /// The committed offset.
        committed: u64,
    },
}

impl LogError {
    /// Returns whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full | Self::Unavailable(_))
    }
}

/// What a consumer is told next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The partition is this consumer's from now on; records follow from `committed`.
    Assigned {
        /// Which.
        partition: u32,
        /// Life of the log.
        epoch: u32,
        /// The next offset to read.
        committed: u64,
    },
    /// The partition is another's: finish within 5 s, commit, drop its state.
    Revoked {
        /// Which.
        partition: u32,
    },
    /// Records of one partition in offset order, at least one.
    Records {
        /// Which.
        partition: u32,
        /// The records.
        entries: Vec<Entry>,
    },
}

/// The write side and the door to the read side.
#[async_trait]
pub trait MessageLog: Send + Sync + fmt::Debug {
    /// Returns how many partitions a topic has.
    fn partitions(&self, topic: Topic) -> u32;

    /// Appends one record and waits until it is durable. The engine groups what is waiting: one sync a group.
    async fn append(&self, append: Append) -> Result<Appended, LogError>;

    /// Appends several records, each like [`append`](Self::append) and in this order within each partition; waits for
    /// all. On an error any prefix MAY have been written.
    async fn append_all(&self, appends: Vec<Append>) -> Result<Vec<Appended>, LogError>;

    /// Joins a consumer group. The first assignment of a partition commits 0 explicitly.
    async fn subscribe(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, LogError>;

    /// Reads up to `limit` records of a partition from `offset`, for tools and tests.
    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError>;

    /// Returns the offset after the last record of a partition.
    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError>;
}

/// The read side: one member of a consumer group.
#[async_trait]
pub trait Consumer: Send + fmt::Debug {
    /// Waits for what comes next. At most `max` records a delivery. Cancel-safe.
    async fn next(&mut self, max: usize) -> Result<Delivery, LogError>;

    /// Rewinds a partition to an offset at or above the committed one, to read on from there.
    async fn seek(&mut self, partition: u32, offset: u64) -> Result<(), LogError>;

    /// Stops (or goes on with) the delivery of a partition without giving it up.
    async fn pause(&mut self, partition: u32, paused: bool) -> Result<(), LogError>;

    /// Commits the next offset to read of a partition. A lower one than committed changes nothing.
    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), LogError>;

    /// Returns how many records of each of these partitions are not yet committed, in the order asked. The engine asks
    /// for all at once, so that a role may look at what it owns every second.
    async fn lag(&self, partitions: &[u32]) -> Result<Vec<u64>, LogError>;
}
