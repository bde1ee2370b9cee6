//! Where partitions begin and end, asked on connections of its own.
//!
//! On those of a consumer an answer waits behind the records that are fetched there, up to `fetch.wait.max.ms` each
//! time; and one request asks for all partitions of a broker.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};

use super::connect::{Connection, Settings, patiently};
use super::farewell::Farewell;
use super::{LogError, Names, REQUEST_DEADLINE, unavailable};

/// Asks for offsets; reads and commits nothing.
pub(super) struct Observer(Farewell<BaseConsumer<Connection>>);

impl Observer {
    pub(super) fn new(settings: &Settings, names: &Names) -> KafkaResult<Self> {
        // The client asks for a group's name although nothing here joins or commits.
        let config = settings.reader(&format!("{}observe", names.prefix));
        config.create_with_context(Connection::default()).map(|client| Self(Farewell::new(client)))
    }

    /// Returns the first offset that is kept of each partition. Waits for the brokers.
    pub(super) fn starts(&self, topic: &str, partitions: &[i32]) -> Result<BTreeMap<i32, u64>, LogError> {
        self.ask(topic, partitions, Offset::Beginning)
    }

    /// Returns the offset after the last record of each partition. Waits for the brokers.
    pub(super) fn ends(&self, topic: &str, partitions: &[i32]) -> Result<BTreeMap<i32, u64>, LogError> {
        self.ask(topic, partitions, Offset::End)
    }

    fn ask(&self, topic: &str, partitions: &[i32], place: Offset) -> Result<BTreeMap<i32, u64>, LogError> {
        // An empty question is refused; a rebalance may well give nothing.
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        // What the client has to say of its connections is heard by asking for it.
        while self.0.poll(Duration::ZERO).is_some() {}
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            wanted.add_partition_offset(topic, *partition, place).map_err(unavailable)?;
        }
        // The protocol has the same request for times, and for these two places in their stead.
        let found = patiently(|| {
            let found = self.0.offsets_for_times(wanted.clone(), REQUEST_DEADLINE)?;
            found.elements().iter().try_for_each(TopicPartitionListElem::error)?;
            Ok(found)
        })?;
        let offset = |offset: Offset| match offset {
            Offset::Offset(offset) => u64::try_from(offset).map_err(unavailable),
            other => Err(unavailable(format!("{other:?} is no offset"))),
        };
        let elements = found.elements();
        elements.iter().map(|element| Ok((element.partition(), offset(element.offset())?))).collect()
    }
}
