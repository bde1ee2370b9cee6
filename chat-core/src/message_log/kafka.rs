//! The log on Kafka.
//!
//! # How the contract is kept
//! - **Appends**: an idempotent producer with `acks=all`, an explicit partition and the order of the calls. What waits
//!   is bounded by `QUEUE_KIB`; beyond it nothing is written and the caller is told [`LogError::Full`]. A record that
//!   is not acknowledged within [`PRODUCE_DEADLINE`] has an unknown outcome.
//! - **Batching** is tuned for latency: nothing lingers. A record leaves when the broker has room for another request,
//!   so batches grow by themselves as load rises.
//! - **Time** is the broker's: the topics are made with `LogAppendTime`.
//! - **Consumers** are members of a Kafka consumer group with cooperative rebalance; `auto.offset.reset=error`, and the
//!   first assignment of a partition commits 0 explicitly. A partition whose log starts past the committed offset is
//!   told as [`LogError::DataLost`] and delivers nothing.
//! - **Reconnecting** is the client's own, with a back-off of at most a second; a consumer waits meanwhile.
//!
//! The epoch of positions is the one of the settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio::sync::OnceCell;

use super::{Append, Appended, Consumer, Entry, LogError, MessageLog, Position, Topic};
use crate::clock::Time;
use crate::config::KafkaConfig;

mod assignment;
mod connect;
mod consumer;
mod farewell;
mod group;
mod observer;
mod open;
mod owner;
mod producer;
mod read;
mod rewind;
mod topics;

use connect::Settings;
use observer::Observer;
pub use open::OpenError;
pub use owner::claim;
use producer::Producer;
pub use rewind::Rewound;
pub use topics::{NewTopics, create_topics};

/// How long an append waits for its acknowledgement before its outcome is unknown.
pub const PRODUCE_DEADLINE: Duration = Duration::from_secs(10);

/// How long any other request to a broker may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// Room of the queue before the log, in KiB of records.
const QUEUE_KIB: u32 = 32 << 10;

/// The log of one cluster on Kafka.
pub struct KafkaLog {
    names: Arc<Names>,
    settings: Settings,
    producer: Arc<Producer>,
    /// Made with the first consumer: a process that only writes has no use for its connections.
    observer: OnceCell<Arc<Observer>>,
}

/// What the topics of one cluster are called, and how many partitions they have.
#[derive(Debug, Clone)]
struct Names {
    prefix: String,
    partitions: u32,
    epoch: u32,
}

impl Names {
    fn of(config: &KafkaConfig) -> Self {
        Self { prefix: config.prefix.clone(), partitions: config.partitions, epoch: config.epoch }
    }

    fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }

    fn check(&self, topic: Topic, partition: u32) -> Result<i32, LogError> {
        let refused = LogError::NoPartition { topic: topic.name(), partition };
        if partition >= self.partitions {
            return Err(refused);
        }
        i32::try_from(partition).map_err(|_| refused)
    }

    /// Copies what was received, `None` for a message that no broker sends.
    fn entry(&self, message: &BorrowedMessage<'_>) -> Option<Entry> {
        let partition = u32::try_from(message.partition()).ok()?;
        let offset = u64::try_from(message.offset()).ok()?;
        let copied = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice).unwrap_or_default();
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        Some(Entry {
            position: Position { epoch: self.epoch, partition, offset },
            time: time(message.timestamp()),
            key: copied(message.key()),
            payload: copied(message.payload()),
            headers: headers.map(|header| (header.key.to_owned(), copied(header.value))).collect(),
        })
    }
}

fn time(timestamp: rdkafka::Timestamp) -> Time {
    Time::from_millis(timestamp.to_millis().and_then(|millis| u64::try_from(millis).ok()).unwrap_or_default())
}

/// Turns what the client or the runtime said into the port's word.
fn unavailable(error: impl fmt::Display) -> LogError {
    LogError::Unavailable(error.to_string())
}

/// Runs calls that wait for a broker where they keep no task of the runtime waiting.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(call).await.map_err(unavailable)?
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog").field("names", &self.names).finish_non_exhaustive()
    }
}

#[async_trait]
impl MessageLog for KafkaLog {
    fn partitions(&self, _topic: Topic) -> u32 {
        self.names.partitions
    }

    async fn append(&self, append: Append) -> Result<Appended, LogError> {
        let partition = self.names.check(append.topic, append.partition)?;
        let sent = self.producer.send(&self.names.topic(append.topic), partition, &append)?;
        sent.appended(self.names.epoch).await
    }

    async fn append_all(&self, appends: Vec<Append>) -> Result<Vec<Appended>, LogError> {
        // All are checked before the first is sent.
        let check = |append: &Append| self.names.check(append.topic, append.partition);
        let partitions: Vec<i32> = appends.iter().map(check).collect::<Result<_, _>>()?;
        let mut sent = Vec::with_capacity(appends.len());
        for (append, partition) in appends.iter().zip(partitions) {
            sent.push(self.producer.send(&self.names.topic(append.topic), partition, append)?);
        }
        let mut appended = Vec::with_capacity(sent.len());
        for sent in sent {
            appended.push(sent.appended(self.names.epoch).await?);
        }
        Ok(appended)
    }

    async fn subscribe(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        let group = format!("{}{group}", self.names.prefix);
        let names = Arc::clone(&self.names);
        let observer = async || Observer::new(&self.settings, &names).map(Arc::new).map_err(unavailable);
        let observer = Arc::clone(self.observer.get_or_try_init(observer).await?);
        let consumer = consumer::KafkaConsumer::subscribe(&self.settings, observer, names, topic, &group)?;
        Ok(Box::new(consumer))
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        let number = self.names.check(topic, partition)?;
        let (names, settings) = (Arc::clone(&self.names), self.settings.clone());
        blocking(move || read::read(&settings, &names, topic, number, offset, limit)).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        let number = self.names.check(topic, partition)?;
        let (name, producer) = (self.names.topic(topic), Arc::clone(&self.producer));
        blocking(move || Ok(producer.watermarks(&name, number)?.end)).await
    }
}
