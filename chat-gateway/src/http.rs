//! The public HTTP service: the router, and what every answer has in common.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;

use crate::state::State;

mod body;
mod caller;
mod chat;
mod chats;
mod cors;
mod members;
mod messages;
pub(crate) mod problem;
pub(crate) mod serve;
mod upgrade;

pub(crate) use caller::bearer;
use problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the router of the public port.
pub(crate) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/ws", get(upgrade::upgrade))
        .route("/v1/me", get(caller::me))
        .route("/v1/chats", get(chats::list).post(chats::create))
        .route("/v1/chats/{chat_id}", get(chats::read).patch(chats::rename))
        .route("/v1/chats/{chat_id}/members/{user}", axum::routing::put(members::set).delete(members::remove))
        .route("/v1/chats/{chat_id}/messages", get(messages::list).post(messages::send))
        .route("/v1/chats/{chat_id}/messages/{seq}", get(messages::read).patch(messages::edit).delete(messages::delete))
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
        None => next.run(request).await,
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        state.metrics.error(problem.fault.code);
        response = problem.render(&response, &request_id);
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    cors::decorate(headers, origin);
    response
}
