//! Muting a chat: no push until then. `…/mute`.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use chat_core::clock::Time;
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::Row;
use schemars::JsonSchema;
use serde::Deserialize;

use super::body::{Ids, Json};
use super::caller::Writer;
use super::problem::Answer;
use crate::state::State;
use crate::view::{View, store_fault};

/// Body of `PUT …/mute`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Mute {
    /// For ever, where it is absent.
    until: Option<Time>,
}

/// `PUT …/mute`: for ever, where no time is named.
pub(super) async fn put(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids(chat_id): Ids<ChatId>,
    Json(Mute { until }): Json<Mute>,
) -> Answer<StatusCode> {
    let for_ever = Time::from_millis(u64::MAX);
    mute(&state, caller.user, chat_id, Some(until.unwrap_or(for_ever))).await
}

/// `DELETE …/mute`.
pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids(chat_id): Ids<ChatId>,
) -> Answer<StatusCode> {
    mute(&state, caller.user, chat_id, None).await
}

async fn mute(state: &State, user: UserId, chat_id: ChatId, until: Option<Time>) -> Answer<StatusCode> {
    View::open(state, &user, chat_id).await?.present()?;
    let ts = state.new_stamp();
    state.store.write_rows(vec![Row::Mute { chat_id, user, ts, until }]).await.map_err(store_fault)?;
    Ok(StatusCode::NO_CONTENT)
}
