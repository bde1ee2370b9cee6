//! Membership in a consumer group: what the group asks of this member waits here until the consumer has done it.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::Notify;
use tracing::warn;

use super::farewell::Farewell;
use super::{LogError, connect, unavailable};

/// What the group asks for. Until it is done, the group waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Take these partitions.
    Take(Vec<i32>),
    /// Give these partitions up.
    GiveUp(Vec<i32>),
}

/// Hears of the group.
#[derive(Debug, Default)]
pub(super) struct Membership {
    steps: Mutex<VecDeque<Step>>,
    asked: Notify,
    is_leaving: AtomicBool,
}

impl Membership {
    /// Returns what is to be done first.
    pub(super) fn step(&self) -> Option<Step> {
        self.steps().front().cloned()
    }

    /// Forgets the first step, once it is done.
    pub(super) fn done(&self) {
        self.steps().pop_front();
    }

    /// Waits until the group asks for something.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    // A poisoned lock is taken over: steps are pushed and popped whole.
    fn steps(&self) -> MutexGuard<'_, VecDeque<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        connect::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        warn!(%error, reason, "talk to Kafka");
    }
}

impl ConsumerContext for Membership {
    fn rebalance(&self, client: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let numbers = partitions.elements().iter().map(TopicPartitionListElem::partition).collect();
        let (step, done) = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                (Step::Take(numbers), BaseConsumer::incremental_assign as fn(&_, &_) -> _)
            }
            _ => (Step::GiveUp(numbers), BaseConsumer::incremental_unassign as fn(&_, &_) -> _),
        };
        // Nobody reads on once the consumer is leaving, so nothing is waited for.
        if self.is_leaving.load(Ordering::Acquire) {
            if let Err(error) = done(client, partitions) {
                warn!(%error, ?step, "leave a group");
            }
            return;
        }
        self.steps().push_back(step);
        self.asked.notify_one();
    }
}

/// A member of a group. Dropping the last handle leaves it, which waits for the broker.
pub(super) struct Member {
    client: Farewell<Arc<StreamConsumer<Membership>>>,
    topic: Arc<str>,
}

impl Member {
    /// Joins a group.
    pub(super) fn join(config: &ClientConfig, topic: &str) -> Result<Self, LogError> {
        let client: StreamConsumer<Membership> =
            config.create_with_context(Membership::default()).map_err(unavailable)?;
        client.subscribe(&[topic]).map_err(unavailable)?;
        Ok(Self { client: Farewell::new(Arc::new(client)), topic: topic.into() })
    }

    /// Returns another handle, for a call that waits for the broker.
    pub(super) fn handle(&self) -> Arc<StreamConsumer<Membership>> {
        Arc::clone(&self.client)
    }

    /// Returns the topic's name.
    pub(super) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// Gives partitions back to the group.
    pub(super) fn give_up(&self, partitions: &[i32]) -> Result<(), LogError> {
        self.client.incremental_unassign(&list(&self.topic, partitions)).map_err(unavailable)
    }
}

impl Deref for Member {
    type Target = StreamConsumer<Membership>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let client = &self.client;
        let membership = client.context();
        membership.is_leaving.store(true, Ordering::Release);
        for step in membership.steps().drain(..) {
            let answered = match &step {
                Step::Take(partitions) => client.incremental_assign(&list(&self.topic, partitions)),
                Step::GiveUp(partitions) => client.incremental_unassign(&list(&self.topic, partitions)),
            };
            if let Err(error) = answered {
                warn!(%error, ?step, "leave a group");
            }
        }
    }
}

/// Names partitions of a topic, without offsets.
pub(super) fn list(topic: &str, partitions: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    list
}
