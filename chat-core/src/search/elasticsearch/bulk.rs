//! Bulks: what is sent, and what of it is still to be done.

use ::elasticsearch::params::VersionType;
use ::elasticsearch::{BulkOperation, BulkOperations, Error};
use serde::{Deserialize, Serialize};

use crate::id::{ChatId, MessageId, Seq, UserId};
use crate::search::{Document, SearchError};

/// What is done to one document.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// It is written, unless a later version is there.
    Index { id: String, version: i64, source: Source },
    /// It is removed, unless a later version is there.
    Remove { id: String, version: i64 },
}

/// A document as the server keeps it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Source {
    message_id: MessageId,
    chat_id: ChatId,
    sender_id: UserId,
    content: String,
    /// Milliseconds since 1970.
    created_at: u64,
    seq: Seq,
}

impl Operation {
    /// Adds it to a bulk.
    pub(super) fn push(&self, bulk: &mut BulkOperations) -> Result<(), Error> {
        match self {
            Self::Index { id, version, source } => {
                let operation = BulkOperation::index(source).id(id.as_str());
                bulk.push(operation.version(*version).version_type(VersionType::ExternalGte))
            }
            Self::Remove { id, version } => {
                let operation = BulkOperation::<()>::delete(id.as_str());
                bulk.push(operation.version(*version).version_type(VersionType::ExternalGte))
            }
        }
    }
}

impl From<Document> for Operation {
    fn from(document: Document) -> Self {
        let Document { chat_id, seq, message_id, sender, content, created_at, version } = document;
        Self::Index {
            id: format!("{chat_id}:{seq}"),
            version: i64::try_from(version).unwrap_or(i64::MAX),
            source: Source { message_id, chat_id, sender_id: sender, content, created_at: created_at.millis(), seq },
        }
    }
}

/// Cuts documents into bulks, in order, each of at most so many bytes of content or of one document.
pub(super) fn cut(documents: Vec<Document>, bytes: usize) -> Vec<Vec<Operation>> {
    /// What a document takes beside its content.
    const FRAME: usize = 400;
    let mut bulks: Vec<Vec<Operation>> = Vec::new();
    let mut room = 0;
    for document in documents {
        let size = document.content.len() + FRAME;
        if bulks.is_empty() || size > room {
            bulks.push(Vec::new());
            room = bytes;
        }
        room = room.saturating_sub(size);
        if let Some(bulk) = bulks.last_mut() {
            bulk.push(document.into());
        }
    }
    bulks
}

/// A server's answer to a bulk.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Item {
    Index(Outcome),
    Delete(Outcome),
}

#[derive(Debug, Deserialize)]
struct Outcome {
    status: u16,
    #[serde(default)]
    error: Option<Reason>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

/// Returns the operations that the server had no room or no shard for. Fails where it refuses one for good.
pub(super) fn left(operations: Vec<Operation>, answer: Answer) -> Result<Vec<Operation>, SearchError> {
    if answer.items.len() != operations.len() {
        return Err(SearchError(format!("{} answers to {} operations", answer.items.len(), operations.len())));
    }
    let mut left = Vec::new();
    for (operation, item) in operations.into_iter().zip(answer.items) {
        let (Item::Index(outcome) | Item::Delete(outcome)) = item;
        match outcome.status {
            // A conflict: a later version is there. Not found: there was nothing to remove.
            200..=299 | 404 if outcome.error.is_none() => {}
            409 => {}
            429 | 503 => left.push(operation),
            status => {
                let reason = outcome.error.map(|error| error.reason).unwrap_or_default();
                return Err(SearchError(format!("{status}: {reason}")));
            }
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;

    fn document(seq: Seq, content: &str) -> Document {
        Document {
            chat_id: ChatId(uuid::Uuid::nil()),
            seq,
            message_id: MessageId(uuid::Uuid::nil()),
            sender: UserId::new("ann").unwrap(),
            content: content.to_owned(),
            created_at: Time::from_millis(1),
            version: 7,
        }
    }

    #[test]
    fn bulks_are_in_order_and_bounded_and_one_document_is_never_cut() {
        let documents = (1..=7).map(|seq| document(seq, &"x".repeat(if seq == 4 { 5_000 } else { 600 }))).collect();
        let bulks = cut(documents, 2_000);
        let ids = |bulk: &Vec<Operation>| {
            let id = |operation: &Operation| match operation {
                Operation::Index { id, .. } | Operation::Remove { id, .. } => id.rsplit(':').next().unwrap().to_owned(),
            };
            bulk.iter().map(id).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(bulks.iter().map(ids).collect::<Vec<_>>(), ["1 2", "3", "4", "5 6", "7"]);
        assert!(cut(Vec::new(), 2_000).is_empty());
    }

    #[test]
    fn what_the_server_had_no_room_for_is_left_and_a_refusal_is_told() {
        let operations: Vec<Operation> = (1..=4).map(|seq| document(seq, "x").into()).collect();
        let answer = |statuses: [u16; 4]| {
            let item = |status| serde_json::json!({ "index": { "status": status, "error": (status > 299).then(|| serde_json::json!({ "reason": "why" })) } });
            serde_json::from_value(serde_json::json!({ "items": statuses.map(item) })).unwrap()
        };
        let left_of = |statuses| left(operations.clone(), answer(statuses)).map(|left| left.len());
        assert_eq!(left_of([200, 201, 409, 200]), Ok(0));
        assert_eq!(left_of([429, 200, 503, 409]), Ok(2));
        assert_eq!(left_of([200, 200, 400, 200]), Err(SearchError("400: why".to_owned())));
    }
}
