//! The rows of the store: what the sequencer and the receipts worker write, and what readers get back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Roster;
use crate::clock::Time;
use crate::frame::{ChatType, Message, Meta, Role};
use crate::id::{ChatId, Rev, Seq, UserId};
use crate::message_log::Position;

/// The one cell of state of a chat, and the commit point of a batch. Position, seq, rev and roster change together,
/// so a reader never sees new members with an old head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ChatState {
    /// The last decided record of the chat, applied or not.
    pub position: Position,
    /// The newest message.
    pub seq: Seq,
    /// The newest edit or delete.
    pub rev: Rev,
    /// Write timestamp of the last decided record.
    pub ts: u64,
    /// The membership record whose roster holds.
    pub roster_at: Position,
    /// Time of the newest message, or of the chat's beginning; message times never fall below it.
    pub head_at: Time,
    /// Highest time inside an applied id that ran more than two minutes ahead of the log. Ids up to here are looked
    /// up in the store, whatever memory says (ADR 0002).
    pub ids_ahead_until: Time,
}

impl ChatState {
    /// Returns whether the chat exists: a cell may also stand for records refused because it does not.
    pub fn exists(&self) -> bool {
        self.roster_at != Position::default()
    }
}

/// What a chat is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChatHeader {
    /// DIRECT or GROUP.
    pub chat_type: ChatType,
    /// The group's name.
    pub name: Option<String>,
    /// When it began.
    pub created_at: Time,
    /// Who began it.
    pub created_by: UserId,
}

/// An idempotency key as the store finds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdKey {
    /// The chat.
    pub chat_id: ChatId,
    /// `message_id`, `op_id`, or the group's own id.
    pub id: Uuid,
    /// Who asked.
    pub actor: UserId,
}

/// What an idempotency key was applied as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdRow {
    /// The message it made or changed.
    pub seq: Seq,
    /// The change's number, 0 for what is not a change.
    pub rev: Rev,
    /// The record that was applied.
    pub position: Position,
    /// That record's write timestamp.
    pub ts: u64,
}

/// One write to one row. `ts` is the write timestamp of every cell it sets, unless the variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Row {
    /// `chats`: type, name, `created_at`, `created_by`.
    Chat {
        /// The chat.
        chat_id: ChatId,
        /// Write timestamp.
        ts: u64,
        /// What it is.
        header: ChatHeader,
    },
    /// `chats`: name alone.
    ChatName {
        /// The chat.
        chat_id: ChatId,
        /// Write timestamp.
        ts: u64,
        /// The new name.
        name: String,
    },
    /// `rosters`: an immutable snapshot.
    Roster {
        /// The chat.
        chat_id: ChatId,
        /// The membership record it came from.
        at: Position,
        /// The members.
        roster: Arc<Roster>,
    },
    /// `messages`: all cells of a new message.
    Message {
        /// Write timestamp.
        ts: u64,
        /// The creating record; never changes.
        position: Position,
        /// The message, its `rev`, `edited_at` and `deleted_at` unset.
        message: Arc<Message>,
    },
    /// `messages`: content, meta, `edited_at`, rev of an edited one.
    Edit {
        /// The chat.
        chat_id: ChatId,
        /// The message.
        seq: Seq,
        /// Write timestamp.
        ts: u64,
        /// The change's number.
        rev: Rev,
        /// The new content.
        content: String,
        /// The new data.
        meta: Option<Meta>,
        /// When.
        edited_at: Time,
    },
    /// `messages`: content, attachment and meta emptied, `deleted_at`, `deleted_position`, rev.
    Delete {
        /// The chat.
        chat_id: ChatId,
        /// The message.
        seq: Seq,
        /// Write timestamp.
        ts: u64,
        /// The change's number.
        rev: Rev,
        /// When.
        deleted_at: Time,
        /// The deleting record.
        position: Position,
    },
    /// `message_ids`: an applied idempotency key.
    Id {
        /// The key.
        key: IdKey,
        /// What it was applied as; its `ts` is the write timestamp.
        row: IdRow,
    },
    /// `changes`: which message a rev is about.
    Change {
        /// The chat.
        chat_id: ChatId,
        /// The change's number.
        rev: Rev,
        /// Write timestamp.
        ts: u64,
        /// The message.
        seq: Seq,
    },
    /// `chat_members`: role, and where set `joined_at` with `join_seq`, or `left_seq`. Rows are never deleted.
    Member {
        /// The chat.
        chat_id: ChatId,
        /// Who.
        user: UserId,
        /// Write timestamp.
        ts: u64,
        /// May do what.
        role: Role,
        /// Came in at this time, seeing messages after this seq.
        joined: Option<(Time, Seq)>,
        /// Left with this seq.
        left_seq: Option<Seq>,
    },
    /// `chat_members`: cursors, each a max register.
    Cursor {
        /// The chat.
        chat_id: ChatId,
        /// Whose.
        user: UserId,
        /// Delivered up to.
        delivered: Seq,
        /// Read up to.
        read: Seq,
    },
    /// `chat_members`: what push goes by, each a max register.
    PushCursor {
        /// The chat.
        chat_id: ChatId,
        /// Whose.
        user: UserId,
        /// Delivered to an active session up to.
        active: Seq,
        /// Pushed up to.
        pushed: Seq,
    },
    /// `chat_members`: no push until then. Not derived from the log, so the engine makes it durable by itself before
    /// it acknowledges.
    Mute {
        /// The chat.
        chat_id: ChatId,
        /// Whose.
        user: UserId,
        /// Write timestamp: the writer's clock in microseconds.
        ts: u64,
        /// Until when; absent: not muted.
        until: Option<Time>,
    },
    /// `chats_by_user`: the chat is in the user's inbox since, or until.
    Inbox {
        /// Whose.
        user: UserId,
        /// The chat.
        chat_id: ChatId,
        /// Write timestamp.
        ts: u64,
        /// Came in.
        joined_at: Option<Time>,
        /// Left.
        left_at: Option<Time>,
    },
    /// `chats_by_user`: the chat was active in this 6-hour slot; a max register.
    Active {
        /// Whose.
        user: UserId,
        /// The chat.
        chat_id: ChatId,
        /// Slot number: milliseconds since 1970 divided by [`ACTIVE_SLOT_MS`].
        slot: u64,
    },
}

impl Row {
    /// Returns whether the log can make this row again. One that it cannot MUST be durable when it is acknowledged.
    pub fn is_derived(&self) -> bool {
        !matches!(self, Self::Mute { .. })
    }
}

/// Length of an activity slot. One inbox write per member, chat and slot is enough to find the chats with news.
pub const ACTIVE_SLOT_MS: u64 = 6 * 3600 * 1000;

/// A message row as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredMessage {
    /// The message.
    pub message: Message,
    /// The creating record.
    pub position: Position,
    /// The creating record's write timestamp.
    pub ts: u64,
    /// The deleting record, where it is deleted.
    pub deleted_position: Option<Position>,
}

/// A member row as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberRow {
    /// Who.
    pub user: UserId,
    /// May do what.
    pub role: Role,
    /// Last came in at.
    pub joined_at: Time,
    /// Sees messages after this seq.
    pub join_seq: Seq,
    /// Left with this seq; stale when ≤ `join_seq`, because the user was added again.
    pub left_seq: Option<Seq>,
    /// Delivered up to.
    pub delivered: Seq,
    /// Read up to.
    pub read: Seq,
    /// Delivered to an active session up to: an idle one does not count for push.
    pub active: Seq,
    /// Pushed up to.
    pub pushed: Seq,
    /// No push until then.
    pub muted_until: Option<Time>,
}

impl MemberRow {
    /// Returns whether the user is a member now.
    pub fn is_present(&self) -> bool {
        self.left().is_none()
    }

    /// Returns the seq the user left with, where they did not come back.
    pub fn left(&self) -> Option<Seq> {
        self.left_seq.filter(|left| *left > self.join_seq)
    }

    /// Returns the last seq the user may see, in a chat whose head is `head`.
    pub fn visible_upto(&self, head: Seq) -> Seq {
        self.left().unwrap_or(head).min(head)
    }
}

/// An inbox row as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InboxRow {
    /// The chat.
    pub chat_id: ChatId,
    /// Last came in at.
    pub joined_at: Time,
    /// Left at, where that was written after `joined_at`: the write timestamps tell, because the times may be equal.
    pub left_at: Option<Time>,
    /// Last slot with activity.
    pub active_slot: u64,
}

impl InboxRow {
    /// Returns whether the user is in the chat now.
    pub fn is_present(&self) -> bool {
        self.left_at.is_none()
    }
}
