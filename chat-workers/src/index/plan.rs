//! From events to documents. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chat_core::event::{Event, Fact};
use chat_core::frame::{ContentType, Message};
use chat_core::id::{ChatId, Seq};
use chat_core::search::Document;

/// What a batch of events asks of the index: the newest version of each message.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Messages of the batch.
    pub(super) documents: BTreeMap<(ChatId, Seq), Document>,
    /// Edits and deletes of other messages, whose unchanging parts are in the store.
    pub(super) changes: BTreeMap<(ChatId, Seq), Change>,
}

/// New content of a message; empty where it was deleted.
#[derive(Debug)]
pub(super) struct Change {
    content: String,
    version: u64,
}

impl Change {
    /// Makes the document of a message that was changed so.
    pub(super) fn document(self, message: &Message) -> Document {
        Document { content: self.content, ..document(message, self.version) }
    }
}

fn document(message: &Message, version: u64) -> Document {
    Document {
        chat_id: message.chat_id,
        seq: message.seq,
        message_id: message.message_id,
        sender: message.sender.clone(),
        content: message.content.clone(),
        created_at: message.created_at,
        version,
    }
}

/// Plans a batch. Events may come twice, and an edit before its message.
pub(super) fn plan(events: impl Iterator<Item = Event>) -> Plan {
    let mut plan = Plan::default();
    for event in events {
        let (chat_id, version) = (event.chat_id, event.ts);
        match event.fact {
            // SYSTEM messages have no content to be found by.
            Fact::Message(message) if message.content_type == ContentType::System => {}
            Fact::Message(message) => {
                plan.documents.insert((chat_id, message.seq), document(&message, version));
            }
            Fact::Updated { seq, content, .. } => plan.change((chat_id, seq), Change { content, version }),
            Fact::Deleted { seq, .. } => plan.change((chat_id, seq), Change { content: String::new(), version }),
            Fact::Changed { .. } => {}
        }
    }
    let Plan { documents, changes } = &mut plan;
    changes.retain(|place, change| match documents.get_mut(place) {
        None => true,
        Some(document) => {
            document.content = std::mem::take(&mut change.content);
            document.version = change.version;
            false
        }
    });
    plan
}

impl Plan {
    fn change(&mut self, place: (ChatId, Seq), change: Change) {
        match self.changes.entry(place) {
            Entry::Vacant(entry) => drop(entry.insert(change)),
            Entry::Occupied(mut entry) if entry.get().version < change.version => drop(entry.insert(change)),
            Entry::Occupied(_) => {}
        }
    }
}
