//! The write side: one idempotent producer, replaced when it says that it can go on no more.

use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use tracing::warn;

use super::connect::{Connection, watermarks};
use super::farewell::Farewell;
use super::{Append, Appended, LogError, Position, REQUEST_DEADLINE, time, unavailable};

pub(super) struct Producer {
    config: ClientConfig,
    connection: Connection,
    current: RwLock<Farewell<FutureProducer<Connection>>>,
}

impl Producer {
    pub(super) fn new(config: ClientConfig) -> KafkaResult<Self> {
        let connection = Connection::default();
        let current = RwLock::new(Farewell::new(config.create_with_context(connection.clone())?));
        Ok(Self { config, connection, current })
    }

    /// Puts a record into the queue before the log; records of one partition keep the order of these calls.
    pub(super) fn send(&self, topic: &str, partition: i32, append: &Append) -> Result<Sent, LogError> {
        let mut headers = OwnedHeaders::new_with_capacity(append.headers.len());
        for (key, value) in &append.headers {
            headers = headers.insert(Header { key, value: Some(&value[..]) });
        }
        let record = FutureRecord::to(topic).partition(partition).key(&append.key[..]).payload(&append.payload[..]);
        let sent = self.current().send_result(record.headers(headers)).map_err(|(error, _)| error);
        match sent {
            Ok(delivery) => Ok(Sent(delivery)),
            Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => Err(LogError::Full),
            Err(error) => {
                if matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::Fatal)) {
                    self.renew();
                }
                Err(unavailable(error))
            }
        }
    }

    /// Returns how many partitions a topic has.
    pub(super) fn partitions(&self, topic: &str) -> KafkaResult<usize> {
        let metadata = self.current().client().fetch_metadata(Some(topic), REQUEST_DEADLINE)?;
        let Some(topic) = metadata.topics().first() else { return Ok(0) };
        match topic.error() {
            Some(error) => Err(KafkaError::MetadataFetch(error.into())),
            None => Ok(topic.partitions().len()),
        }
    }

    /// Returns the first offset kept of a partition and the one after its last.
    pub(super) fn watermarks(&self, topic: &str, partition: i32) -> Result<Range<u64>, LogError> {
        watermarks(self.current().client(), topic, partition)
    }

    /// Returns what went wrong last.
    pub(super) fn trouble(&self) -> Option<String> {
        self.connection.trouble()
    }

    fn current(&self) -> FutureProducer<Connection> {
        (**self.current.read().unwrap_or_else(PoisonError::into_inner)).clone()
    }

    /// Replaces a producer that met a fatal error, such as a sequence that the broker has forgotten. What it had in
    /// its queue has failed, so nothing can overtake it.
    fn renew(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let Some((code, reason)) = current.client().fatal_error() else { return };
        warn!(%code, reason, "replace the producer");
        match self.config.create_with_context(self.connection.clone()) {
            Ok(producer) => *current = Farewell::new(producer),
            Err(error) => warn!(%error, "make a producer"),
        }
    }
}

/// A record that waits for its acknowledgement.
pub(super) struct Sent(DeliveryFuture);

impl Sent {
    /// Waits for it, at most about [`PRODUCE_DEADLINE`](super::PRODUCE_DEADLINE).
    pub(super) async fn appended(self, epoch: u32) -> Result<Appended, LogError> {
        let delivery = self.0.await.map_err(unavailable)?.map_err(|(error, _)| unavailable(error))?;
        let partition = u32::try_from(delivery.partition).map_err(unavailable)?;
        let offset = u64::try_from(delivery.offset).map_err(unavailable)?;
        Ok(Appended { position: Position { epoch, partition, offset }, time: time(delivery.timestamp) })
    }
}
