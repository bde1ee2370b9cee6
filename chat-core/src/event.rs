//! Sequenced facts: what the sequencer found out, for gateways, indexer, push, analytics and the customer's consumers.
//!
//! An event is idempotent on (`chat_id`, seq, rev): a replay emits the same event again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Time;
use crate::codes::ErrorCode;
use crate::format::{self, FormatError, Versioned};
use crate::frame::{Change, ChatInfo, Message, Meta};
use crate::id::{ChatId, MessageId, Rev, Seq, UserId};
use crate::message_log::Position;

/// One sequenced fact of a chat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Schema number of the public feed.
    pub v: u16,
    /// The chat.
    pub chat_id: ChatId,
    /// The record it came from.
    pub position: Position,
    /// Write timestamp: grows with every decided record of the chat.
    pub ts: u64,
    /// The fact.
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A message took a seq.
    Message(Message),
    /// A message has new content.
    Updated {
        /// Which.
        seq: Seq,
        /// The change's number.
        rev: Rev,
        /// The new content.
        content: String,
        /// The new data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meta: Option<Meta>,
        /// When.
        edited_at: Time,
    },
    /// A message is gone.
    Deleted {
        /// Which.
        seq: Seq,
        /// The change's number.
        rev: Rev,
        /// When.
        deleted_at: Time,
    },
    /// The chat itself changed.
    Changed {
        /// The chat after the change.
        chat: ChatInfo,
        /// The change.
        change: Change,
        /// Present members after the change, for consumers that keep their own member lists.
        members: Arc<[UserId]>,
    },
}

impl Event {
    /// Schema number that this version writes.
    pub const FORMAT: u16 = 1;

    /// Encodes the event for the public feed.
    pub fn encode(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("an event has string keys only")).into()
    }

    /// Decodes an event of the public feed.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        format::decode(bytes)
    }
}

impl Versioned for Event {
    const NEWEST: u16 = Self::FORMAT;

    fn format(&self) -> u16 {
        self.v
    }
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It took this seq; for edits and deletes also this rev (0 otherwise).
    Applied {
        /// The message.
        seq: Seq,
        /// The change's number, 0 for what is not a change.
        rev: Rev,
    },
    /// The same id was applied before, with this seq and rev.
    Duplicate {
        /// The message.
        seq: Seq,
        /// The change's number, 0 for what is not a change.
        rev: Rev,
    },
    /// It was refused and takes nothing.
    Refused {
        /// Why.
        code: ErrorCode,
    },
}

/// An outcome on its way to the gateway that waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The chat.
    pub chat_id: ChatId,
    /// Who asked.
    pub actor: UserId,
    /// The record's idempotency key.
    pub id: Uuid,
    /// Whether the record was a send, so that a refusal is told by its `message_id`.
    pub is_send: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// One record of the `push` topic: a message, and who was not connected when it was relayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRecord {
    /// Format number.
    pub v: u16,
    /// The chat.
    pub chat_id: ChatId,
    /// The message.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// Who wrote it.
    pub sender: UserId,
    /// When; the members of `offline` are due now, the others 10 s later.
    pub created_at: Time,
    /// The membership record whose roster says who gets it.
    pub roster_at: Position,
    /// Members without a route when the message was relayed.
    pub offline: Vec<UserId>,
}

impl PushRecord {
    /// Format number that this version writes.
    pub const FORMAT: u16 = 1;

    /// Encodes the record.
    pub fn encode(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("a push record has string keys only")).into()
    }

    /// Decodes a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        format::decode(bytes)
    }
}

impl Versioned for PushRecord {
    const NEWEST: u16 = Self::FORMAT;

    fn format(&self) -> u16 {
        self.v
    }
}
