//! Dead letters, put back where they came from: after the reason they died of is gone.

use bytes::Bytes;
use chat_core::id::ChatId;
use chat_core::message_log::{Append, Delivery, Entry, LogError, MessageLog, Topic, partition_of};
use serde::Serialize;
use uuid::Uuid;

/// The consumer group that remembers how far was put back.
const GROUP: &str = "redrive";

/// Records put back at once.
const BATCH: usize = 500;

/// What was added to a record when it died.
const ADDED: [&str; 2] = ["reason", "position"];

/// Which dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "process", derive(clap::ValueEnum))]
pub enum DeadLetters {
    /// Those of `messages`.
    Messages,
    /// Those of `push`.
    Push,
}

impl DeadLetters {
    fn topic(self) -> Topic {
        match self {
            Self::Messages => Topic::MessagesDlq,
            Self::Push => Topic::PushDlq,
        }
    }

    fn source(self) -> Topic {
        match self {
            Self::Messages => Topic::Messages,
            Self::Push => Topic::Push,
        }
    }
}

/// What became of the dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// Records that were put back.
    pub records: u64,
}

/// Puts back every dead letter that was there when this began and was not put back before. What dies again is a new dead
/// letter, for the next time. Each goes to the partition of its key; one whose key is no chat to the first, from where it
/// comes back.
///
/// # Errors
/// When the log does not answer; what was put back until then is committed, but for the last batch, which comes again the
/// next time: a message that is there already is a duplicate, and changes nothing.
pub async fn redrive(log: &dyn MessageLog, letters: DeadLetters) -> Result<Redriven, LogError> {
    let partitions = log.partitions(letters.topic());
    let mut ends = Vec::new();
    for partition in 0..partitions {
        ends.push(log.end(letters.topic(), partition).await?);
    }
    let mut consumer = log.subscribe(letters.topic(), GROUP).await?;
    let mut redriven = Redriven::default();
    // Offsets up to which each partition is done; unknown until it is ours.
    let mut done: Vec<Option<u64>> = vec![None; ends.len()];
    while done.iter().zip(&ends).any(|(done, end)| done.is_none_or(|done| done < *end)) {
        match consumer.next(BATCH).await? {
            Delivery::Assigned { partition, committed, .. } => note(&mut done, partition, Some(committed)),
            Delivery::Revoked { partition } => note(&mut done, partition, None),
            Delivery::Records { partition, entries } => {
                let end = ends.get(partition as usize).copied().unwrap_or_default();
                let old: Vec<Entry> = entries.into_iter().filter(|entry| entry.position.offset < end).collect();
                let Some(next) = old.last().map(|entry| entry.position.offset + 1) else { continue };
                redriven.records += put_back(log, letters, old).await?;
                consumer.commit(partition, next).await?;
                note(&mut done, partition, Some(next));
            }
        }
    }
    Ok(redriven)
}

fn note(done: &mut [Option<u64>], partition: u32, next: Option<u64>) {
    if let Some(done) = done.get_mut(partition as usize) {
        *done = next;
    }
}

async fn put_back(log: &dyn MessageLog, letters: DeadLetters, entries: Vec<Entry>) -> Result<u64, LogError> {
    let topic = letters.source();
    let count = log.partitions(topic);
    let append = |Entry { key, payload, mut headers, .. }: Entry| {
        headers.retain(|(name, _)| !ADDED.contains(&name.as_str()));
        let partition = chat_of(&key).map_or(0, |chat_id| partition_of(chat_id, count));
        Append { topic, partition, key, payload, headers }
    };
    let appended = log.append_all(entries.into_iter().map(append).collect()).await?;
    Ok(appended.len() as u64)
}

fn chat_of(key: &Bytes) -> Option<ChatId> {
    Uuid::try_parse_ascii(key).ok().map(ChatId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::World;

    fn chat() -> ChatId {
        ChatId(Uuid::from_u128(7))
    }

    async fn dies(world: &World, payload: &'static str) {
        let header = |name: &str| (name.to_owned(), Bytes::from_static(b"x"));
        let headers = vec![header("reason"), header("traceparent"), header("position")];
        let (key, payload) = (Bytes::from(chat().to_string()), Bytes::from_static(payload.as_bytes()));
        let append = Append { topic: Topic::MessagesDlq, partition: 0, key, payload, headers };
        world.log.append(append).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_dead_letter_is_put_back_once_into_the_partition_of_its_chat() {
        let world = World::new();
        dies(&world, "one").await;
        dies(&world, "two").await;
        assert_eq!(redrive(&*world.log, DeadLetters::Messages).await, Ok(Redriven { records: 2 }));
        assert_eq!(redrive(&*world.log, DeadLetters::Messages).await, Ok(Redriven { records: 0 }));
        dies(&world, "three").await;
        assert_eq!(redrive(&*world.log, DeadLetters::Messages).await, Ok(Redriven { records: 1 }));
        let partition = partition_of(chat(), world.log.partitions(Topic::Messages));
        let back = world.log.read(Topic::Messages, partition, 0, 10).await.unwrap();
        let payloads: Vec<_> = back.iter().map(|entry| &entry.payload[..]).collect();
        assert_eq!(payloads, [&b"one"[..], b"two", b"three"]);
        let headers: Vec<_> = back[0].headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(headers, ["traceparent"], "what was added when it died is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn what_dies_meanwhile_waits_for_the_next_time() {
        let world = World::new();
        assert_eq!(redrive(&*world.log, DeadLetters::Push).await, Ok(Redriven { records: 0 }));
        dies(&world, "garbage").await;
        assert_eq!(redrive(&*world.log, DeadLetters::Push).await, Ok(Redriven { records: 0 }), "another topic's");
    }
}
