//! Reading a stretch of a partition, for tools.

use std::ops::ControlFlow;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
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
    let (mut entries, mut bytes) = (Vec::new(), 0);
    if limit == 0 {
        return Ok(entries);
    }
    let group = format!("{}read", names.prefix);
    scan(settings, &group, &names.topic(topic), partition, offset, |message| {
        if let Some(entry) = names.entry(message) {
            bytes += entry.payload.len() + entry.key.len();
            entries.push(entry);
        }
        if entries.len() < limit && bytes < READ_BYTES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(entries)
}

/// Hands over the records of a partition from `offset`, or from the first that is kept, to the end as it is now; waits
/// for the broker. The client asks for a group's name although nothing here joins or commits.
pub(super) fn scan(
    settings: &Settings,
    group: &str,
    topic: &str,
    partition: i32,
    offset: u64,
    mut take: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> Result<(), LogError> {
    let config = settings.reader(group);
    let consumer: BaseConsumer<Connection> = config.create_with_context(Connection::default()).map_err(unavailable)?;
    let kept = watermarks(consumer.client(), topic, partition)?;
    let mut next = offset.max(kept.start);
    if next >= kept.end {
        return Ok(());
    }
    let mut from = TopicPartitionList::with_capacity(1);
    let start = Offset::Offset(i64::try_from(next).map_err(unavailable)?);
    from.add_partition_offset(topic, partition, start).map_err(unavailable)?;
    consumer.assign(&from).map_err(unavailable)?;
    let deadline = Instant::now() + REQUEST_DEADLINE;
    while next < kept.end {
        let left = deadline.saturating_duration_since(Instant::now());
        let message = consumer.poll(left).ok_or_else(|| unavailable("no record came in time"))?;
        let message = message.map_err(unavailable)?;
        if take(&message).is_break() {
            return Ok(());
        }
        next = u64::try_from(message.offset()).map_err(unavailable)? + 1;
    }
    Ok(())
}
