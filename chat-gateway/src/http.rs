//! The public HTTP service: the router, and what every answer has in common.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::header::{CACHE_CONTROL, CONNECTION, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::frame::document::asyncapi;
use futures_util::FutureExt;
use tower_http::compression::CompressionLayer;

use crate::state::State;

mod api;
mod backend;
mod blocks;
mod body;
mod caller;
mod chat;
mod chats;
mod cors;
mod cursor;
mod devices;
mod erasure;
mod events;
mod frames;
mod me;
mod members;
mod messages;
mod mute;
mod operations;
mod presence;
pub(crate) mod problem;
mod push;
mod receipts;
mod search;
pub(crate) mod serve;
mod upgrade;

pub(crate) use caller::bearer;
use problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the router of the public port.
pub(crate) fn router(state: Arc<State>) -> Router {
    let limits = &state.config.limits;
    let (router, openapi) = operations::all().finish(limits);
    operations::documents(router, &openapi, &asyncapi(limits))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(Arc::clone(&state), finish))
        .layer(CompressionLayer::new())
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
