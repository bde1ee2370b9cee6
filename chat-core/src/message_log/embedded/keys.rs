//! Key bytes of the log; their form is in the parent's documentation.

use std::sync::Arc;

use fjall::Keyspace;

use crate::message_log::Topic;

const START: u8 = 1;
const COMMITTED: u8 = 2;

/// Returns a topic's byte on disk. Never changes, whatever the order of the enum.
fn code(topic: Topic) -> u8 {
    match topic {
        Topic::Messages => 1,
        Topic::Receipts => 2,
        Topic::Events => 3,
        Topic::Push => 4,
        Topic::PushOutcomes => 5,
        Topic::MessagesDlq => 6,
        Topic::PushDlq => 7,
    }
}

/// Returns the key of a record.
pub(super) fn record(topic: Topic, partition: u32, offset: u64) -> [u8; 13] {
    let mut key = [code(topic); 13];
    key[1..5].copy_from_slice(&partition.to_be_bytes());
    key[5..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// Returns the key under which the first offset kept is written.
pub(super) fn start(topic: Topic, partition: u32) -> Vec<u8> {
    let mut key = vec![START, code(topic)];
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

/// Returns the key of a group's committed offset.
pub(super) fn committed(topic: Topic, partition: u32, group: &str) -> Vec<u8> {
    let mut key = vec![COMMITTED, code(topic)];
    key.extend_from_slice(&partition.to_be_bytes());
    key.extend_from_slice(group.as_bytes());
    key
}

/// Returns the offset in the last eight bytes of a record's key, or in the value of a start or commit.
pub(super) fn offset_of(bytes: &[u8]) -> Option<u64> {
    bytes.last_chunk().copied().map(u64::from_be_bytes)
}

/// Visits every committed offset.
pub(super) fn each_commit(meta: &Keyspace, mut visit: impl FnMut(Topic, u32, Arc<str>, u64)) -> fjall::Result<()> {
    for pair in meta.prefix([COMMITTED]) {
        let (key, value) = pair.into_inner()?;
        let topic = key.get(1).and_then(|byte| Topic::ALL.into_iter().find(|topic| code(*topic) == *byte));
        let partition = key.get(2..6).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let group = key.get(6..).and_then(|bytes| std::str::from_utf8(bytes).ok());
        if let (Some(topic), Some(partition), Some(group), Some(offset)) = (topic, partition, group, offset_of(&value))
        {
            visit(topic, partition, group.into(), offset);
        }
    }
    Ok(())
}
