//! The log on the embedded database: appends are durable, one sync a group.
//!
//! # Keys
//! All integers are big-endian; `topic` is one byte (see `keys`), `partition` four, `offset` eight.
//! ```text
//! log   topic partition offset          → record: time, key, headers, payload
//! meta  1 topic partition               → first offset kept (0 if absent)
//! meta  2 topic partition group         → committed offset
//! ```
//! `meta` also holds the database's settings under a name.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot, watch};

use super::follower::{Follower, Segments};
use super::groups::Groups;
use super::{Append, Appended, Consumer, Entry, LogError, MessageLog, Position, Topic};
use crate::clock::Clock;
use crate::embedded::{EmbeddedOptions, Engine, Worker};

mod keys;
mod partition;
mod record;
mod retention;
mod writer;

use partition::Partition;
pub use retention::Retention;
use retention::Trimmer;
use writer::{Command, Writer};

/// Room of the queue before the log, in KiB of records. What does not fit is refused with [`LogError::Full`].
const QUEUE_KIB: usize = 32 << 10;

/// Bytes that one group takes at most, so that a sync answers soon and the next group is not kept waiting.
const GROUP_BYTES: usize = 4 << 20;

/// Bytes of recent records kept in memory for the followers of one topic.
const TAIL_BYTES: usize = 8 << 20;

/// Bytes that one read returns at most, one record at least.
const READ_BYTES: usize = 4 << 20;

/// How long a commit waits for the journal.
const COMMIT_DEADLINE: Duration = Duration::from_secs(5);

/// The log of an embedded database; opened by [`EmbeddedDb::open`](crate::embedded::EmbeddedDb::open).
#[derive(Debug)]
pub struct EmbeddedLog(Arc<Inner>);

// Fields are dropped in this order: the trimmer holds the queue of the writer, and the writer ends when that is gone.
#[derive(Debug)]
struct Inner {
    trimmer: Trimmer,
    writer: Worker<Command>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// What readers, followers, the writer and the trimmer have in common.
#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    count: u32,
    partitions: Vec<Partition>,
    groups: Groups,
    /// One a topic: changes after every group of appends and after every join.
    news: [watch::Sender<()>; Topic::ALL.len()],
}

impl EmbeddedLog {
    pub(crate) fn open(engine: Arc<Engine>, clock: Arc<dyn Clock>, options: &EmbeddedOptions) -> fjall::Result<Self> {
        let count = options.partitions;
        let groups = Groups::new(count);
        keys::each_commit(&engine.meta, |topic, partition, group, offset| {
            if partition < count {
                groups.commit(topic, &group, partition, offset);
            }
        })?;
        let tail_bytes = TAIL_BYTES / count as usize;
        let mut partitions = Vec::with_capacity(Topic::ALL.len() * count as usize);
        for topic in Topic::ALL {
            for partition in 0..count {
                let kept = kept(&engine, topic, partition)?;
                partitions.push(Partition::new(kept, tail_bytes));
            }
        }
        let news = std::array::from_fn(|_| watch::Sender::new(()));
        let shared = Arc::new(Shared { engine, count, partitions, groups, news });
        let mut writer = Writer::new(Arc::clone(&shared), Arc::clone(&clock));
        let writer = Worker::spawn("log-writer", QUEUE_KIB, GROUP_BYTES, move |group| writer.run(group))?;
        let trimmer = Trimmer::spawn(Arc::clone(&shared), clock, options.retention, writer.queue().clone())?;
        Ok(Self(Arc::new(Inner { trimmer, writer, room: Arc::new(Semaphore::new(QUEUE_KIB)), shared })))
    }

    /// Runs one step of retention at once and waits for it; returns how many records it dropped. A background thread
    /// does the same from time to time.
    pub async fn trim(&self) -> Result<u64, LogError> {
        let plan = self.0.trimmer.plan();
        let plans = tokio::task::spawn_blocking(plan).await.map_err(unavailable)?.map_err(unavailable)?;
        let mut dropped = 0;
        for plan in plans {
            dropped += plan.offsets.end - plan.offsets.start;
            self.0.send(|reply| Command::Trim { plan, reply: Some(reply) }).await?;
        }
        Ok(dropped)
    }
}

/// Finds the first and the end of the offsets kept of a partition.
fn kept(engine: &Engine, topic: Topic, partition: u32) -> fjall::Result<Range<u64>> {
    let start = match engine.meta.get(keys::start(topic, partition))? {
        Some(bytes) => keys::offset_of(&bytes).unwrap_or(0),
        None => 0,
    };
    let all = keys::record(topic, partition, 0)..=keys::record(topic, partition, u64::MAX);
    let end = match engine.log.range(all).next_back() {
        Some(last) => keys::offset_of(&last.key()?).map_or(start, |offset| offset + 1),
        None => start,
    };
    Ok(start..end.max(start))
}

/// Turns what the storage engine or the runtime said into the port's word.
fn unavailable(error: impl std::fmt::Display) -> LogError {
    LogError::Unavailable(error.to_string())
}

fn stopped() -> LogError {
    LogError::Unavailable("the log's writer has stopped".to_owned())
}

impl Shared {
    fn index(&self, topic: Topic, partition: u32) -> usize {
        topic as usize * self.count as usize + partition as usize
    }

    fn partition(&self, topic: Topic, partition: u32) -> &Partition {
        &self.partitions[self.index(topic, partition)]
    }

    fn check(&self, topic: Topic, partition: u32) -> Result<(), LogError> {
        if partition < self.count { Ok(()) } else { Err(LogError::NoPartition { topic: topic.name(), partition }) }
    }
}

impl Inner {
    /// Sends a command that needs no room of its own and waits for its answer.
    async fn send(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), LogError>>) -> Command,
    ) -> Result<(), LogError> {
        let (reply, answer) = oneshot::channel();
        let work = async {
            self.writer.queue().send(command(reply)).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        tokio::time::timeout(COMMIT_DEADLINE, work).await.map_err(unavailable)?
    }

    async fn append(&self, appends: Vec<Append>) -> Result<Vec<Appended>, LogError> {
        for append in &appends {
            self.shared.check(append.topic, append.partition)?;
        }
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        let kib: usize = appends.iter().map(|append| 1 + (append.key.len() + append.payload.len()) / 1024).sum();
        // What is larger than the whole queue goes when it has the queue to itself.
        let kib = u32::try_from(kib.min(QUEUE_KIB)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| LogError::Full)?;
        let (reply, answer) = oneshot::channel();
        let command = Command::Append { appends, reply, room };
        self.writer.queue().try_send(command).map_err(|error| match error {
            tokio::sync::mpsc::error::TrySendError::Full(_) => LogError::Full,
            tokio::sync::mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Segments for Inner {
    fn groups(&self) -> &Groups {
        &self.shared.groups
    }

    fn epoch(&self) -> u32 {
        self.shared.engine.epoch
    }

    fn start(&self, topic: Topic, partition: u32) -> u64 {
        self.shared.partition(topic, partition).kept().start
    }

    fn end(&self, topic: Topic, partition: u32) -> u64 {
        self.shared.partition(topic, partition).kept().end
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        let state = self.shared.partition(topic, partition);
        if let Some(recent) = state.recent(offset, limit, READ_BYTES) {
            return Ok(recent);
        }
        let kept = state.kept();
        let shared = Arc::clone(&self.shared);
        let older = move || {
            let position = Position { epoch: shared.engine.epoch, partition, offset: offset.max(kept.start) };
            record::read(&shared.engine.log, topic, position, kept.end, limit, READ_BYTES)
        };
        tokio::task::spawn_blocking(older).await.map_err(unavailable)?
    }

    async fn commit(&self, topic: Topic, group: &Arc<str>, partition: u32, next_offset: u64) -> Result<(), LogError> {
        let group = Arc::clone(group);
        self.send(|reply| Command::Commit { topic, group, partition, next_offset, reply }).await
    }
}

#[async_trait]
impl MessageLog for EmbeddedLog {
    fn partitions(&self, _topic: Topic) -> u32 {
        self.0.shared.count
    }

    async fn append(&self, append: Append) -> Result<Appended, LogError> {
        let appended = self.0.append(vec![append]).await?;
        appended.first().copied().ok_or_else(stopped)
    }

    async fn append_all(&self, appends: Vec<Append>) -> Result<Vec<Appended>, LogError> {
        self.0.append(appends).await
    }

    async fn subscribe(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        let group: Arc<str> = group.into();
        let (generation, is_new) = self.0.shared.groups.join(topic, &group);
        if is_new {
            for partition in 0..self.0.shared.count {
                self.0.commit(topic, &group, partition, 0).await?;
            }
        }
        let news = &self.0.shared.news[topic as usize];
        news.send_replace(());
        let log = Arc::clone(&self.0);
        Ok(Box::new(Follower::new(log, topic, group, generation, self.0.shared.count, news.subscribe())))
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        self.0.shared.check(topic, partition)?;
        Segments::read(&*self.0, topic, partition, offset, limit).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.0.shared.check(topic, partition)?;
        Ok(Segments::end(&*self.0, topic, partition))
    }
}

#[cfg(test)]
mod tests;
