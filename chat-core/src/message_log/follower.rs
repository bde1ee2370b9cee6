//! The consumer of the single-process engines: one follower per group, with all partitions of the topic.

use std::future::{Future, pending};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::groups::Groups;
use super::{Consumer, Delivery, Entry, LogError, Topic};

/// What a follower needs of its log.
pub(super) trait Segments: Send + Sync + std::fmt::Debug + 'static {
    /// Returns the groups of the log.
    fn groups(&self) -> &Groups;

    /// Returns the life of the log.
    fn epoch(&self) -> u32;

    /// Returns the first offset kept of a partition.
    fn start(&self, topic: Topic, partition: u32) -> u64;

    /// Returns the offset after the last durable record of a partition.
    fn end(&self, topic: Topic, partition: u32) -> u64;

    /// Reads durable records from `offset`, at most `limit`, at least one unless `offset` is the end.
    fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, LogError>> + Send;

    /// Writes a committed offset into the journal, then raises it in [`groups`](Self::groups).
    fn commit(
        &self,
        topic: Topic,
        group: &Arc<str>,
        partition: u32,
        next_offset: u64,
    ) -> impl Future<Output = Result<(), LogError>> + Send;
}

/// Where a follower stands in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Not told of yet.
    Unassigned,
    /// Reads on from here.
    At(u64),
    /// Taken over by another follower, or its records are lost.
    Gone,
}

/// Follows one topic for one group. A later follower of the same group takes all partitions over at once: this one
/// is told [`Delivery::Revoked`] and may still commit what it has done.
#[derive(Debug)]
pub(super) struct Follower<L> {
    log: Arc<L>,
    topic: Topic,
    group: Arc<str>,
    generation: u64,
    progress: Vec<Progress>,
    paused: Vec<bool>,
    /// The partition to look at first, so that a busy one does not starve the others.
    turn: usize,
    news: watch::Receiver<()>,
}

impl<L: Segments> Follower<L> {
    /// Makes the follower of a generation that has joined its group; `news` changes after every append and join.
    pub(super) fn new(
        log: Arc<L>,
        topic: Topic,
        group: Arc<str>,
        generation: u64,
        partitions: u32,
        news: watch::Receiver<()>,
    ) -> Self {
        let partitions = partitions as usize;
        let progress = vec![Progress::Unassigned; partitions];
        Self { log, topic, group, generation, progress, paused: vec![false; partitions], turn: 0, news }
    }

    /// Returns what is to be told of the assignment before any records.
    fn reassignment(&mut self) -> Result<Option<Delivery>, LogError> {
        if !self.log.groups().is_current(self.topic, &self.group, self.generation) {
            let revoked = (0u32..).zip(&mut self.progress).find(|(_, at)| matches!(at, Progress::At(_)));
            return Ok(revoked.map(|(partition, at)| {
                *at = Progress::Gone;
                Delivery::Revoked { partition }
            }));
        }
        let Some((partition, at)) = (0u32..).zip(&mut self.progress).find(|(_, at)| **at == Progress::Unassigned)
        else {
            return Ok(None);
        };
        let committed = self.log.groups().committed(self.topic, &self.group, partition);
        let start = self.log.start(self.topic, partition);
        if start > committed {
            *at = Progress::Gone;
            return Err(LogError::DataLost { partition, start, committed });
        }
        *at = Progress::At(committed);
        Ok(Some(Delivery::Assigned { partition, epoch: self.log.epoch(), committed }))
    }

    async fn records(&mut self, max: usize) -> Result<Option<Delivery>, LogError> {
        let count = self.progress.len();
        for index in (self.turn..count).chain(0..self.turn) {
            let Progress::At(next) = self.progress[index] else { continue };
            let partition = u32::try_from(index).unwrap_or_else(|_| unreachable!("partitions are counted in u32"));
            if self.paused[index] || next >= self.log.end(self.topic, partition) {
                continue;
            }
            let entries = self.log.read(self.topic, partition, next, max.max(1)).await?;
            // Nothing is awaited between here and the return, so a cancelled call loses no record.
            if let Some(last) = entries.last() {
                self.progress[index] = Progress::At(last.position.offset + 1);
                self.turn = (index + 1) % count;
                return Ok(Some(Delivery::Records { partition, entries }));
            }
        }
        Ok(None)
    }

    fn assigned(&mut self, partition: u32) -> Result<&mut Progress, LogError> {
        let progress = self.progress.get_mut(partition as usize).filter(|at| matches!(at, Progress::At(_)));
        progress.ok_or_else(|| LogError::NoPartition { topic: self.topic.name(), partition })
    }
}

#[async_trait]
impl<L: Segments> Consumer for Follower<L> {
    async fn next(&mut self, max: usize) -> Result<Delivery, LogError> {
        loop {
            self.news.mark_unchanged();
            if let Some(delivery) = self.reassignment()? {
                return Ok(delivery);
            }
            if let Some(delivery) = self.records(max).await? {
                return Ok(delivery);
            }
            if self.news.changed().await.is_err() {
                // The log is being dropped and this follower with it: there will be no more records.
                return pending().await;
            }
        }
    }

    /// An offset below the committed one or past the end is moved to it.
    async fn seek(&mut self, partition: u32, offset: u64) -> Result<(), LogError> {
        self.assigned(partition)?;
        let committed = self.log.groups().committed(self.topic, &self.group, partition);
        let end = self.log.end(self.topic, partition);
        *self.assigned(partition)? = Progress::At(offset.min(end).max(committed));
        Ok(())
    }

    async fn pause(&mut self, partition: u32, paused: bool) -> Result<(), LogError> {
        self.assigned(partition)?;
        self.paused[partition as usize] = paused;
        Ok(())
    }

    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), LogError> {
        if partition as usize >= self.progress.len() {
            return Err(LogError::NoPartition { topic: self.topic.name(), partition });
        }
        // Past the end it would skip records that are yet to come.
        let next_offset = next_offset.min(self.log.end(self.topic, partition));
        if next_offset <= self.log.groups().committed(self.topic, &self.group, partition) {
            return Ok(());
        }
        self.log.commit(self.topic, &self.group, partition, next_offset).await
    }

    async fn lag(&self, partitions: &[u32]) -> Result<Vec<u64>, LogError> {
        let lag = |partition: &u32| {
            let partition = *partition;
            if partition as usize >= self.progress.len() {
                return Err(LogError::NoPartition { topic: self.topic.name(), partition });
            }
            let committed = self.log.groups().committed(self.topic, &self.group, partition);
            Ok(self.log.end(self.topic, partition).saturating_sub(committed))
        };
        partitions.iter().map(lag).collect()
    }
}
