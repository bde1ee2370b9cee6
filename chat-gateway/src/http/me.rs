//! What a caller is told of themselves, and may set: `/v1/me`.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use chat_core::id::UserId;
use chat_core::user_store::UserWrite;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::Json;
use super::caller::{Caller, Writer};
use super::problem::Answer;
use crate::auth::Scopes;
use crate::state::State;
use crate::view::store_fault;

/// What a caller is told of themselves.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Me {
    user: UserId,
    scope: Vec<&'static str>,
    last_seen_visible: bool,
}

/// `GET /v1/me`.
pub(super) async fn read(Shared(state): Shared<Arc<State>>, caller: Caller) -> Answer<Body<Me>> {
    me(&state, caller.user, caller.scopes).await
}

/// Body of `PATCH /v1/me`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ChangeMe {
    last_seen_visible: bool,
}

/// `PATCH /v1/me`.
pub(super) async fn change(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Json(ChangeMe { last_seen_visible }): Json<ChangeMe>,
) -> Answer<Body<Me>> {
    let write = UserWrite::ShowLastSeen { user: caller.user.clone(), visible: last_seen_visible };
    state.users.write(vec![write]).await.map_err(store_fault)?;
    me(&state, caller.user, caller.scopes).await
}

async fn me(state: &State, user: UserId, scopes: Scopes) -> Answer<Body<Me>> {
    let row = state.users.users(std::slice::from_ref(&user)).await.map_err(store_fault)?.pop().unwrap_or_default();
    Ok(Body(Me { user, scope: scopes.names(), last_seen_visible: row.last_seen_visible }))
}
