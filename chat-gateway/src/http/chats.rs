//! Chats: begin, list, read, rename.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use chat_core::clock::Time;
use chat_core::codes::ErrorCode;
use chat_core::event::Outcome;
use chat_core::frame::{Chat, ChatType, Fault, Page, Role};
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::ChatState;
use chat_core::record::{Op, Record};
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::body::{Ids, Json, Query, idempotency_key, page_size};
use super::caller::{Caller, Writer};
use super::chat::{ChatWithMembers, chat, chat_with_members};
use super::problem::Answer;
use crate::blocks;
use crate::publish::{check_name, checked_id, take_rates};
use crate::state::State;
use crate::view::{View, store_fault};

/// Heads a read.
const READ_CHATS: usize = 256;

/// How long a cursor is good.
const CURSOR_LIVES_MS: u64 = 24 * 3600 * 1000;

/// Body of `POST /v1/chats`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct NewChat {
    #[serde(rename = "type")]
    chat_type: ChatType,
    /// GROUP only, 1 to 128 characters.
    #[schemars(length(min = 1, max = 128))]
    name: Option<String>,
    /// The others; of a DIRECT chat the peer alone.
    #[schemars(extend("x-limit" = "groupMembers"))]
    members: Vec<UserId>,
    /// GROUP only: a UUIDv7, so that a repeated call makes no second group.
    chat_id: Option<ChatId>,
}

/// `POST /v1/chats`.
pub(super) async fn create(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    headers: HeaderMap,
    Json(new): Json<NewChat>,
) -> Answer<(StatusCode, Body<Chat>)> {
    let key = idempotency_key(&headers)?;
    let (status, chat_id) = match new.chat_type {
        ChatType::Group => create_group(&state, &caller.user, new, key).await?,
        ChatType::Direct => open_direct(&state, &caller.user, new, key).await?,
    };
    let view = View::open(&state, &caller.user, chat_id).await?;
    Ok((status, Body(chat(&state, &view).await?)))
}

async fn create_group(
    state: &State,
    user: &UserId,
    new: NewChat,
    key: Option<Uuid>,
) -> Result<(StatusCode, ChatId), Fault> {
    check_room(state, user).await?;
    let name = new.name.ok_or_else(|| Fault::invalid("name", "a group has a name"))?;
    check_name(&name)?;
    let members: BTreeSet<UserId> = new.members.into_iter().filter(|member| member != user).collect();
    let limit = state.config.limits.group_members;
    if members.len() as u64 + 1 > limit {
        return Err(Fault::of(ErrorCode::GroupFull).at_field("members"));
    }
    let id = match new.chat_id.map(|ChatId(id)| id).or(key) {
        Some(id) => checked_id(state, "chat_id", id)?,
        None => state.new_id(),
    };
    let chat_id = ChatId(id);
    take_rates(state, user, chat_id)?;
    let op = Op::CreateGroup { name, members: members.into_iter().collect(), limit };
    let record = Record::new(chat_id, user.clone(), id, op).reply_to(state.id.clone());
    match state.append_and_wait(&record).await? {
        Outcome::Applied { .. } => Ok((StatusCode::CREATED, chat_id)),
        Outcome::Duplicate { .. } => Ok((StatusCode::OK, chat_id)),
        Outcome::Refused { code } => Err(Fault::of(code)),
    }
}

async fn open_direct(
    state: &State,
    user: &UserId,
    new: NewChat,
    key: Option<Uuid>,
) -> Result<(StatusCode, ChatId), Fault> {
    let [peer] = <[UserId; 1]>::try_from(new.members)
        .map_err(|_| Fault::invalid("members", "a DIRECT chat is with one other user"))?;
    if peer == *user {
        return Err(Fault::invalid("members", "a DIRECT chat is with another user"));
    }
    if new.name.is_some() {
        return Err(Fault::invalid("name", "a DIRECT chat has no name"));
    }
    let chat_id = ChatId::direct(user, &peer);
    if View::read(&*state.store, user, chat_id).await.map_err(store_fault)?.is_some() {
        return Ok((StatusCode::OK, chat_id));
    }
    blocks::check(state, user, &peer).await?;
    check_room(state, user).await?;
    let id = key.map_or_else(|| Ok(state.new_id()), |id| checked_id(state, "idempotency-key", id))?;
    take_rates(state, user, chat_id)?;
    let op = Op::OpenDirect { users: [user.clone(), peer] };
    let record = Record::new(chat_id, user.clone(), id, op).reply_to(state.id.clone());
    match state.append_and_wait(&record).await? {
        Outcome::Applied { .. } => Ok((StatusCode::CREATED, chat_id)),
        Outcome::Duplicate { .. } => Ok((StatusCode::OK, chat_id)),
        Outcome::Refused { code } => Err(Fault::of(code)),
    }
}

/// Refuses one chat more than a user may have.
async fn check_room(state: &State, user: &UserId) -> Result<(), Fault> {
    let chats = state.store.inbox(user).await.map_err(store_fault)?.len();
    if chats < state.config.limits.chats_per_user {
        Ok(())
    } else {
        Err(Fault::new(ErrorCode::LimitExceeded, "you have as many chats as a user may have").at_field("chats"))
    }
}

/// `GET /v1/chats/{chat_id}`.
pub(super) async fn read(
    Shared(state): Shared<Arc<State>>,
    caller: Caller,
    Ids(chat_id): Ids<ChatId>,
) -> Answer<Body<ChatWithMembers>> {
    let view = View::open(&state, &caller.user, chat_id).await?;
    Ok(Body(chat_with_members(&state, &view).await?))
}

/// Body of `PATCH /v1/chats/{chat_id}`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Rename {
    /// 1 to 128 characters.
    #[schemars(length(min = 1, max = 128))]
    name: String,
}

/// `PATCH /v1/chats/{chat_id}`.
pub(super) async fn rename(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids(chat_id): Ids<ChatId>,
    headers: HeaderMap,
    Json(Rename { name }): Json<Rename>,
) -> Answer<Body<Chat>> {
    check_name(&name)?;
    let view = View::open(&state, &caller.user, chat_id).await?.present()?;
    if view.member.role != Role::Admin {
        // Asked here too: the name it has already goes no way by the sequencer.
        return Err(Fault::new(ErrorCode::Forbidden, "a group is renamed by its ADMIN").into());
    }
    let before = chat(&state, &view).await?;
    if before.info.name.as_ref() != Some(&name) {
        change(&state, &caller.user, chat_id, idempotency_key(&headers)?, Op::Rename { name }).await?;
    }
    let view = View::open(&state, &caller.user, chat_id).await?;
    Ok(Body(chat(&state, &view).await?))
}

/// Asks for a change of a group and waits until it is sequenced.
pub(super) async fn change(
    state: &State,
    user: &UserId,
    chat_id: ChatId,
    key: Option<Uuid>,
    op: Op,
) -> Result<(), Fault> {
    if chat_id.is_direct() {
        return Err(Fault::new(ErrorCode::Forbidden, "a DIRECT chat cannot be changed"));
    }
    let id = key.map_or_else(|| Ok(state.new_id()), |id| checked_id(state, "idempotency-key", id))?;
    take_rates(state, user, chat_id)?;
    let record = Record::new(chat_id, user.clone(), id, op).reply_to(state.id.clone());
    match state.append_and_wait(&record).await? {
        Outcome::Applied { .. } | Outcome::Duplicate { .. } => Ok(()),
        Outcome::Refused { code } => Err(Fault::of(code)),
    }
}

/// Query of `GET /v1/chats`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListChats {
    /// `next_cursor` of the page before.
    #[schemars(length(max = 1024))]
    cursor: Option<String>,
    /// Items of a page.
    #[schemars(range(min = 1, max = 200), extend("default" = 50))]
    limit: Option<u64>,
}

/// `GET /v1/chats`: newest head first.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    caller: Caller,
    Query(query): Query<ListChats>,
) -> Answer<Body<Page<Chat>>> {
    let limit = page_size(query.limit)?;
    let now = state.clock.now();
    let after = query.cursor.map(|text| Cursor::parse(&text, now)).transpose()?;
    let mut heads = heads(&state, &caller.user).await?;
    heads.sort_by_key(|head| std::cmp::Reverse(place(head)));
    let heads = heads.into_iter().filter(|head| after.is_none_or(|after| place(head) < after.place));
    let mut page = Page { items: Vec::with_capacity(limit), next_cursor: None };
    let mut last = None;
    for (chat_id, head) in heads {
        if page.items.len() == limit {
            page.next_cursor = last.map(|place| Cursor { place, made_at: now }.render());
            break;
        }
        last = Some(place(&(chat_id, head)));
        let member = state.store.memberships(&caller.user, &[chat_id]).await.map_err(store_fault)?.pop().flatten();
        if let Some(member) = member {
            page.items.push(chat(&state, &View { chat_id, head, member }).await?);
        }
    }
    Ok(Body(page))
}

/// Reads the heads of a user's chats. One that the user left stays where it was then, whatever goes on in it.
async fn heads(state: &State, user: &UserId) -> Result<Vec<(ChatId, ChatState)>, Fault> {
    let rows = state.store.inbox(user).await.map_err(store_fault)?;
    let mut found = Vec::with_capacity(rows.len());
    for batch in rows.chunks(READ_CHATS) {
        let chats: Vec<ChatId> = batch.iter().map(|row| row.chat_id).collect();
        let heads = state.store.states(&chats).await.map_err(store_fault)?;
        found.extend(batch.iter().zip(heads).filter_map(|(row, head)| {
            let head = head.filter(ChatState::exists)?;
            let head_at = row.left_at.map_or(head.head_at, |left_at| left_at.min(head.head_at));
            Some((row.chat_id, ChatState { head_at, ..head }))
        }));
    }
    Ok(found)
}

fn place((chat_id, head): &(ChatId, ChatState)) -> (Time, ChatId) {
    (head.head_at, *chat_id)
}

/// Where a page of chats ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    place: (Time, ChatId),
    made_at: Time,
}

impl Cursor {
    fn render(self) -> String {
        format!("{}.{}.{}", self.place.0.millis(), self.place.1, self.made_at.millis())
    }

    fn parse(text: &str, now: Time) -> Result<Self, Fault> {
        let mut parts = text.split('.');
        let mut next = || parts.next().unwrap_or("");
        let (head_at, chat_id, made_at) = (next().parse(), next().parse(), next().parse());
        match (head_at, chat_id, made_at) {
            (Ok(head_at), Ok(chat_id), Ok(made_at))
                if now.millis_since(Time::from_millis(made_at)) <= CURSOR_LIVES_MS && parts.next().is_none() =>
            {
                Ok(Self { place: (Time::from_millis(head_at), chat_id), made_at: Time::from_millis(made_at) })
            }
            _ => Err(Fault::of(ErrorCode::InvalidCursor)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_lives_a_day() {
        let made_at = Time::from_millis(1_764_000_000_000);
        let cursor = Cursor { place: (Time::from_millis(5), ChatId(Uuid::from_u128(9))), made_at };
        assert_eq!(Cursor::parse(&cursor.render(), made_at), Ok(cursor));
        assert!(Cursor::parse(&cursor.render(), made_at.plus_millis(CURSOR_LIVES_MS + 1)).is_err());
        for bad in ["", "1.2.3", "x", &format!("{}.4", cursor.render())] {
            assert_eq!(Cursor::parse(bad, made_at).unwrap_err().code, ErrorCode::InvalidCursor, "{bad}");
        }
    }
}
