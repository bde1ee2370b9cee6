//! The read side: a member of a consumer group.
//!
//! The client calls back when the group gives or takes partitions. The consumer answers the group only after it has
//! told its reader: a partition is given up when the reader asks for what comes after its
//! [`Revoked`](Delivery::Revoked), so that it can still commit what it finished.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::Offset;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use super::assignment::{self, Beginning};
use super::connect::Settings;
use super::group::{Member, Step, list};
use super::observer::Observer;
use super::{Names, REQUEST_DEADLINE, blocking, unavailable};
use crate::message_log::{Consumer, Delivery, Entry, LogError, Topic};

/// Records taken from the client before the first of them is delivered, at most.
const READ_AHEAD: usize = 2_000;

pub(super) struct KafkaConsumer {
    member: Member,
    observer: Arc<Observer>,
    names: Arc<Names>,
    topic: Topic,
    owned: BTreeMap<u32, Owned>,
    /// What the reader is told before anything else.
    told: VecDeque<Result<Delivery, LogError>>,
    /// Partitions are being taken; kept when `next` is cancelled.
    taking: Option<JoinHandle<Result<Vec<Beginning>, LogError>>>,
    /// The reader was told of the partitions that the first step gives up.
    has_told_of_loss: bool,
    /// The commit on its way; kept when its caller has stopped waiting.
    committing: Option<JoinHandle<Result<(), LogError>>>,
    /// The partition delivered last.
    turn: u32,
}

#[derive(Debug)]
struct Owned {
    committed: u64,
    ready: VecDeque<Entry>,
    is_paused: bool,
}

impl KafkaConsumer {
    pub(super) fn subscribe(
        settings: &Settings,
        observer: Arc<Observer>,
        names: Arc<Names>,
        topic: Topic,
        group: &str,
    ) -> Result<Self, LogError> {
        let member = Member::join(&settings.member(group), &names.topic(topic))?;
        Ok(Self {
            member,
            observer,
            names,
            topic,
            owned: BTreeMap::new(),
            told: VecDeque::new(),
            taking: None,
            has_told_of_loss: false,
            committing: None,
            turn: 0,
        })
    }

    async fn take(&mut self, partitions: Vec<i32>) -> Result<(), LogError> {
        let (client, topic) = (self.member.handle(), Arc::clone(self.member.topic()));
        let observer = Arc::clone(&self.observer);
        let take = move || assignment::take(&client, &observer, &topic, &partitions);
        let taking = self.taking.get_or_insert_with(|| tokio::task::spawn_blocking(take));
        let taken = taking.await.map_err(unavailable);
        // Nothing is awaited from here on: cancelled above, the same call is waited for again.
        self.taking = None;
        for beginning in taken?? {
            let Beginning { partition, committed, start } = beginning;
            if beginning.is_lost() {
                self.told.push_back(Err(LogError::DataLost { partition, start, committed }));
                continue;
            }
            self.owned.insert(partition, Owned { committed, ready: VecDeque::new(), is_paused: false });
            self.told.push_back(Ok(Delivery::Assigned { partition, epoch: self.names.epoch, committed }));
        }
        self.member.context().done();
        Ok(())
    }

    /// Tells the reader first; the partitions go when it comes back.
    fn give_up(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        let owned = partitions.iter().filter_map(|number| u32::try_from(*number).ok());
        if !self.has_told_of_loss {
            self.has_told_of_loss = true;
            for partition in owned {
                if let Some(owned) = self.owned.get_mut(&partition) {
                    owned.ready.clear();
                    self.told.push_back(Ok(Delivery::Revoked { partition }));
                }
            }
            return Ok(());
        }
        self.member.give_up(partitions)?;
        for partition in owned {
            self.owned.remove(&partition);
        }
        self.has_told_of_loss = false;
        self.member.context().done();
        Ok(())
    }

    /// Takes the records of the next partition that has some.
    fn ready(&mut self, max: usize) -> Option<Delivery> {
        let has_some = |(_, owned): &(&u32, &Owned)| !owned.is_paused && !owned.ready.is_empty();
        let after = self.owned.range(self.turn.saturating_add(1)..).chain(self.owned.range(..=self.turn));
        let partition = *after.into_iter().find(has_some)?.0;
        let ready = &mut self.owned.get_mut(&partition)?.ready;
        let count = max.max(1).min(ready.len());
        let entries = ready.drain(..count).collect();
        self.turn = partition;
        Some(Delivery::Records { partition, entries })
    }

    /// Waits for a record or for the group; takes what else is there already.
    async fn receive(&mut self) {
        let first = tokio::select! {
            received = self.member.recv() => read(&self.names, received),
            () = self.member.context().asked() => return,
        };
        self.keep(first);
        for _ in 1..READ_AHEAD {
            let Some(more) = self.member.recv().now_or_never().map(|received| read(&self.names, received)) else {
                break;
            };
            self.keep(more);
        }
    }

    fn keep(&mut self, received: Result<Option<Entry>, KafkaError>) {
        match received {
            // A record of a partition that is not ours any more is its next owner's.
            Ok(entry) => {
                if let Some(entry) = entry
                    && let Some(owned) = self.owned.get_mut(&entry.position.partition)
                {
                    owned.ready.push_back(entry);
                }
            }
            Err(error) if is_mended_by_client(&error) => warn!(%error, topic = self.topic.name(), "read the log"),
            Err(error) => self.told.push_back(Err(unavailable(error))),
        }
    }

    fn owned(&mut self, partition: u32) -> Result<(i32, &mut Owned), LogError> {
        let number = self.names.check(self.topic, partition)?;
        let owned = self.owned.get_mut(&partition);
        owned.map(|owned| (number, owned)).ok_or_else(|| LogError::NoPartition { topic: self.topic.name(), partition })
    }
}

fn read(names: &Names, received: Result<BorrowedMessage<'_>, KafkaError>) -> Result<Option<Entry>, KafkaError> {
    received.map(|message| names.entry(&message))
}

/// Returns whether the client goes on by itself after this: it reconnects, asks again, joins its group again.
fn is_mended_by_client(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::PollExceeded
        )
    )
}

#[async_trait]
impl Consumer for KafkaConsumer {
    async fn next(&mut self, max: usize) -> Result<Delivery, LogError> {
        loop {
            if let Some(told) = self.told.pop_front() {
                return told;
            }
            match self.member.context().step() {
                Some(Step::Take(partitions)) => self.take(partitions).await?,
                Some(Step::GiveUp(partitions)) => self.give_up(&partitions)?,
                None => {
                    if let Some(delivery) = self.ready(max) {
                        return Ok(delivery);
                    }
                    self.receive().await;
                }
            }
        }
    }

    /// An offset below the committed one is moved to it.
    async fn seek(&mut self, partition: u32, offset: u64) -> Result<(), LogError> {
        let (client, topic) = (self.member.handle(), Arc::clone(self.member.topic()));
        let (number, owned) = self.owned(partition)?;
        owned.ready.clear();
        let offset = offset.max(owned.committed);
        blocking(move || assignment::seek(&client, &topic, number, offset)).await
    }

    async fn pause(&mut self, partition: u32, paused: bool) -> Result<(), LogError> {
        let topic = Arc::clone(self.member.topic());
        let (number, owned) = self.owned(partition)?;
        owned.is_paused = paused;
        let one = list(&topic, &[number]);
        let outcome = if paused { self.member.pause(&one) } else { self.member.resume(&one) };
        outcome.map_err(unavailable)
    }

    async fn commit(&mut self, partition: u32, next_offset: u64) -> Result<(), LogError> {
        let (client, topic) = (self.member.handle(), Arc::clone(self.member.topic()));
        let (number, owned) = self.owned(partition)?;
        if next_offset <= owned.committed {
            return Ok(());
        }
        let offset = Offset::Offset(i64::try_from(next_offset).map_err(unavailable)?);
        let mut upto = TopicPartitionList::with_capacity(1);
        upto.add_partition_offset(&topic, number, offset).map_err(unavailable)?;
        let committed = async {
            if let Some(before) = &mut self.committing {
                // Its own caller has given it up; whether it succeeded is of no use to this one.
                if let Ok(Err(error)) = before.await {
                    warn!(%error, "an earlier commit");
                }
                self.committing = None;
            }
            let commit = move || client.commit(&upto, CommitMode::Sync).map_err(unavailable);
            let committed = self.committing.insert(tokio::task::spawn_blocking(commit)).await;
            self.committing = None;
            committed.map_err(unavailable)?
        };
        timeout(REQUEST_DEADLINE, committed)
            .await
            .map_err(|_| unavailable("the commit was not answered in time"))??;
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.committed = next_offset;
        }
        Ok(())
    }

    async fn lag(&self, partitions: &[u32]) -> Result<Vec<u64>, LogError> {
        let mut owned = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let number = self.names.check(self.topic, *partition)?;
            let unknown = || LogError::NoPartition { topic: self.topic.name(), partition: *partition };
            owned.push((number, self.owned.get(partition).ok_or_else(unknown)?.committed));
        }
        let (observer, topic) = (Arc::clone(&self.observer), Arc::clone(self.member.topic()));
        let numbers: Vec<i32> = owned.iter().map(|(number, _)| *number).collect();
        let ends = blocking(move || observer.ends(&topic, &numbers)).await?;
        let lag =
            |(number, committed): &(i32, u64)| ends.get(number).copied().unwrap_or_default().saturating_sub(*committed);
        Ok(owned.iter().map(lag).collect())
    }
}

impl fmt::Debug for KafkaConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConsumer").field("topic", &self.topic).field("owned", &self.owned).finish_non_exhaustive()
    }
}
