//! Reading a stretch of a partition, for tools.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::Offset;
use tokio::time::Instant;

use super::connect::{Connection, Settings, watermarks};
use super::{Entry, LogError, Names, REQUEST_DEADLINE, Topic, unavailable};

/// Bytes that one read returns at most, one record at least.
const READ_BYTES: usize = 4 << 20;

/// Reads up to `limit` records from `offset`; waits for the broker.
pub(super) fn read(
    settings: &Settings,
    names: &Names,
    topic: Topic,
    partition: i32,
    offset: u64,
    limit: usize,
) -> Result<Vec<Entry>, LogError> {
    let name = names.topic(topic);
    // The client asks for a group's name although nothing here joins or commits.
    let config = settings.reader(&format!("{}read", names.prefix));
    let consumer: BaseConsumer<Connection> = config.create_with_context(Connection::default()).map_err(unavailable)?;
    let kept = watermarks(consumer.client(), &name, partition)?;
    let mut next = offset.max(kept.start);
    let mut entries = Vec::new();
    if next >= kept.end || limit == 0 {
        return Ok(entries);
    }
    let mut from = TopicPartitionList::with_capacity(1);
    let start = Offset::Offset(i64::try_from(next).map_err(unavailable)?);
    from.add_partition_offset(&name, partition, start).map_err(unavailable)?;
    consumer.assign(&from).map_err(unavailable)?;
    let deadline = Instant::now() + REQUEST_DEADLINE;
    let mut bytes = 0;
    while next < kept.end && entries.len() < limit && bytes < READ_BYTES {
        let left = deadline.saturating_duration_since(Instant::now());
        let message = consumer.poll(left).ok_or_else(|| unavailable("no record came in time"))?;
        let message = message.map_err(unavailable)?;
        if let Some(entry) = names.entry(&message) {
            bytes += entry.payload.len() + entry.key.len();
            next = entry.position.offset + 1;
            entries.push(entry);
        }
    }
    Ok(entries)
}
