//! `GET /v1/events`: long poll, or with `Accept: text/event-stream` an event stream, for clients without a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::extract::ws::Utf8Bytes;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, HeaderName};
use axum::response::{IntoResponse, Response};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::id::UserId;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::body::Query;
use super::caller::Holder;
use super::frames::Frames;
use super::problem::Answer;
use crate::poll::{self, Held};
use crate::state::State;

mod stream;

/// Largest cursor read.
const MAX_CURSOR_BYTES: usize = 1024;

/// The longest wait, and the one where none is asked for, in seconds.
const MAX_WAIT_S: u64 = 60;
const DEFAULT_WAIT_S: u64 = 25;

/// Users whose presence one request may follow.
const MAX_USERS: usize = 100;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The query.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Asked {
    /// `cursor` of the answer before; without one the client begins from now.
    #[schemars(length(max = 1024))]
    cursor: Option<String>,
    /// Seconds to wait for a frame.
    #[schemars(range(max = 60), extend("default" = 25))]
    wait: Option<u64>,
    /// At most 100 user ids, separated by commas: follows their presence.
    presence: Option<String>,
}

/// `GET /v1/events`.
pub(super) async fn events(
    Shared(state): Shared<Arc<State>>,
    Holder(identity): Holder,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Answer<Response> {
    let wait = asked.wait.unwrap_or(DEFAULT_WAIT_S);
    if wait > MAX_WAIT_S {
        return Err(Fault::invalid("wait", "a wait is 0 to 60 seconds").into());
    }
    let users = users(asked.presence.as_deref())?;
    // What a stream was last told is newer than the address it was opened with.
    let last_event = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let cursor = last_event.or(asked.cursor.as_deref()).map(cursor).transpose()?;
    let positions = match cursor {
        Some(cursor) => poll::load(&state, &identity, cursor).await?,
        None => None,
    };
    if wants_stream(&headers) {
        return Ok(stream::open(state, identity, positions, users).await?.into_response());
    }
    match (cursor, positions) {
        (Some(cursor), Some(positions)) => {
            let held = Box::pin(Held::open(&state, &identity, &positions)).await?;
            let presence = held.follow(users).await?;
            Ok(hold(&state, held, cursor, Duration::from_secs(wait), &presence).await?.into_response())
        }
        (cursor, _) => {
            let (hello, positions) = poll::begin(&state, &identity);
            let mut frames = Frames::default();
            frames.push(&hello);
            let new = poll::new_cursor();
            poll::store(&state, new, positions).await?;
            // Nothing came before the first request, so nothing of it is missing.
            Ok(finish(frames, new, cursor.is_none()).into_response())
        }
    }
}

/// Answers a long poll as soon as there is something to say. Presence as it is now is not, but goes along.
async fn hold(
    state: &State,
    held: Held,
    cursor: Uuid,
    wait: Duration,
    presence: &[Utf8Bytes],
) -> Result<impl IntoResponse + use<>, Fault> {
    held.wait(wait).await;
    let (mut batch, positions) = held.finish().await;
    // The old cursor must go on to answer the same frames: this answer may never arrive.
    let next = if batch.is_empty() { cursor } else { poll::new_cursor() };
    poll::store(state, next, positions).await?;
    let mut frames = Frames::default();
    for frame in presence.iter().cloned().chain(std::iter::from_fn(|| batch.pop())) {
        frames.push(&frame);
    }
    Ok(finish(frames, next, true))
}

fn finish(frames: Frames, cursor: Uuid, recovered: bool) -> impl IntoResponse + use<> {
    frames.finish(&format!(r#","cursor":"{}","recovered":{recovered}"#, cursor.simple()))
}

fn cursor(text: &str) -> Result<Uuid, Fault> {
    let parsed = if text.len() > MAX_CURSOR_BYTES { None } else { Uuid::try_parse(text).ok() };
    parsed.ok_or_else(|| Fault::of(ErrorCode::InvalidCursor))
}

/// Reads a list of users, separated by commas.
fn users(text: Option<&str>) -> Result<Vec<UserId>, Fault> {
    let names = text.unwrap_or("").split(',').filter(|name| !name.is_empty());
    let users: Vec<UserId> = names
        .map(|name| UserId::new(name).map_err(|error| Fault::invalid("presence", error.to_string())))
        .collect::<Result<_, _>>()?;
    if users.len() > MAX_USERS {
        return Err(Fault::invalid("presence", "a request follows at most 100 users"));
    }
    Ok(users)
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|item| {
        item.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}
