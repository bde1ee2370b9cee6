//! Moving what a consumer group committed, while nobody is in it.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::Offset;

use super::connect::{Connection, patiently};
use super::group::list;
use super::{KafkaLog, LogError, REQUEST_DEADLINE, Topic, blocking, unavailable};
use crate::clock::Time;

/// A partition whose committed offset was moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewound {
    /// Which.
    pub partition: u32,
    /// The next offset before.
    pub from: u64,
    /// The next offset now.
    pub to: u64,
}

impl KafkaLog {
    /// Has a group read again what the log took at `since` or later; partitions that it has not read so far stay as they
    /// are. Returns those that were moved.
    ///
    /// # Errors
    /// When the brokers do not answer, or the group has members: they would commit over it.
    pub async fn rewind(&self, topic: Topic, group: &str, since: Time) -> Result<Vec<Rewound>, LogError> {
        let client = self.client_of(group)?;
        let (name, count) = (self.names.topic(topic), self.names.partitions);
        let millis = i64::try_from(since.millis()).map_err(unavailable)?;
        blocking(move || {
            let committed = committed(&client, &name, count)?;
            let mut times = TopicPartitionList::new();
            for (partition, _) in &committed {
                times.add_partition_offset(&name, number(*partition)?, Offset::Offset(millis)).map_err(unavailable)?;
            }
            let found = patiently(|| client.offsets_for_times(times.clone(), REQUEST_DEADLINE))?;
            let mut moved = Vec::new();
            for (partition, from) in committed {
                let to = found.find_partition(&name, number(partition)?).map(|element| element.offset());
                // A place past the last record has no offset: nothing came since.
                let Some(Offset::Offset(to)) = to else { continue };
                let to = u64::try_from(to).map_err(unavailable)?;
                if to < from {
                    moved.push(Rewound { partition, from, to });
                }
            }
            commit(&client, &name, &moved)?;
            Ok(moved)
        })
        .await
    }

    /// Has a group begin at the first record of every partition: the topics are new.
    ///
    /// # Errors
    /// As [`rewind`](Self::rewind).
    pub async fn begin_anew(&self, topic: Topic, group: &str) -> Result<(), LogError> {
        let client = self.client_of(group)?;
        let (name, count) = (self.names.topic(topic), self.names.partitions);
        blocking(move || {
            let all: Vec<_> = (0..count).map(|partition| Rewound { partition, from: 0, to: 0 }).collect();
            commit(&client, &name, &all)
        })
        .await
    }

    fn client_of(&self, group: &str) -> Result<BaseConsumer<Connection>, LogError> {
        let config = self.settings.reader(&format!("{}{group}", self.names.prefix));
        config.create_with_context(Connection::default()).map_err(unavailable)
    }
}

/// Returns the partitions of which something was committed, with the next offset.
fn committed(client: &BaseConsumer<Connection>, topic: &str, count: u32) -> Result<Vec<(u32, u64)>, LogError> {
    let all: Vec<i32> = (0..count).map(number).collect::<Result<_, _>>()?;
    let found = patiently(|| client.committed_offsets(list(topic, &all), REQUEST_DEADLINE))?;
    let mut committed = Vec::new();
    for element in found.elements() {
        element.error().map_err(unavailable)?;
        if let Offset::Offset(offset) = element.offset() {
            let partition = u32::try_from(element.partition()).map_err(unavailable)?;
            committed.push((partition, u64::try_from(offset).map_err(unavailable)?));
        }
    }
    Ok(committed)
}

fn commit(client: &BaseConsumer<Connection>, topic: &str, moved: &[Rewound]) -> Result<(), LogError> {
    if moved.is_empty() {
        return Ok(());
    }
    let mut to = TopicPartitionList::with_capacity(moved.len());
    for Rewound { partition, to: offset, .. } in moved {
        let offset = Offset::Offset(i64::try_from(*offset).map_err(unavailable)?);
        to.add_partition_offset(topic, number(*partition)?, offset).map_err(unavailable)?;
    }
    patiently(|| client.commit(&to, CommitMode::Sync))
}

fn number(partition: u32) -> Result<i32, LogError> {
    i32::try_from(partition).map_err(unavailable)
}
