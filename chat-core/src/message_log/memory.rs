//! The log in memory: for tests and simulations. The same order, groups and consumers as the embedded engine, no
//! durability.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::follower::{Follower, Segments};
use super::groups::Groups;
use super::{Append, Appended, Consumer, Entry, LogError, MessageLog, Position, Topic};
use crate::clock::Clock;

/// Keeps all records in memory. Clones share them.
#[derive(Debug, Clone)]
pub struct MemoryLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    partitions: u32,
    groups: Groups,
    records: Mutex<Vec<Partition>>,
    news: [watch::Sender<()>; Topic::ALL.len()],
}

#[derive(Debug, Clone, Default)]
struct Partition {
    /// Offset of the first record in `entries`.
    start: u64,
    entries: Vec<Entry>,
}

impl Partition {
    fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }
}

/// The only life this log has.
const EPOCH: u32 = 1;

impl MemoryLog {
    /// Makes an empty log with this many partitions a topic; `clock` gives the append times.
    pub fn new(clock: Arc<dyn Clock>, partitions: u32) -> Self {
        let records = Mutex::new(vec![Partition::default(); Topic::ALL.len() * partitions as usize]);
        let news = std::array::from_fn(|_| watch::Sender::new(()));
        Self(Arc::new(Inner { clock, partitions, groups: Groups::new(partitions), records, news }))
    }

    /// Forgets the records below `start`, as retention would.
    pub fn trim(&self, topic: Topic, partition: u32, start: u64) {
        if let Some(partition) = self.0.lock().get_mut(self.0.index(topic, partition)) {
            let gone = start.min(partition.end()).saturating_sub(partition.start);
            partition.entries.drain(..usize::try_from(gone).unwrap_or(usize::MAX));
            partition.start += gone;
        }
    }
}

impl Inner {
    fn index(&self, topic: Topic, partition: u32) -> usize {
        topic as usize * self.partitions as usize + partition as usize
    }

    fn check(&self, topic: Topic, partition: u32) -> Result<usize, LogError> {
        if partition < self.partitions {
            Ok(self.index(topic, partition))
        } else {
            Err(LogError::NoPartition { topic: topic.name(), partition })
        }
    }

    // A poisoned lock is taken over: records are pushed whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Partition>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Segments for Inner {
    fn groups(&self) -> &Groups {
        &self.groups
    }

    fn epoch(&self) -> u32 {
        EPOCH
    }

    fn start(&self, topic: Topic, partition: u32) -> u64 {
        self.lock()[self.index(topic, partition)].start
    }

    fn end(&self, topic: Topic, partition: u32) -> u64 {
        self.lock()[self.index(topic, partition)].end()
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        let records = self.lock();
        let partition = &records[self.index(topic, partition)];
        let skip = usize::try_from(offset.saturating_sub(partition.start)).unwrap_or(usize::MAX);
        Ok(partition.entries.iter().skip(skip).take(limit).cloned().collect())
    }

    async fn commit(&self, topic: Topic, group: &Arc<str>, partition: u32, next_offset: u64) -> Result<(), LogError> {
        self.groups.commit(topic, group, partition, next_offset);
        Ok(())
    }
}

#[async_trait]
impl MessageLog for MemoryLog {
    fn partitions(&self, _topic: Topic) -> u32 {
        self.0.partitions
    }

    async fn append(&self, append: Append) -> Result<Appended, LogError> {
        let index = self.0.check(append.topic, append.partition)?;
        let time = self.0.clock.now();
        let appended = {
            let mut records = self.0.lock();
            let partition = &mut records[index];
            let position = Position { epoch: EPOCH, partition: append.partition, offset: partition.end() };
            let Append { key, payload, headers, .. } = append;
            partition.entries.push(Entry { position, time, key, payload, headers });
            Appended { position, time }
        };
        self.0.news[append.topic as usize].send_replace(());
        Ok(appended)
    }

    async fn append_all(&self, appends: Vec<Append>) -> Result<Vec<Appended>, LogError> {
        for append in &appends {
            self.0.check(append.topic, append.partition)?;
        }
        let mut appended = Vec::with_capacity(appends.len());
        for append in appends {
            appended.push(self.append(append).await?);
        }
        Ok(appended)
    }

    async fn subscribe(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        let group: Arc<str> = group.into();
        let news = &self.0.news[topic as usize];
        let (generation, _) = self.0.groups.join(topic, &group);
        news.send_replace(());
        let log = Arc::clone(&self.0);
        Ok(Box::new(Follower::new(log, topic, group, generation, self.0.partitions, news.subscribe())))
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        self.0.check(topic, partition)?;
        Segments::read(&*self.0, topic, partition, offset, limit).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.0.check(topic, partition)?;
        Ok(Segments::end(&*self.0, topic, partition))
    }
}

#[cfg(test)]
mod tests;
