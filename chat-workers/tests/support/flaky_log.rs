//! A log that fails on demand: appends that are refused, seeks and commits that do not get through, partitions that
//! come and go one by one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::message_log::memory::MemoryLog;
use chat_core::message_log::{Append, Appended, Consumer, Delivery, Entry, LogError, MessageLog, Topic};
use futures_util::FutureExt;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;

/// How often a follower looks for news.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// Wraps a memory log. Clones share the faults.
#[derive(Debug, Clone)]
pub(crate) struct FlakyLog {
    pub(crate) inner: MemoryLog,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    faults: Mutex<Faults>,
}

/// What fails next, so many times.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Appends answered with "full".
    pub(crate) full: usize,
    /// Appends that are written and then not acknowledged.
    pub(crate) unacknowledged: usize,
    pub(crate) seeks: usize,
    pub(crate) commits: usize,
    /// Records are committed as soon as they are read, which the sequencer never asks for.
    pub(crate) commits_early: bool,
    /// Assignments to tell of: the partition, and whether it is given (or taken away).
    moves: VecDeque<(u32, bool)>,
}

impl FlakyLog {
    pub(crate) fn new(inner: MemoryLog) -> Self {
        Self { inner, shared: Arc::default() }
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.shared.faults.lock().unwrap()
    }

    /// Takes a partition away from the follower.
    pub(crate) fn revoke(&self, partition: u32) {
        self.faults().moves.push_back((partition, false));
    }

    /// Gives a partition to the follower, from the committed offset on.
    pub(crate) fn assign(&self, partition: u32) {
        self.faults().moves.push_back((partition, true));
    }
}

impl Faults {
    /// Takes all faults back.
    pub(crate) fn heal(&mut self) {
        (self.full, self.unacknowledged, self.seeks, self.commits) = (0, 0, 0, 0);
    }
}

/// Counts a fault down; returns whether it strikes.
fn strikes(count: &mut usize) -> bool {
    let strikes = *count > 0;
    *count = count.saturating_sub(1);
    strikes
}

fn unavailable() -> LogError {
    LogError::Unavailable("a test wants it so".into())
}

#[async_trait]
impl MessageLog for FlakyLog {
    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    async fn append(&self, append: Append) -> Result<Appended, LogError> {
        let appended = self.append_all(vec![append]).await?;
        Ok(appended[0])
    }

    async fn append_all(&self, appends: Vec<Append>) -> Result<Vec<Appended>, LogError> {
        if strikes(&mut self.faults().full) {
            return Err(LogError::Full);
        }
        let appended = self.inner.append_all(appends).await?;
        if strikes(&mut self.faults().unacknowledged) { Err(unavailable()) } else { Ok(appended) }
    }

    async fn subscribe(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        let inner = self.inner.subscribe(topic, group).await?;
        Ok(Box::new(FlakyConsumer { log: self.clone(), topic, inner: AsyncMutex::new(inner), gone: BTreeSet::new() }))
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        self.inner.read(topic, partition, offset, limit).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.inner.end(topic, partition).await
    }
}

#[derive(Debug)]
struct FlakyConsumer {
    log: FlakyLog,
    topic: Topic,
    inner: AsyncMutex<Box<dyn Consumer>>,
    /// Partitions that were taken away.
    gone: BTreeSet<u32>,
}

impl FlakyConsumer {
    async fn moved(&mut self) -> Result<Option<Delivery>, LogError> {
        let Some((partition, is_given)) = self.log.faults().moves.pop_front() else { return Ok(None) };
        if !is_given {
            self.gone.insert(partition);
            return Ok(Some(Delivery::Revoked { partition }));
        }
        self.gone.remove(&partition);
        let lag: u64 = self.inner.get_mut().lag(&[partition]).await?.into_iter().sum();
        let committed = self.log.inner.end(self.topic, partition).await? - lag;
        self.inner.get_mut().seek(partition, committed).await?;
        self.inner.get_mut().pause(partition, false).await?;
        Ok(Some(Delivery::Assigned { partition, epoch: 1, committed }))
    }
}

impl FlakyConsumer {
    async fn commit_early(&mut self, delivery: &Result<Delivery, LogError>) -> Result<(), LogError> {
        let commits_early = self.log.faults().commits_early;
        match delivery {
            Ok(Delivery::Records { partition, entries }) if commits_early => {
                let next = entries.last().map_or(0, |entry| entry.position.offset + 1);
                self.inner.get_mut().commit(*partition, next).await
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Consumer for FlakyConsumer {
    async fn next(&mut self, max: usize) -> Result<Delivery, LogError> {
        loop {
            if let Some(moved) = self.moved().await? {
                return Ok(moved);
            }
            // Asked again and again, not woken: the order in which tokio wakes several followers is random, and a
            // simulation must be repeatable.
            match self.inner.get_mut().next(max).now_or_never() {
                Some(Ok(Delivery::Records { partition, .. })) if self.gone.contains(&partition) => {}
                Some(delivery) => {
                    self.commit_early(&delivery).await?;
                    return delivery;
                }
                None => sleep(ASK_EVERY).await,
            }
        }
    }

    async fn seek(&mut self, partition: u32, offset: u64) -> Result<(), LogError> {
        if strikes(&mut self.log.faults().seeks) {
            return Err(unavailable());
        }
        self.inner.get_mut().seek(partition, offset).await
    }

    async fn pause(&mut self, partition: u32, paused: bool) -> Result<(), LogError> {
        self.inner.get_mut().pause(partition, paused).await
    }

    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), LogError> {
        if strikes(&mut self.log.faults().commits) {
            return Err(unavailable());
        }
        self.inner.get_mut().commit(partition, next_offset).await
    }

    async fn lag(&self, partitions: &[u32]) -> Result<Vec<u64>, LogError> {
        self.inner.lock().await.lag(partitions).await
    }
}
