//! The rows of the engine as those of the port.

use std::sync::Arc;

use scylla::value::CqlTimestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::cassandra::unreadable;
use crate::cassandra::values::{number, of_word, position_bytes, position_of, time};
use crate::frame::Message;
use crate::id::{ChatId, MessageId, UserId};
use crate::message_store::{ChatHeader, ChatState, IdRow, InboxRow, MemberRow, Roster, StoreError, StoredMessage};

/// A position, in bytes.
const POSITION: usize = 16;

/// Encodes a state cell: the complement of its position, then JSON. Of two cells with one timestamp the engine keeps
/// the greater bytes, which is the lower position.
pub(super) fn state_cell(state: &ChatState) -> Vec<u8> {
    let mut cell: Vec<u8> = position_bytes(state.position).iter().map(|byte| !byte).collect();
    cell.extend(serde_json::to_vec(state).unwrap_or_else(|_| unreachable!("it has string keys only")));
    cell
}

pub(super) fn state_of(cell: &[u8]) -> Result<ChatState, StoreError> {
    let json = cell.get(POSITION..).ok_or_else(|| unreadable("a state cell is too short"))?;
    serde_json::from_slice(json).map_err(unreadable)
}

/// Encodes as JSON; absent is the empty text.
pub(super) fn json(value: Option<&impl Serialize>) -> String {
    let encode = |value| serde_json::to_string(value).unwrap_or_else(|_| unreachable!("it has string keys only"));
    value.map(encode).unwrap_or_default()
}

fn of_json<T: DeserializeOwned>(text: Option<String>) -> Result<Option<T>, StoreError> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| serde_json::from_str(&text).map_err(unreadable)).transpose()
}

pub(super) type HeaderColumns = (Option<String>, Option<String>, Option<CqlTimestamp>, Option<String>);

/// Makes what a chat is, `None` while only the name or the state is known.
pub(super) fn header_of(
    (chat_type, name, created_at, created_by): HeaderColumns,
) -> Result<Option<ChatHeader>, StoreError> {
    let (Some(chat_type), Some(created_at), Some(created_by)) = (chat_type, created_at, created_by) else {
        return Ok(None);
    };
    Ok(Some(ChatHeader {
        chat_type: of_word(chat_type)?,
        name,
        created_at: time(created_at)?,
        created_by: UserId::try_from(created_by).map_err(unreadable)?,
    }))
}

pub(super) fn roster_of((members,): (String,)) -> Result<Option<Arc<Roster>>, StoreError> {
    serde_json::from_str(&members).map(|roster| Some(Arc::new(roster))).map_err(unreadable)
}

pub(super) type IdColumns = (Option<i64>, Option<i64>, Option<Vec<u8>>, Option<i64>);

pub(super) fn id_of((seq, rev, position, ts): IdColumns) -> Result<Option<IdRow>, StoreError> {
    let (Some(seq), Some(rev), Some(position), Some(ts)) = (seq, rev, position, ts) else { return Ok(None) };
    let position = position_of(&position)?;
    Ok(Some(IdRow { seq: number(seq)?, rev: number(rev)?, position, ts: number(ts)? }))
}

pub(super) type MessageColumns = (
    i64,
    Option<Vec<u8>>,
    Option<i64>,
    Option<Uuid>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<CqlTimestamp>,
    Option<CqlTimestamp>,
    Option<CqlTimestamp>,
    Option<Vec<u8>>,
    Option<i64>,
);

/// Makes a message, `None` while only an edit or delete of it has landed.
pub(super) fn message_of(chat_id: ChatId, row: MessageColumns) -> Result<Option<StoredMessage>, StoreError> {
    let (
        seq,
        position,
        ts,
        id,
        sender,
        content_type,
        content,
        attachment,
        meta,
        system,
        created,
        edited,
        deleted,
        deleted_position,
        rev,
    ) = row;
    let (Some(position), Some(ts), Some(id), Some(sender), Some(content_type), Some(created)) =
        (position, ts, id, sender, content_type, created)
    else {
        return Ok(None);
    };
    let message = Message {
        chat_id,
        seq: number(seq)?,
        rev: rev.map(number).transpose()?,
        message_id: MessageId(id),
        sender: UserId::try_from(sender).map_err(unreadable)?,
        content_type: of_word(content_type)?,
        content: content.unwrap_or_default(),
        attachment: of_json(attachment)?,
        meta: of_json(meta)?,
        system: of_json(system)?,
        created_at: time(created)?,
        edited_at: edited.map(time).transpose()?,
        deleted_at: deleted.map(time).transpose()?,
    };
    let deleted_position = deleted_position.map(|bytes| position_of(&bytes)).transpose()?;
    Ok(Some(StoredMessage { message, position: position_of(&position)?, ts: number(ts)?, deleted_position }))
}

pub(super) type MemberColumns = (
    String,
    Option<String>,
    Option<CqlTimestamp>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<CqlTimestamp>,
);

/// Makes a member, `None` while only cursors of it have landed.
pub(super) fn member_of(row: MemberColumns) -> Result<Option<MemberRow>, StoreError> {
    let (user, role, joined_at, join_seq, left_seq, delivered, read, active, pushed, muted_until) = row;
    let (Some(role), Some(joined_at), Some(join_seq)) = (role, joined_at, join_seq) else { return Ok(None) };
    let cursor = |cell: Option<i64>| number(cell.unwrap_or_default());
    Ok(Some(MemberRow {
        user: UserId::try_from(user).map_err(unreadable)?,
        role: of_word(role)?,
        joined_at: time(joined_at)?,
        join_seq: number(join_seq)?,
        left_seq: left_seq.map(number).transpose()?,
        delivered: cursor(delivered)?,
        read: cursor(read)?,
        active: cursor(active)?,
        pushed: cursor(pushed)?,
        muted_until: muted_until.filter(|until| until.0 > 0).map(time).transpose()?,
    }))
}

pub(super) type InboxColumns =
    (Uuid, Option<CqlTimestamp>, Option<i64>, Option<CqlTimestamp>, Option<i64>, Option<i64>);

/// Makes an inbox row, `None` while only activity of it has landed.
pub(super) fn inbox_of(row: InboxColumns) -> Result<Option<InboxRow>, StoreError> {
    let (chat, joined_at, joined_ts, left_at, left_ts, slot) = row;
    let Some(joined_at) = joined_at else { return Ok(None) };
    // By the write timestamps, which differ within a chat: the times may be of one millisecond.
    let left_at = left_at.filter(|_| left_ts > joined_ts);
    Ok(Some(InboxRow {
        chat_id: ChatId(chat),
        joined_at: time(joined_at)?,
        left_at: left_at.map(time).transpose()?,
        active_slot: number(slot.unwrap_or_default())?,
    }))
}
