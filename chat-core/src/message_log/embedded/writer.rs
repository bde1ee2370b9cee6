//! The one thread that writes to the log: assigns offsets, writes a group as one batch, syncs once, answers.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Shared, keys, record, unavailable};
use crate::clock::{Clock, Time};
use crate::embedded::Weight;
use crate::message_log::{Append, Appended, Entry, LogError, Position, Topic};

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Append records; answered after the sync that covers them.
    Append {
        appends: Vec<Append>,
        reply: oneshot::Sender<Result<Vec<Appended>, LogError>>,
        /// Room in the queue, given back with the answer.
        room: OwnedSemaphorePermit,
    },
    /// Write a committed offset; answered when it stands in the journal.
    Commit {
        topic: Topic,
        group: Arc<str>,
        partition: u32,
        next_offset: u64,
        reply: oneshot::Sender<Result<(), LogError>>,
    },
    /// Drop the oldest records of a partition.
    Trim { plan: TrimPlan, reply: Option<oneshot::Sender<Result<(), LogError>>> },
}

/// Which records retention drops: always the oldest kept.
#[derive(Debug, Clone)]
pub(super) struct TrimPlan {
    pub(super) topic: Topic,
    pub(super) partition: u32,
    pub(super) offsets: Range<u64>,
}

impl Weight for Command {
    fn weight(&self) -> usize {
        match self {
            Self::Append { appends, .. } => appends.iter().map(|append| append.key.len() + append.payload.len()).sum(),
            Self::Commit { group, .. } => group.len(),
            Self::Trim { plan, .. } => usize::try_from(plan.offsets.end - plan.offsets.start).unwrap_or(usize::MAX),
        }
    }
}

/// The writer's own state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// Next offset of each partition, ahead of what is published while a group is being written.
    next: Vec<u64>,
    /// Set by the first failed write: what stands in the journal is unknown, so nothing more may follow it.
    failed: Option<LogError>,
}

/// Who waits for a group.
enum Waiting {
    Append { reply: oneshot::Sender<Result<Vec<Appended>, LogError>>, appended: Vec<Appended> },
    Other { reply: Option<oneshot::Sender<Result<(), LogError>>> },
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>) -> Self {
        let next = shared.partitions.iter().map(|partition| partition.kept().end).collect();
        Self { shared, clock, next, failed: None }
    }

    /// Writes a group of commands and answers them all.
    pub(super) fn run(&mut self, group: Vec<Command>) {
        let time = self.clock.now();
        let shared = Arc::clone(&self.shared);
        let engine = &shared.engine;
        let mut batch = engine.batch(group.len());
        let mut published: Vec<(Topic, Entry)> = Vec::with_capacity(group.len());
        let mut commits = Vec::new();
        let mut trims = Vec::new();
        let mut waiting = Vec::with_capacity(group.len());
        let mut rooms = Vec::with_capacity(group.len());
        for command in group {
            match command {
                Command::Append { appends, reply, room } => {
                    let first = published.len();
                    published.extend(appends.into_iter().map(|append| (append.topic, self.take(append, time))));
                    let mut appended = Vec::with_capacity(published.len() - first);
                    for (topic, entry) in &published[first..] {
                        let key = keys::record(*topic, entry.position.partition, entry.position.offset);
                        batch.insert(&engine.log, key.as_slice(), record::encode(entry));
                        appended.push(Appended { position: entry.position, time });
                    }
                    waiting.push(Waiting::Append { reply, appended });
                    rooms.push(room);
                }
                Command::Commit { topic, group, partition, next_offset, reply } => {
                    let key = keys::committed(topic, partition, &group);
                    batch.insert(&engine.meta, key, next_offset.to_be_bytes().as_slice());
                    commits.push((topic, group, partition, next_offset));
                    waiting.push(Waiting::Other { reply: Some(reply) });
                }
                Command::Trim { plan, reply } => {
                    for offset in plan.offsets.clone() {
                        let key = keys::record(plan.topic, plan.partition, offset);
                        batch.remove(&engine.log, key.as_slice());
                    }
                    let start = plan.offsets.end.to_be_bytes();
                    batch.insert(&engine.meta, keys::start(plan.topic, plan.partition), start.as_slice());
                    trims.push(plan);
                    waiting.push(Waiting::Other { reply });
                }
            }
        }
        let written = match &self.failed {
            Some(error) => Err(error.clone()),
            // Commits and trims ride on the next sync; see `crate::embedded` for why that loses nothing.
            None => engine.write(batch, !published.is_empty()).map_err(unavailable),
        };
        match &written {
            Ok(()) => self.publish(published, commits, trims),
            Err(error) => {
                if self.failed.is_none() {
                    tracing::error!(%error, "the log cannot write any more; open the database again");
                }
                self.failed = Some(error.clone());
            }
        }
        drop(rooms);
        for waiting in waiting {
            // A caller that no longer waits learns the outcome by repeating the call with the same id.
            match waiting {
                Waiting::Append { reply, appended } => _ = reply.send(written.clone().map(|()| appended)),
                Waiting::Other { reply } => _ = reply.map(|reply| reply.send(written.clone())),
            }
        }
    }

    fn take(&mut self, append: Append, time: Time) -> Entry {
        let Append { topic, partition, key, payload, headers } = append;
        let next = &mut self.next[self.shared.index(topic, partition)];
        let position = Position { epoch: self.shared.engine.epoch, partition, offset: *next };
        *next += 1;
        Entry { position, time, key, payload, headers }
    }

    fn publish(&self, entries: Vec<(Topic, Entry)>, commits: Vec<(Topic, Arc<str>, u32, u64)>, trims: Vec<TrimPlan>) {
        let mut has_news = [false; Topic::ALL.len()];
        for (topic, entry) in entries {
            let news = &self.shared.news[topic as usize];
            has_news[topic as usize] = true;
            let partition = self.shared.partition(topic, entry.position.partition);
            partition.publish([entry], news.receiver_count() > 0);
        }
        for (topic, group, partition, next_offset) in commits {
            self.shared.groups.commit(topic, &group, partition, next_offset);
        }
        for plan in trims {
            self.shared.partition(plan.topic, plan.partition).trim(plan.offsets.end);
        }
        for (news, _) in self.shared.news.iter().zip(has_news).filter(|(_, has_news)| *has_news) {
            news.send_replace(());
        }
    }
}
