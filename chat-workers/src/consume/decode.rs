//! From entries of the log to a batch of records. Pure.

use bytes::Bytes;
use chat_core::format::{self, FormatError, Versioned};
use chat_core::message_log::{Append, Entry, Topic};

use super::handler::{Batch, Received};

/// Entries as they are read.
#[derive(Debug)]
pub(super) struct Decoded<R> {
    pub(super) batch: Batch<R>,
    /// Entries that nobody can read, with the reason.
    pub(super) unreadable: Vec<(Entry, String)>,
    /// The format of a newer record, which follows.
    pub(super) newer: Option<u16>,
}

/// Decodes entries; a record of a newer format ends the batch.
pub(super) fn decode<R: Versioned>(entries: Vec<Entry>) -> Decoded<R> {
    let first = entries.first().map_or(0, |entry| entry.position.offset);
    let batch = Batch { records: Vec::with_capacity(entries.len()), next: first };
    let mut decoded = Decoded { batch, unreadable: Vec::new(), newer: None };
    for entry in entries {
        let position = entry.position;
        match format::decode(&entry.payload) {
            Ok(record) => decoded.batch.records.push(Received { position, record }),
            Err(FormatError::Malformed(reason)) => decoded.unreadable.push((entry, reason)),
            Err(FormatError::Unknown { found, .. }) => {
                decoded.newer = Some(found);
                break;
            }
        }
        decoded.batch.next = position.offset + 1;
    }
    decoded
}

/// Makes the dead letter of an entry.
pub(super) fn dead_letter(topic: Topic, entry: Entry, reason: String) -> Append {
    let mut headers = entry.headers;
    headers.push(("reason".to_owned(), Bytes::from(reason)));
    headers.push(("position".to_owned(), Bytes::from(entry.position.to_string())));
    Append { topic, partition: 0, key: entry.key, payload: entry.payload, headers }
}
