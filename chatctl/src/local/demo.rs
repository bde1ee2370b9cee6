//! The demo page: two users of this stack side by side, in a browser on this machine.
//!
//! It has a port of its own. The front door reads no byte of what it hands out, and a browser sends requests for the
//! page and for the gateways over the same connection as it likes, so a door that looked at the first of them only
//! would send the next one to the wrong place. What the page asks of `/v1/` is therefore passed on to the front door
//! ([`forward`]), where it is one client among others; to the browser both are one origin.
//!
//! The page knows tokens. It is served on loopback addresses only and only to who asks for one by its name: else a
//! page of another site could point its own name here and read them.

mod forward;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use chat_core::clock::{Clock as _, SystemClock};
use chat_core::id::UserId;
use serde::Serialize;
use tokio::net::TcpListener;

use super::front_door;
use super::report::DEMO_USERS;
use crate::token::Signer;

/// How long a token of the page is good for; the page asks for another in time.
const TOKEN_TTL: Duration = Duration::from_hours(1);

const INDEX: &str = include_str!("../../../clients/web/dist/index.html");
const SCRIPT: &str = include_str!("../../../clients/web/dist/app.js");
const STYLE: &str = include_str!("../../../clients/web/dist/app.css");

/// What every answer carries unless it has its own, as the contract in `clients/web/README.md` asks for.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// What the handlers share.
#[derive(Debug, Clone)]
struct Demo {
    signer: Arc<Signer>,
    front_door: SocketAddr,
}

/// Takes a port of the front door's address: the one asked for; without one that after the front door's, or any where
/// that is taken or the front door's is any.
pub(crate) fn bind(ip: IpAddr, asked: Option<u16>, front_door: u16) -> anyhow::Result<TcpListener> {
    let bind = |port| front_door::bind(SocketAddr::new(ip, port), "--demo-port");
    match (asked, front_door.checked_add(1)) {
        (Some(port), _) => bind(port),
        (None, Some(next)) if front_door != 0 => bind(next).or_else(|_| bind(0)),
        (None, _) => bind(0),
    }
}

/// Makes the router of the page for a front door on a loopback address.
pub(crate) fn router(signer: Signer, front_door: SocketAddr) -> Router {
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", INDEX)))
        .route("/app.js", get(async || file("text/javascript", SCRIPT)))
        .route("/app.css", get(async || file("text/css", STYLE)))
        .route("/demo/tokens", get(tokens))
        .route("/v1/{*path}", any(forward::forward))
        .layer(from_fn(guard))
        .with_state(Demo { signer: Arc::new(signer), front_door })
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = if names_loopback(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "this page is served at a loopback address only, such as 127.0.0.1\n")
            .into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Tells whether a request was meant for this machine, by a name that nobody else can point elsewhere.
fn names_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type)], content).into_response()
}

/// One user of the page.
#[derive(Debug, Serialize)]
struct DemoUser {
    user: &'static str,
    token: String,
}

/// The users of the page, in the order they are shown.
#[derive(Debug, Serialize)]
struct DemoUsers {
    users: Vec<DemoUser>,
}

async fn tokens(State(demo): State<Demo>) -> Response {
    let now = SystemClock.now();
    let sign = |user: &'static str| -> anyhow::Result<DemoUser> {
        Ok(DemoUser { user, token: demo.signer.sign(&UserId::new(user)?, None, TOKEN_TTL, now)? })
    };
    match DEMO_USERS.into_iter().map(sign).collect() {
        Ok(users) => ([(CACHE_CONTROL, "no-store")], Json(DemoUsers { users })).into_response(),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the demo page got no tokens");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_served() {
        for (host, expected) in [
            ("127.0.0.1:8081", true),
            ("127.0.0.1", true),
            ("localhost:8081", true),
            ("LocalHost", true),
            ("[::1]:8081", true),
            ("", false),
            ("evil.example", false),
            ("localhost.evil.example:8081", false),
            ("127.0.0.1.evil.example", false),
            ("192.0.2.1:8081", false),
            ("0.0.0.0:8081", false),
            ("[::]:8081", false),
        ] {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
            assert_eq!(names_loopback(&headers), expected, "{host:?}");
        }
        assert!(!names_loopback(&HeaderMap::new()), "no name at all");
    }

    #[tokio::test]
    async fn a_port_that_was_not_asked_for_gives_way() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let taken = bind(ip, None, 0).unwrap().local_addr().unwrap().port();
        let holder = bind(ip, Some(taken), 0).unwrap();
        assert_ne!(bind(ip, None, taken - 1).unwrap().local_addr().unwrap().port(), taken);
        let refusal = bind(ip, Some(taken), 0).unwrap_err().to_string();
        assert!(refusal.contains("--demo-port"), "{refusal}");
        drop(holder);
    }
}
