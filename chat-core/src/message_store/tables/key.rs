//! Row keys: which row of which table, in one order that the encoded bytes share.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use uuid::Uuid;

use crate::id::{ChatId, Rev, Seq, UserId};
use crate::message_log::Position;
use crate::message_store::{IdKey, Row};

/// Names one row.
///
/// # Encoding
/// One byte for the table, then the columns: integers big-endian, UUIDs as their 16 bytes, a position as epoch (4),
/// partition (4), offset (8), a user id as its bytes, followed by a zero byte where another column follows (no user id
/// contains one). Encoded keys compare as the keys do.
///
/// ```text
/// 1 chat                  chats, what the chat is      5 chat id user    message_ids
/// 2 chat                  chats, the state cell        6 chat rev        changes
/// 3 chat position         rosters                      7 chat user       chat_members
/// 4 chat seq              messages                     8 user 0 chat     chats_by_user
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowKey {
    /// `chats`: what the chat is.
    Chat(ChatId),
    /// `chats`: the state cell, apart because it is written once a batch.
    State(ChatId),
    /// `rosters`.
    Roster(ChatId, Position),
    /// `messages`.
    Message(ChatId, Seq),
    /// `message_ids`.
    Id(IdKey),
    /// `changes`.
    Change(ChatId, Rev),
    /// `chat_members`.
    Member(ChatId, UserId),
    /// `chats_by_user`.
    Inbox(UserId, ChatId),
}

/// Lowest and highest user id there can be, by the alphabet and length of [`UserId`].
static USERS: LazyLock<(UserId, UserId)> = LazyLock::new(|| {
    let user = |text: &str| UserId::new(text).unwrap_or_else(|_| unreachable!("the alphabet contains it"));
    (user("+"), user(&"~".repeat(128)))
});

impl RowKey {
    /// Returns the key of the row that a write goes to.
    pub fn of(row: &Row) -> Self {
        match row {
            Row::Chat { chat_id, .. } | Row::ChatName { chat_id, .. } => Self::Chat(*chat_id),
            Row::Roster { chat_id, at, .. } => Self::Roster(*chat_id, *at),
            Row::Message { message, .. } => Self::Message(message.chat_id, message.seq),
            Row::Edit { chat_id, seq, .. } | Row::Delete { chat_id, seq, .. } => Self::Message(*chat_id, *seq),
            Row::Id { key, .. } => Self::Id(key.clone()),
            Row::Change { chat_id, rev, .. } => Self::Change(*chat_id, *rev),
            Row::Member { chat_id, user, .. }
            | Row::Cursor { chat_id, user, .. }
            | Row::PushCursor { chat_id, user, .. }
            | Row::Mute { chat_id, user, .. } => Self::Member(*chat_id, user.clone()),
            Row::Inbox { user, chat_id, .. } | Row::Active { user, chat_id, .. } => Self::Inbox(user.clone(), *chat_id),
        }
    }

    /// Returns the keys of all member rows of a chat.
    pub fn members_of(chat: ChatId) -> RangeInclusive<Self> {
        Self::Member(chat, USERS.0.clone())..=Self::Member(chat, USERS.1.clone())
    }

    /// Returns the keys of all inbox rows of a user.
    pub fn inbox_of(user: &UserId) -> RangeInclusive<Self> {
        Self::Inbox(user.clone(), ChatId(Uuid::nil()))..=Self::Inbox(user.clone(), ChatId(Uuid::max()))
    }

    /// Encodes the key; see the type for the form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let chat = |bytes: &mut Vec<u8>, table: u8, chat: &ChatId| {
            bytes.push(table);
            bytes.extend_from_slice(chat.0.as_bytes());
        };
        match self {
            Self::Chat(id) => chat(&mut bytes, 1, id),
            Self::State(id) => chat(&mut bytes, 2, id),
            Self::Roster(id, at) => {
                chat(&mut bytes, 3, id);
                bytes.extend_from_slice(&at.epoch.to_be_bytes());
                bytes.extend_from_slice(&at.partition.to_be_bytes());
                bytes.extend_from_slice(&at.offset.to_be_bytes());
            }
            Self::Message(id, seq) => {
                chat(&mut bytes, 4, id);
                bytes.extend_from_slice(&seq.to_be_bytes());
            }
            Self::Id(key) => {
                chat(&mut bytes, 5, &key.chat_id);
                bytes.extend_from_slice(key.id.as_bytes());
                bytes.extend_from_slice(key.actor.as_str().as_bytes());
            }
            Self::Change(id, rev) => {
                chat(&mut bytes, 6, id);
                bytes.extend_from_slice(&rev.to_be_bytes());
            }
            Self::Member(id, user) => {
                chat(&mut bytes, 7, id);
                bytes.extend_from_slice(user.as_str().as_bytes());
            }
            Self::Inbox(user, id) => {
                bytes.push(8);
                bytes.extend_from_slice(user.as_str().as_bytes());
                bytes.push(0);
                bytes.extend_from_slice(id.0.as_bytes());
            }
        }
        bytes
    }

    /// Decodes a key, `None` if the bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&table, mut rest) = bytes.split_first()?;
        let key = match table {
            1 => Self::Chat(take_chat(&mut rest)?),
            2 => Self::State(take_chat(&mut rest)?),
            3 => {
                let chat = take_chat(&mut rest)?;
                let epoch = u32::from_be_bytes(take(&mut rest)?);
                let partition = u32::from_be_bytes(take(&mut rest)?);
                Self::Roster(chat, Position { epoch, partition, offset: u64::from_be_bytes(take(&mut rest)?) })
            }
            4 => Self::Message(take_chat(&mut rest)?, u64::from_be_bytes(take(&mut rest)?)),
            5 => {
                let chat_id = take_chat(&mut rest)?;
                let id = Uuid::from_bytes(take(&mut rest)?);
                Self::Id(IdKey { chat_id, id, actor: user(std::mem::take(&mut rest))? })
            }
            6 => Self::Change(take_chat(&mut rest)?, u64::from_be_bytes(take(&mut rest)?)),
            7 => Self::Member(take_chat(&mut rest)?, user(std::mem::take(&mut rest))?),
            8 => {
                let end = rest.iter().position(|byte| *byte == 0)?;
                let (name, after) = rest.split_at(end);
                rest = &after[1..];
                Self::Inbox(user(name)?, take_chat(&mut rest)?)
            }
            _ => return None,
        };
        rest.is_empty().then_some(key)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn take_chat(bytes: &mut &[u8]) -> Option<ChatId> {
    take(bytes).map(|id| ChatId(Uuid::from_bytes(id)))
}

fn user(bytes: &[u8]) -> Option<UserId> {
    UserId::new(std::str::from_utf8(bytes).ok()?).ok()
}
