//! Records on disk.
//!
//! ```text
//! time u64, key length u32, key, count of headers u32, (name length u32, name, value length u32, value)*, payload
//! ```
//! Integers are big-endian; the payload runs to the end.

use bytes::{Buf, BufMut, Bytes};
use fjall::Keyspace;

use super::{keys, partition};
use crate::clock::Time;
use crate::message_log::{Entry, LogError, Position, Topic};

/// Encodes what follows the key of a record.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + partition::size(entry));
    bytes.put_u64(entry.time.millis());
    put(&mut bytes, &entry.key);
    bytes.put_u32(length(entry.headers.len()));
    for (name, value) in &entry.headers {
        put(&mut bytes, name.as_bytes());
        put(&mut bytes, value);
    }
    bytes.put_slice(&entry.payload);
    bytes
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.put_u32(length(part.len()));
    bytes.put_slice(part);
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or_else(|_| unreachable!("a record of 4 GiB does not fit the log's queue"))
}

/// Decodes a record, `None` if the bytes are none.
pub(super) fn decode(position: Position, mut bytes: Bytes) -> Option<Entry> {
    let time = Time::from_millis(bytes.try_get_u64().ok()?);
    let key = take(&mut bytes)?;
    let count = bytes.try_get_u32().ok()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let name = String::from_utf8(take(&mut bytes)?.to_vec()).ok()?;
        headers.push((name, take(&mut bytes)?));
    }
    Some(Entry { position, time, key, payload: bytes, headers })
}

fn take(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

/// Reads records of a partition from `from` up to `end`, at most `limit` of them and about `budget` bytes.
pub(super) fn read(
    log: &Keyspace,
    topic: Topic,
    from: Position,
    end: u64,
    limit: usize,
    budget: usize,
) -> Result<Vec<Entry>, LogError> {
    let storage = |error: fjall::Error| LogError::Unavailable(error.to_string());
    let mut entries = Vec::new();
    let mut left = budget;
    if from.offset >= end {
        return Ok(entries);
    }
    let keys = keys::record(topic, from.partition, from.offset)..keys::record(topic, from.partition, end);
    for pair in log.range(keys).take(limit) {
        let (key, value) = pair.into_inner().map_err(storage)?;
        let decoded = keys::offset_of(&key)
            .and_then(|offset| decode(Position { offset, ..from }, Bytes::copy_from_slice(&value)));
        let entry = decoded.ok_or_else(|| LogError::Unavailable(format!("unreadable record {from} of {topic:?}")))?;
        let is_over = left == 0;
        left = left.saturating_sub(partition::size(&entry));
        if is_over {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}
