//! The admin port of a process that runs workers: for kubelet, Prometheus and the operator, never on the public
//! service.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::health::{EngineStatus, Health};
use chat_core::record::FORMAT;
use prometheus_client::registry::Registry;
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use crate::workers::{RoleStatus, WorkersStatus};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the admin port shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The roles.
    pub status: WorkersStatus,
    /// What they count.
    pub registry: Arc<Registry>,
    /// File with the bearer token of `/status`. It is read each time, so that a rotated token holds at once.
    pub token_file: PathBuf,
    /// What stops the workers: from then on they are not ready.
    pub shutdown: CancellationToken,
    /// The engines, as these workers see them. Empty where they are part of the process.
    pub health: Health,
}

/// Record formats of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Formats {
    reads: Vec<u16>,
    writes: u16,
}

/// What the workers say of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Status {
    boot: String,
    version: &'static str,
    ready: bool,
    formats: Formats,
    roles: Vec<RoleStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    engines: Vec<EngineStatus>,
}

/// Workers whose engines do not answer yet.
#[derive(Debug, Clone)]
struct Waiting {
    token_file: PathBuf,
    health: Health,
}

/// Makes the router of the admin port while the engines do not answer: alive, not ready, and `/status` says why.
pub fn waiting(token_file: PathBuf, health: Health) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async || (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")))
        .route("/status", get(waiting_status))
        .fallback(async || refuse(Fault::of(ErrorCode::NotFound)))
        .method_not_allowed_fallback(async || refuse(Fault::of(ErrorCode::MethodNotAllowed)))
        .with_state(Waiting { token_file, health })
}

async fn waiting_status(State(waiting): State<Waiting>, headers: HeaderMap) -> Response {
    if let Err(fault) = authorize(&headers, waiting.token_file).await {
        return refuse(fault);
    }
    let (roles, engines) = (Vec::new(), waiting.health.engines());
    Json(Status { boot: String::new(), version: VERSION, ready: false, formats: formats(), roles, engines })
        .into_response()
}

fn formats() -> Formats {
    Formats { reads: (1..=FORMAT).collect(), writes: FORMAT }
}

#[derive(Debug, Clone)]
struct Shown {
    admin: Admin,
    boot: String,
}

/// Makes the router of the admin port: `/healthz`, `/readyz` and `/metrics` open, `/status` for who has the token.
pub fn router(admin: Admin) -> Router {
    let boot = format!("{:012x}", rand::random::<u64>() >> 16);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .fallback(async || refuse(Fault::of(ErrorCode::NotFound)))
        .method_not_allowed_fallback(async || refuse(Fault::of(ErrorCode::MethodNotAllowed)))
        .with_state(Shown { admin, boot })
}

async fn readyz(State(shown): State<Shown>) -> Response {
    if shown.admin.shutdown.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response()
    } else {
        "ready\n".into_response()
    }
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shown.admin.registry) {
        Ok(()) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(_) => refuse(Fault::of(ErrorCode::Internal)),
    }
}

async fn status(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let Shown { admin, boot } = shown;
    if let Err(fault) = authorize(&headers, admin.token_file).await {
        return refuse(fault);
    }
    let status = Status {
        boot,
        version: VERSION,
        ready: !admin.shutdown.is_cancelled(),
        formats: formats(),
        roles: admin.status.roles(),
        engines: admin.health.engines(),
    };
    Json(status).into_response()
}

async fn authorize(headers: &HeaderMap, token_file: PathBuf) -> Result<(), Fault> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let given = given.ok_or_else(|| Fault::of(ErrorCode::Unauthenticated))?;
    let wanted = tokio::task::spawn_blocking(move || std::fs::read(token_file).ok()).await.ok().flatten();
    let wanted = wanted.unwrap_or_default();
    match wanted.trim_ascii() {
        [] => Err(Fault::new(ErrorCode::Forbidden, "these workers have no readable admin token")),
        wanted if bool::from(given.as_bytes().ct_eq(wanted)) => Ok(()),
        _ => Err(Fault::new(ErrorCode::BadToken, "this is not the admin token")),
    }
}

fn refuse(fault: Fault) -> Response {
    let status = StatusCode::from_u16(fault.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/problem+json")], Json(fault)).into_response()
}
