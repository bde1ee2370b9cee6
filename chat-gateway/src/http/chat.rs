//! A chat as one member sees it, put together from its rows.

use chat_core::frame::{Chat, ChatInfo, ChatType, Fault, Member, Message, Peer};
use chat_core::message_store::{MemberRow, Order, SeqRange, StoreError};
use chat_core::receipt::unread;
use schemars::JsonSchema;
use serde::Serialize;

use crate::state::State;
use crate::view::{View, store_fault};

/// `Chat & {members}`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChatWithMembers {
    #[serde(flatten)]
    chat: Chat,
    members: Vec<Member>,
}

/// Reads the chat of a view.
pub(super) async fn chat(state: &State, view: &View) -> Result<Chat, Fault> {
    assemble(state, view).await.map(|(chat, _)| chat).map_err(store_fault)
}

/// Reads the chat of a view with its present members; former members see none.
pub(super) async fn chat_with_members(state: &State, view: &View) -> Result<ChatWithMembers, Fault> {
    let (chat, rows) = assemble(state, view).await.map_err(store_fault)?;
    let rows = match rows {
        _ if !view.member.is_present() => Vec::new(),
        Some(rows) => rows,
        None => state.store.members(view.chat_id).await.map_err(store_fault)?,
    };
    let members = rows.into_iter().filter(MemberRow::is_present).map(member).collect();
    Ok(ChatWithMembers { chat, members })
}

/// Makes the member of a row.
pub(super) fn member(row: MemberRow) -> Member {
    Member { user: row.user, role: row.role, joined_at: row.joined_at, join_seq: row.join_seq }
}

async fn assemble(state: &State, view: &View) -> Result<(Chat, Option<Vec<MemberRow>>), StoreError> {
    let store = &*state.store;
    let (chat_id, head, is_present) = (view.chat_id, &view.head, view.member.is_present());
    let header = store.header(chat_id).await?;
    let header = header.ok_or_else(|| StoreError::Corrupt(format!("chat {chat_id} has a state but no header")))?;
    let members = match header.chat_type {
        ChatType::Direct => Some(store.members(chat_id).await?),
        ChatType::Group => None,
    };
    let last_message = last_message(state, view).await?;
    let member_count = match &members {
        _ if !is_present => 0,
        Some(rows) => rows.iter().filter(|row| row.is_present()).count(),
        None => store.roster(chat_id, head.roster_at).await?.map_or(0, |roster| roster.len()),
    };
    let peer = members.iter().flatten().find(|row| row.user != view.member.user);
    let upto = view.upto();
    let first_seq = store.first_seq(chat_id, upto).await?;
    let chat = Chat {
        info: ChatInfo {
            chat_id,
            chat_type: header.chat_type,
            // Of a former member nothing tells which name it had then, and later ones are not theirs to know.
            name: header.name.filter(|_| is_present),
            created_at: header.created_at,
            created_by: header.created_by,
            member_count: member_count as u64,
            head_seq: upto,
            head_rev: view.head_rev(),
            head_at: if is_present {
                head.head_at
            } else {
                last_message.as_ref().map_or(header.created_at, |message| message.created_at)
            },
            first_seq,
        },
        role: view.member.role,
        join_seq: view.member.join_seq,
        delivered: view.member.delivered.max(view.member.read).min(upto),
        read: view.member.read.min(upto),
        unread: unread(upto, view.member.join_seq, view.member.read, first_seq),
        muted_until: view.member.muted_until.filter(|until| *until > state.clock.now()),
        last_message,
        peer: peer.map(|row| Peer {
            user: row.user.clone(),
            delivered: row.delivered.max(row.read).min(head.seq),
            read: row.read.min(head.seq),
        }),
        left_seq: view.member.left(),
    };
    Ok((chat, members))
}

async fn last_message(state: &State, view: &View) -> Result<Option<Message>, StoreError> {
    let range = SeqRange { after: 0, upto: view.upto() };
    let newest = view.messages(&*state.store, range, Order::NewestFirst, 1).await?;
    Ok(newest.into_iter().next())
}
