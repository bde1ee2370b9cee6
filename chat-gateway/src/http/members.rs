//! Members of a group: add, set a role, remove, leave.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Member, Role};
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::MemberRow;
use chat_core::record::Op;
use schemars::JsonSchema;
use serde::Deserialize;

use super::body::{Ids, Json, idempotency_key};
use super::caller::Writer;
use super::chat::member;
use super::chats::change;
use super::problem::Answer;
use crate::state::State;
use crate::view::{View, store_fault};

/// Body of `PUT …/members/{user}`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SetMember {
    role: Role,
}

/// `PUT …/members/{user}`: adds the user or sets the role; nothing is done twice.
pub(super) async fn set(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids((chat_id, user)): Ids<(ChatId, UserId)>,
    headers: HeaderMap,
    Json(SetMember { role }): Json<SetMember>,
) -> Answer<Body<Member>> {
    View::open(&state, &caller.user, chat_id).await?.present()?;
    let op = Op::SetMember { user: user.clone(), role, limit: state.config.limits.group_members };
    change(&state, &caller.user, chat_id, idempotency_key(&headers)?, op).await?;
    let row = row(&state, chat_id, &user).await?.ok_or_else(|| Fault::of(ErrorCode::NotFound))?;
    Ok(Body(member(row)))
}

/// `DELETE …/members/{user}`: by an ADMIN, or oneself. Who is not there any more stays away.
pub(super) async fn remove(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids((chat_id, user)): Ids<(ChatId, UserId)>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let own = View::open(&state, &caller.user, chat_id).await?;
    if user == caller.user && !own.member.is_present() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let own = own.present()?;
    let target = row(&state, chat_id, &user).await?;
    if user != caller.user && own.member.role == Role::Admin && target.is_some_and(|row| !row.is_present()) {
        return Ok(StatusCode::NO_CONTENT);
    }
    change(&state, &caller.user, chat_id, idempotency_key(&headers)?, Op::RemoveMember { user }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn row(state: &State, chat_id: ChatId, user: &UserId) -> Result<Option<MemberRow>, Fault> {
    Ok(state.store.memberships(user, &[chat_id]).await.map_err(store_fault)?.pop().flatten())
}
