//! Frames to clients: replies and pushes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Change, ChatInfo, Fault, Message, Meta, Presence, PresenceStatus};
use crate::clock::Time;
use crate::codes::ErrorCode;
use crate::id::{ChatId, MessageId, OpId, Rev, Seq, UserId};

/// The one answer to a client frame that carries an `id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "d", rename_all = "lowercase")]
pub enum Reply {
    /// It was done.
    Ack(Ack),
    /// Answers `ping`.
    Pong {
        /// The time now.
        server_time: Time,
    },
    /// It was not done.
    Error(Fault),
}

/// What an `ack` says, by the request it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Ack {
    /// Answers `auth`.
    #[schemars(title = "AckAuth")]
    Auth {
        /// Who the token is for.
        user: UserId,
        /// When it expires.
        expires_at: Time,
    },
    /// Answers `sync`.
    #[schemars(title = "AckSync")]
    Sync(SyncDone),
    /// Answers `send`: the message is in the log.
    #[schemars(title = "AckSend")]
    Sent {
        /// The chat; for `to` the DIRECT chat's id.
        chat_id: ChatId,
        /// The message's id.
        message_id: MessageId,
    },
    /// Answers `edit` and `delete`: the change is in the log.
    #[schemars(title = "AckChange")]
    Changed {
        /// The chat.
        chat_id: ChatId,
        /// The message.
        seq: Seq,
    },
    /// Answers `presence.subscribe`.
    #[schemars(title = "AckPresence")]
    Presence {
        /// The presence of each asked user.
        presence: BTreeMap<UserId, Presence>,
    },
    /// Answers all else.
    #[schemars(title = "Ack")]
    Done {},
}

/// The end of a `sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncDone {
    /// Continuity is proven for every named chat: `reload` is empty.
    pub recovered: bool,
    /// What did not fit: sync again, or read history.
    pub more: Vec<More>,
    /// Drop the copy of these and read their history.
    pub reload: Vec<ChatId>,
    /// The caller is no longer a member of these.
    pub gone: Vec<ChatId>,
    /// Chats active since `since` that no part named, at most 200.
    #[schemars(length(max = 200))]
    pub unlisted: Vec<Unlisted>,
    /// Pass it as `since` next time.
    pub server_time: Time,
}

/// A range of messages that a sync left out, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct More {
    /// The chat.
    pub chat_id: ChatId,
    /// First missing seq.
    #[schemars(range(min = 1))]
    pub from: Seq,
    /// Last missing seq.
    #[schemars(range(min = 1))]
    pub to: Seq,
}

/// A chat with news that the client did not name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unlisted {
    /// The chat.
    pub chat_id: ChatId,
    /// Its newest message.
    pub head_seq: Seq,
    /// Its newest change.
    pub head_rev: Rev,
}

/// A frame the server sends unasked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "d")]
pub enum Push {
    /// The first frame after authentication.
    #[serde(rename = "hello")]
    Hello(Hello),
    /// A message.
    #[serde(rename = "message")]
    Message(Message),
    /// A message has new content.
    #[serde(rename = "message.updated")]
    MessageUpdated {
        /// The chat.
        chat_id: ChatId,
        /// The message.
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
    #[serde(rename = "message.deleted")]
    MessageDeleted {
        /// The chat.
        chat_id: ChatId,
        /// The message.
        seq: Seq,
        /// The change's number.
        rev: Rev,
        /// When.
        deleted_at: Time,
    },
    /// An acknowledged send or change was refused in log order.
    #[serde(rename = "message.rejected")]
    MessageRejected {
        /// The chat.
        chat_id: ChatId,
        /// The refused send.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_id: Option<MessageId>,
        /// The refused change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        op_id: Option<OpId>,
        /// Why.
        code: ErrorCode,
        /// Why, for people.
        message: String,
    },
    /// Someone's cursors moved.
    #[serde(rename = "receipt")]
    Receipt {
        /// The chat.
        chat_id: ChatId,
        /// Whose.
        user: UserId,
        /// Delivered up to.
        delivered: Seq,
        /// Read up to.
        read: Seq,
    },
    /// How many have an own group message.
    #[serde(rename = "receipt.summary")]
    ReceiptSummary {
        /// The chat.
        chat_id: ChatId,
        /// The message.
        seq: Seq,
        /// How many have it.
        delivered: u64,
        /// How many read it.
        read: u64,
        /// Of how many.
        of: u64,
    },
    /// A user came or went.
    #[serde(rename = "presence")]
    Presence {
        /// Who.
        user: UserId,
        /// Came or went.
        status: PresenceStatus,
        /// When they last were there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_seen_at: Option<Time>,
    },
    /// A user is typing.
    #[serde(rename = "typing")]
    Typing {
        /// Where.
        chat_id: ChatId,
        /// Who.
        user: UserId,
        /// Typing, or no longer.
        active: bool,
    },
    /// A chat changed.
    #[serde(rename = "chat")]
    Chat {
        /// The chat as it is now.
        chat: ChatInfo,
        /// What changed.
        change: Change,
    },
    /// Move to another gateway.
    #[serde(rename = "reconnect")]
    Reconnect {
        /// Wait this long first; already spread.
        after_ms: u64,
        /// Why.
        reason: ReconnectReason,
    },
    /// The token expires soon: send `auth`.
    #[serde(rename = "token.expiring")]
    TokenExpiring {
        /// When.
        expires_at: Time,
    },
    /// A frame without an `id` failed.
    #[serde(rename = "error")]
    Error {
        /// What is wrong.
        #[serde(flatten)]
        fault: Fault,
        /// The type of the frame that failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<String>,
    },
}

/// The first frame after authentication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// Who the token is for.
    pub user: UserId,
    /// This session.
    pub session: String,
    /// Server version.
    pub server: String,
    /// Restore epoch: another one than stored with the client's positions means the data was restored.
    pub epoch: String,
    /// Send `ping` about this often.
    pub heartbeat_ms: u64,
    /// The time now.
    pub server_time: Time,
    /// When the token expires.
    pub token_expires_at: Time,
    /// Largest client frame.
    pub max_frame_bytes: u64,
    /// Largest content.
    pub max_content_bytes: u64,
}

/// Why a client should move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReconnectReason {
    /// The gateway drains.
    Drain,
    /// The server restarts.
    Restart,
}

/// Encodes a push.
pub fn push_json(push: &Push) -> String {
    serde_json::to_string(push).unwrap_or_else(|_| unreachable!("a push has string keys only"))
}

/// Encodes a reply to the request `id`.
pub fn reply_json(id: u64, reply: &Reply) -> String {
    #[derive(Serialize)]
    struct Numbered<'a> {
        id: u64,
        #[serde(flatten)]
        reply: &'a Reply,
    }
    serde_json::to_string(&Numbered { id, reply }).unwrap_or_else(|_| unreachable!("a reply has string keys only"))
}
