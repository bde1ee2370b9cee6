//! Stored rows, cell by cell, and the merge of one write into one of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::RowKey;
use crate::clock::Time;
use crate::frame::{Attachment, Change, ChatType, ContentType, Message, Meta, Role};
use crate::id::{ChatId, MessageId, Rev, Seq, UserId};
use crate::message_log::Position;
use crate::message_store::{ChatHeader, ChatState, IdRow, InboxRow, MemberRow, Roster, Row, StoreError, StoredMessage};

/// One cell: a value with its write timestamp, or unset. The higher timestamp wins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Register<T>(Option<(u64, T)>);

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Register<T> {
    /// Sets the cell unless it holds an equal or higher timestamp; `value` is made only then. Returns whether it did.
    pub fn set(&mut self, ts: u64, value: impl FnOnce() -> T) -> bool {
        let wins = self.0.as_ref().is_none_or(|(held, _)| ts > *held);
        if wins {
            self.0 = Some((ts, value()));
        }
        wins
    }

    /// Returns the value, if set.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|(_, value)| value)
    }

    /// Returns the write timestamp, if set.
    pub fn ts(&self) -> Option<u64> {
        self.0.as_ref().map(|(ts, _)| *ts)
    }

    /// Returns whether nothing was written yet.
    pub fn is_unset(&self) -> bool {
        self.0.is_none()
    }
}

/// Raises a max register. Returns whether it rose.
fn raise(register: &mut u64, to: u64) -> bool {
    let rises = to > *register;
    if rises {
        *register = to;
    }
    rises
}

/// `chats` without its state cell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ChatCells {
    /// Type, when it began, who began it.
    pub begun: Register<(ChatType, Time, UserId)>,
    /// The group's name.
    pub name: Register<String>,
}

impl ChatCells {
    /// Returns the header, `None` while only the name is known.
    pub fn header(&self) -> Option<ChatHeader> {
        let (chat_type, created_at, created_by) = self.begun.get()?.clone();
        Some(ChatHeader { chat_type, name: self.name.get().cloned(), created_at, created_by })
    }
}

/// The cells of a message that never change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Created {
    /// The creating record.
    pub position: Position,
    /// The sender's id for it.
    pub message_id: MessageId,
    /// Who wrote it.
    pub sender: UserId,
    /// What it carries.
    pub content_type: ContentType,
    /// The log's time.
    pub at: Time,
    /// The change that a SYSTEM message tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Change>,
}

/// `messages`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageCells {
    /// What never changes.
    pub created: Register<Created>,
    /// Content and meta: set by send, edit and delete alike.
    pub body: Register<(String, Option<Meta>)>,
    /// Set by send, emptied by delete.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub attachment: Register<Option<Attachment>>,
    /// Rev of the last edit or delete.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub rev: Register<Rev>,
    /// Time of the last edit.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub edited_at: Register<Time>,
    /// When and by which record it was deleted.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub deleted: Register<(Time, Position)>,
}

impl MessageCells {
    /// Returns the message, `None` while only an edit or delete of it has landed.
    pub fn message(&self, chat_id: ChatId, seq: Seq) -> Option<StoredMessage> {
        let created = self.created.get()?;
        let (content, meta) = self.body.get().cloned().unwrap_or_default();
        let message = Message {
            chat_id,
            seq,
            rev: self.rev.get().copied(),
            message_id: created.message_id,
            sender: created.sender.clone(),
            content_type: created.content_type,
            content,
            attachment: self.attachment.get().cloned().flatten(),
            meta,
            system: created.system.clone(),
            created_at: created.at,
            edited_at: self.edited_at.get().copied(),
            deleted_at: self.deleted.get().map(|(at, _)| *at),
        };
        let deleted_position = self.deleted.get().map(|(_, position)| *position);
        Some(StoredMessage { message, position: created.position, ts: self.created.ts()?, deleted_position })
    }

    /// Returns whether the message was created before this time. What is known only by a change was created before
    /// that.
    pub fn is_before(&self, time: Time) -> bool {
        let deleted_at = self.deleted.get().map(|(at, _)| *at);
        let created_at = self.created.get().map(|created| created.at);
        let edited_at = self.edited_at.get().copied();
        created_at.or(edited_at).or(deleted_at).is_some_and(|at| at < time)
    }

    fn create(&mut self, ts: u64, position: Position, message: &Message) -> bool {
        let created = || Created {
            position,
            message_id: message.message_id,
            sender: message.sender.clone(),
            content_type: message.content_type,
            at: message.created_at,
            system: message.system.clone(),
        };
        self.created.set(ts, created)
            | self.body.set(ts, || (message.content.clone(), message.meta.clone()))
            | (message.attachment.is_some() && self.attachment.set(ts, || message.attachment.clone()))
    }
}

/// `chat_members`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberCells {
    /// May do what.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub role: Register<Role>,
    /// Last came in: when, and after which seq.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub joined: Register<(Time, Seq)>,
    /// Last left, with which seq.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub left: Register<Seq>,
    /// Delivered up to: a max register.
    pub delivered: Seq,
    /// Read up to: a max register.
    pub read: Seq,
    /// Delivered to an active session up to: a max register.
    pub active: Seq,
    /// Pushed up to: a max register.
    pub pushed: Seq,
    /// No push until then.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub muted: Register<Option<Time>>,
}

impl MemberCells {
    /// Returns the row, `None` while only cursors of it have landed.
    pub fn member(&self, user: UserId) -> Option<MemberRow> {
        let (joined_at, join_seq) = *self.joined.get()?;
        Some(MemberRow {
            user,
            role: *self.role.get()?,
            joined_at,
            join_seq,
            left_seq: self.left.get().copied(),
            delivered: self.delivered,
            read: self.read,
            active: self.active,
            pushed: self.pushed,
            muted_until: self.muted.get().copied().flatten(),
        })
    }
}

/// `chats_by_user`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InboxCells {
    /// Last came in.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub joined: Register<Time>,
    /// Last left.
    #[serde(skip_serializing_if = "Register::is_unset")]
    pub left: Register<Time>,
    /// Last slot with activity: a max register.
    pub active_slot: u64,
}

impl InboxCells {
    /// Returns the row, `None` while only activity of it has landed.
    pub fn inbox(&self, chat_id: ChatId) -> Option<InboxRow> {
        let joined_at = *self.joined.get()?;
        // By the write timestamps, which differ within a chat: the times may be of one millisecond.
        let is_gone = self.left.ts() > self.joined.ts();
        let left_at = self.left.get().copied().filter(|_| is_gone);
        Some(InboxRow { chat_id, joined_at, left_at, active_slot: self.active_slot })
    }
}

/// One row of one table, as its cells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StoredRow {
    /// `chats` without the state cell.
    Chat(ChatCells),
    /// The state cell.
    State(Option<ChatState>),
    /// `rosters`: immutable, so the first one stays.
    Roster(Option<Arc<Roster>>),
    /// `messages`.
    Message(Box<MessageCells>),
    /// `message_ids`; the timestamp is in the row.
    Id(Option<IdRow>),
    /// `changes`.
    Change(Register<Seq>),
    /// `chat_members`.
    Member(MemberCells),
    /// `chats_by_user`.
    Inbox(InboxCells),
}

impl StoredRow {
    /// Makes the row of a key before its first write.
    pub fn unset(key: &RowKey) -> Self {
        match key {
            RowKey::Chat(_) => Self::Chat(ChatCells::default()),
            RowKey::State(_) => Self::State(None),
            RowKey::Roster(..) => Self::Roster(None),
            RowKey::Message(..) => Self::Message(Box::default()),
            RowKey::Id(_) => Self::Id(None),
            RowKey::Change(..) => Self::Change(Register::default()),
            RowKey::Member(..) => Self::Member(MemberCells::default()),
            RowKey::Inbox(..) => Self::Inbox(InboxCells::default()),
        }
    }

    /// Merges a write to this row, cell by cell. Returns whether any cell changed.
    ///
    /// # Panics
    /// If the write is for a row of another table: look rows up by [`RowKey::of`].
    pub fn apply(&mut self, row: &Row) -> bool {
        match (self, row) {
            (Self::Chat(cells), Row::Chat { ts, header, .. }) => {
                let begun = || (header.chat_type, header.created_at, header.created_by.clone());
                cells.begun.set(*ts, begun)
                    | header.name.as_ref().is_some_and(|name| cells.name.set(*ts, || name.clone()))
            }
            (Self::Chat(cells), Row::ChatName { ts, name, .. }) => cells.name.set(*ts, || name.clone()),
            (Self::Roster(held), Row::Roster { roster, .. }) => {
                let first = held.is_none();
                held.get_or_insert_with(|| Arc::clone(roster));
                first
            }
            (Self::Message(cells), Row::Message { ts, position, message }) => cells.create(*ts, *position, message),
            (Self::Message(cells), Row::Edit { ts, rev, content, meta, edited_at, .. }) => {
                cells.body.set(*ts, || (content.clone(), meta.clone()))
                    | cells.rev.set(*ts, || *rev)
                    | cells.edited_at.set(*ts, || *edited_at)
            }
            (Self::Message(cells), Row::Delete { ts, rev, deleted_at, position, .. }) => {
                cells.body.set(*ts, Default::default)
                    | cells.attachment.set(*ts, || None)
                    | cells.rev.set(*ts, || *rev)
                    | cells.deleted.set(*ts, || (*deleted_at, *position))
            }
            (Self::Id(held), Row::Id { row, .. }) => {
                let wins = held.is_none_or(|held| row.ts > held.ts);
                if wins {
                    *held = Some(*row);
                }
                wins
            }
            (Self::Change(cell), Row::Change { ts, seq, .. }) => cell.set(*ts, || *seq),
            (Self::Member(cells), Row::Member { ts, role, joined, left_seq, .. }) => {
                cells.role.set(*ts, || *role)
                    | joined.is_some_and(|joined| cells.joined.set(*ts, || joined))
                    | left_seq.is_some_and(|left| cells.left.set(*ts, || left))
            }
            (Self::Member(cells), Row::Cursor { delivered, read, .. }) => {
                raise(&mut cells.delivered, *delivered) | raise(&mut cells.read, *read)
            }
            (Self::Member(cells), Row::PushCursor { active, pushed, .. }) => {
                raise(&mut cells.active, *active) | raise(&mut cells.pushed, *pushed)
            }
            (Self::Member(cells), Row::Mute { ts, until, .. }) => cells.muted.set(*ts, || *until),
            (Self::Inbox(cells), Row::Inbox { ts, joined_at, left_at, .. }) => {
                joined_at.is_some_and(|at| cells.joined.set(*ts, || at))
                    | left_at.is_some_and(|at| cells.left.set(*ts, || at))
            }
            (Self::Inbox(cells), Row::Active { slot, .. }) => raise(&mut cells.active_slot, *slot),
            (stored, row) => unreachable!("{row:?} does not belong to {stored:?}"),
        }
    }

    /// Merges a state cell: the higher timestamp wins, of equal ones the lower position. Returns whether it changed.
    ///
    /// # Panics
    /// If this is not the row of a state cell.
    pub fn apply_state(&mut self, state: &ChatState) -> bool {
        let Self::State(held) = self else { unreachable!("{self:?} is no state cell") };
        let wins =
            held.is_none_or(|held| state.ts > held.ts || (state.ts == held.ts && state.position < held.position));
        if wins {
            *held = Some(*state);
        }
        wins
    }

    /// Encodes the cells as JSON; the table is in the key.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Chat(cells) => serde_json::to_vec(cells),
            Self::State(state) => serde_json::to_vec(state),
            Self::Roster(roster) => serde_json::to_vec(roster),
            Self::Message(cells) => serde_json::to_vec(cells),
            Self::Id(row) => serde_json::to_vec(row),
            Self::Change(cell) => serde_json::to_vec(cell),
            Self::Member(cells) => serde_json::to_vec(cells),
            Self::Inbox(cells) => serde_json::to_vec(cells),
        }
        .unwrap_or_else(|_| unreachable!("rows have string keys only"))
    }

    /// Decodes the row of a key. Unknown cells are ignored, missing ones unset.
    pub fn decode(key: &RowKey, bytes: &[u8]) -> Result<Self, StoreError> {
        match key {
            RowKey::Chat(_) => serde_json::from_slice(bytes).map(Self::Chat),
            RowKey::State(_) => serde_json::from_slice(bytes).map(Self::State),
            RowKey::Roster(..) => serde_json::from_slice(bytes).map(Self::Roster),
            RowKey::Message(..) => serde_json::from_slice(bytes).map(Self::Message),
            RowKey::Id(_) => serde_json::from_slice(bytes).map(Self::Id),
            RowKey::Change(..) => serde_json::from_slice(bytes).map(Self::Change),
            RowKey::Member(..) => serde_json::from_slice(bytes).map(Self::Member),
            RowKey::Inbox(..) => serde_json::from_slice(bytes).map(Self::Inbox),
        }
        .map_err(|error| StoreError::Corrupt(format!("{key:?}: {error}")))
    }
}
