//! `GET /v1/ws`: from a request to a socket. What can be told by status is told here; a refused token is told after
//! the upgrade, by close code, because a browser cannot read the status of a failed handshake.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::{SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;

use super::caller::bearer;
use super::cors;
use super::problem::Problem;
use crate::session::serve::serve;
use crate::state::State;

/// The one subprotocol.
const SUBPROTOCOL: &str = "chat.v1.json";

/// How a browser gives its token: beside the subprotocol, and never echoed.
const BEARER_PREFIX: &str = "bearer.";

/// The library's read buffer, a session's largest part. A frame larger than it grows it for as long as it takes.
const READ_BUFFER_BYTES: usize = 1024;

/// Frames are gathered up to here before they go to the kernel. The buffer begins empty and grows when used.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// `GET /v1/ws`.
pub(super) async fn upgrade(
    Shared(state): Shared<Arc<State>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if !cors::is_allowed(&state.config.allowed_origins, &headers) {
        return Problem::from(Fault::of(ErrorCode::OriginNotAllowed)).into_response();
    }
    let mut upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return refuse_handshake(&rejection),
    };
    let offered = match Offered::read(&headers) {
        Ok(offered) => offered,
        Err(fault) => return Problem::from(fault).into_response(),
    };
    let place = if state.is_ready() { state.admission.session() } else { None };
    let Some(place) = place else {
        let retry_after_ms = rand::random_range(500..=3_000);
        return Problem::from(Fault::of(ErrorCode::OverCapacity).retry_after(retry_after_ms)).into_response();
    };
    let token = bearer(&headers).or(offered.token);
    let token = match token {
        Some(token) => Some(state.verifiers.verify(token, state.clock.now()).await),
        None => None,
    };
    if offered.has_ours {
        upgrade.set_selected_protocol(HeaderValue::from_static(SUBPROTOCOL));
    }
    // Above the limit a frame is refused by close code after it is read; the library's own bound is for worse ones.
    let largest = state.config.limits.frame_bytes.saturating_mul(4);
    let tasks = state.tasks.clone();
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(largest)
        .max_frame_size(largest)
        .on_upgrade(move |socket| tasks.track_future(serve(socket, state, token, place)))
}

fn refuse_handshake(rejection: &WebSocketUpgradeRejection) -> Response {
    let problem = |message: &str| Problem::from(Fault::invalid("upgrade", message));
    match rejection {
        WebSocketUpgradeRejection::InvalidConnectionHeader(_) | WebSocketUpgradeRejection::InvalidUpgradeHeader(_) => (
            [(UPGRADE, "websocket")],
            problem("this path speaks WebSocket only").with_status(StatusCode::UPGRADE_REQUIRED),
        )
            .into_response(),
        WebSocketUpgradeRejection::InvalidWebSocketVersionHeader(_) => (
            [(SEC_WEBSOCKET_VERSION, "13")],
            problem("WebSocket version 13 is required").with_status(StatusCode::UPGRADE_REQUIRED),
        )
            .into_response(),
        _ => problem("the WebSocket handshake is incomplete").into_response(),
    }
}

/// What the client offers as subprotocols.
#[derive(Debug, PartialEq, Eq)]
struct Offered<'a> {
    has_ours: bool,
    token: Option<&'a str>,
}

impl<'a> Offered<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Fault> {
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        let items: Vec<&str> =
            values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty()).collect();
        let has_ours = items.contains(&SUBPROTOCOL);
        if !items.is_empty() && !has_ours {
            return Err(Fault::invalid("sec-websocket-protocol", "the subprotocol is chat.v1.json"));
        }
        Ok(Self { has_ours, token: items.iter().find_map(|item| item.strip_prefix(BEARER_PREFIX)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subprotocols_name_the_protocol_and_may_bring_the_token() {
        let read = |offer: &str| {
            let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(offer).unwrap())]);
            Offered::read(&headers).map(|offered| (offered.has_ours, offered.token.map(str::to_owned))).ok()
        };
        assert_eq!(read("chat.v1.json, bearer.a.b.c"), Some((true, Some("a.b.c".to_owned()))));
        assert_eq!(read("bearer.x,chat.v1.json"), Some((true, Some("x".to_owned()))));
        assert_eq!(read("chat.v1.json"), Some((true, None)));
        assert_eq!(read("chat.v2.json"), None);
        assert_eq!(read("bearer.x"), None);
        let none = Offered { has_ours: false, token: None };
        assert_eq!(Offered::read(&HeaderMap::new()), Ok(none));
    }
}
