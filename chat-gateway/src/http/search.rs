//! `GET /v1/search`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use chat_core::clock::Time;
use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Page};
use chat_core::id::{ChatId, UserId};
use chat_core::search::After;
use rustc_hash::FxHasher;
use schemars::JsonSchema;
use serde::Deserialize;

use super::body::{Query, page_size};
use super::caller::Caller;
use super::cursor;
use super::problem::Answer;
use crate::search::{Asked, Found, search};
use crate::state::State;

/// Longest query, in characters.
const MAX_CHARS: usize = 256;

/// Hits of a page, unless another number is asked for.
const DEFAULT_LIMIT: u64 = 20;

/// Query of the call.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SearchFor {
    /// Words that must all match.
    #[schemars(length(min = 1, max = 256))]
    q: String,
    /// Only in this chat.
    chat_id: Option<ChatId>,
    /// Only by this user.
    sender: Option<UserId>,
    /// Created then or later.
    from: Option<Time>,
    /// Created before.
    to: Option<Time>,
    /// `next_cursor` of the page before.
    #[schemars(length(max = 1024))]
    cursor: Option<String>,
    /// Items of a page.
    #[schemars(range(min = 1, max = 200), extend("default" = 20))]
    limit: Option<u64>,
}

/// `GET /v1/search`: newest first.
pub(super) async fn find(
    Shared(state): Shared<Arc<State>>,
    caller: Caller,
    Query(query): Query<SearchFor>,
) -> Answer<Body<Page<Found>>> {
    let SearchFor { q, chat_id, sender, from, to, cursor, limit } = query;
    if !(1..=MAX_CHARS).contains(&q.chars().count()) {
        return Err(Fault::invalid("q", "a query is 1 to 256 characters").into());
    }
    let limit = page_size(Some(limit.unwrap_or(DEFAULT_LIMIT)))?;
    let now = state.clock.now();
    let asked = Asked { text: q, chat_id, sender, from, to };
    let filters = fingerprint(&asked);
    let after = match cursor.map(|text| cursor::parse::<(After, u64)>(&text, now)).transpose()? {
        Some((_, of_others)) if of_others != filters => return Err(Fault::of(ErrorCode::InvalidCursor).into()),
        after => after.map(|(after, _)| after),
    };
    let page = search(&state, &caller.user, &asked, after, limit).await?;
    let next_cursor = page.next.map(|next| cursor::render(&(next, filters), now));
    Ok(Body(Page { items: page.items, next_cursor }))
}

/// Makes the number by which a cursor knows its filters again.
fn fingerprint(asked: &Asked) -> u64 {
    let mut hasher = FxHasher::default();
    asked.hash(&mut hasher);
    hasher.finish()
}
