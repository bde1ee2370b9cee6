//! Taking partitions that the group gave: where to begin, and whether what is there can be read.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};

use super::connect::patiently;
use super::group::{Membership, list};
use super::observer::Observer;
use super::{LogError, REQUEST_DEADLINE, unavailable};

/// Where a partition begins for its new owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) partition: u32,
    /// The next offset to read.
    pub(super) committed: u64,
    /// First offset kept. Past `committed`, records are lost.
    pub(super) start: u64,
}

impl Beginning {
    /// Returns whether records are gone that the group has not read.
    pub(super) fn is_lost(self) -> bool {
        self.start > self.committed
    }
}

/// Finds where each partition begins, commits 0 where nothing was committed before, and begins to fetch. A partition
/// with lost records is taken, so that the group counts it as ours, and stays paused. Waits for the broker.
pub(super) fn take(
    client: &StreamConsumer<Membership>,
    observer: &Observer,
    topic: &str,
    partitions: &[i32],
) -> Result<Vec<Beginning>, LogError> {
    let starts = observer.starts(topic, partitions)?;
    let committed = patiently(|| client.committed_offsets(list(topic, partitions), REQUEST_DEADLINE))?;
    let mut beginnings = Vec::with_capacity(partitions.len());
    let (mut unread, mut from, mut lost) =
        (TopicPartitionList::new(), TopicPartitionList::new(), TopicPartitionList::new());
    for element in committed.elements() {
        element.error().map_err(unavailable)?;
        let number = element.partition();
        let committed = if let Offset::Offset(offset) = element.offset() {
            offset
        } else {
            unread.add_partition_offset(topic, number, Offset::Offset(0)).map_err(unavailable)?;
            0
        };
        let beginning = Beginning {
            partition: u32::try_from(number).map_err(unavailable)?,
            committed: u64::try_from(committed).map_err(unavailable)?,
            start: starts.get(&number).copied().unwrap_or_default(),
        };
        if beginning.is_lost() {
            lost.add_partition(topic, number);
        }
        from.add_partition_offset(topic, number, Offset::Offset(committed)).map_err(unavailable)?;
        beginnings.push(beginning);
    }
    if unread.count() > 0 {
        patiently(|| client.commit(&unread, CommitMode::Sync))?;
    }
    client.incremental_assign(&from).map_err(unavailable)?;
    if lost.count() > 0 {
        client.pause(&lost).map_err(unavailable)?;
    }
    Ok(beginnings)
}

/// Reads on from an offset. Waits until nothing fetched before can come any more.
pub(super) fn seek(
    client: &StreamConsumer<Membership>,
    topic: &str,
    partition: i32,
    offset: u64,
) -> Result<(), LogError> {
    let offset = Offset::Offset(i64::try_from(offset).map_err(unavailable)?);
    let mut to = TopicPartitionList::with_capacity(1);
    to.add_partition_offset(topic, partition, offset).map_err(unavailable)?;
    let sought = client.seek_partitions(to, REQUEST_DEADLINE).map_err(unavailable)?;
    sought.elements().iter().try_for_each(TopicPartitionListElem::error).map_err(unavailable)
}
