//! Blocks: whom a caller wants to hear nothing of, and who hears nothing of them. `/v1/blocks`.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use chat_core::frame::{Fault, Page};
use chat_core::id::UserId;
use chat_core::user_store::{BlockRow, UserWrite};
use schemars::JsonSchema;
use serde::Deserialize;

use super::body::{Ids, Query, page_size};
use super::caller::{Caller, Writer};
use super::cursor;
use super::problem::Answer;
use crate::presence;
use crate::state::State;
use crate::view::store_fault;

/// Query of `GET /v1/blocks`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListBlocks {
    /// `next_cursor` of the page before.
    #[schemars(length(max = 1024))]
    cursor: Option<String>,
    /// Items of a page.
    #[schemars(range(min = 1, max = 200), extend("default" = 50))]
    limit: Option<u64>,
}

/// `GET /v1/blocks`: by user id.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    caller: Caller,
    Query(query): Query<ListBlocks>,
) -> Answer<Body<Page<BlockRow>>> {
    let limit = page_size(query.limit)?;
    let now = state.clock.now();
    let after: Option<UserId> = query.cursor.map(|text| cursor::parse(&text, now)).transpose()?;
    // One more than asked for tells whether there are more.
    let mut items = state.users.blocks(&caller.user, after.as_ref(), limit + 1).await.map_err(store_fault)?;
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| has_more).map(|last| cursor::render(&last.user, now));
    Ok(Body(Page { items, next_cursor }))
}

/// `PUT /v1/blocks/{user}`.
pub(super) async fn put(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids(blocked): Ids<UserId>,
) -> Answer<StatusCode> {
    if blocked == caller.user {
        return Err(Fault::invalid("user", "nobody blocks themselves").into());
    }
    let (user, at) = (caller.user, state.clock.now());
    let write = UserWrite::Block { user: user.clone(), blocked: blocked.clone(), at };
    state.users.write(vec![write]).await.map_err(store_fault)?;
    state.blocks.forget(&user, &blocked);
    presence::part(&state, &user, &blocked).await;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/blocks/{user}`.
pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids(blocked): Ids<UserId>,
) -> Answer<StatusCode> {
    let write = UserWrite::Unblock { user: caller.user.clone(), blocked: blocked.clone() };
    state.users.write(vec![write]).await.map_err(store_fault)?;
    state.blocks.forget(&caller.user, &blocked);
    Ok(StatusCode::NO_CONTENT)
}
