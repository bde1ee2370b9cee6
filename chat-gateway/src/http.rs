//! The public HTTP service: the router, and what every answer has in common.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::header::{CACHE_CONTROL, CONNECTION, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use futures_util::FutureExt;

use crate::state::State;

mod backend;
mod blocks;
mod body;
mod caller;
mod chat;
mod chats;
mod cors;
mod cursor;
mod devices;
mod events;
mod frames;
mod me;
mod members;
mod messages;
mod mute;
mod presence;
pub(crate) mod problem;
mod receipts;
mod search;
pub(crate) mod serve;
mod upgrade;

pub(crate) use caller::bearer;
use problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the router of the public port.
pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/ws", get(upgrade::upgrade))
        .route("/v1/events", get(events::events))
        .route("/v1/frames", axum::routing::post(frames::post))
        .route("/v1/me", get(me::read).patch(me::change))
        .route("/v1/presence", get(presence::read))
        .route("/v1/chats", get(chats::list).post(chats::create))
        .route("/v1/chats/{chat_id}", get(chats::read).patch(chats::rename))
        .route("/v1/chats/{chat_id}/members/{user}", put(members::set).delete(members::remove))
        .route("/v1/chats/{chat_id}/messages", get(messages::list).post(messages::send))
        .route("/v1/chats/{chat_id}/messages/{seq}", get(messages::read).patch(messages::edit).delete(messages::delete))
        .route("/v1/chats/{chat_id}/messages/{seq}/receipts", get(receipts::list))
        .route("/v1/chats/{chat_id}/mute", put(mute::put).delete(mute::delete))
        .route("/v1/search", get(search::find))
        .route("/v1/devices", get(devices::list))
        .route("/v1/devices/{device}", put(devices::put).delete(devices::delete))
        .route("/v1/blocks", get(blocks::list))
        .route("/v1/blocks/{user}", put(blocks::put).delete(blocks::delete))
        .route("/v1/users/{user}/sessions", axum::routing::delete(backend::sign_out))
        .route("/v1/stats", get(backend::stats))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&state), finish))
        .with_state(state)
}

/// Names the request, answers CORS, and gives every answer what all have in common. Only here does a problem get its
/// body, so that no handler can forget the request id.
async fn finish(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let request_id = problem::request_id();
    let origin = cors::allowed(&state.config.allowed_origins, request.headers());
    let mut response = match cors::preflight(&request) {
        Some(preflight) => preflight,
        None => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(request_id, "a handler panicked");
            Problem::from(Fault::of(ErrorCode::Internal)).into_response()
        }),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        state.metrics.error(problem.fault.code);
        response = problem.render(&response, &request_id);
    }
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    // A client that keeps its connection would come back to a gateway that moves its clients off.
    if state.drains.is_draining() && status != StatusCode::SWITCHING_PROTOCOLS {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    cors::decorate(headers, origin);
    response
}
