//! The admin port: for kubelet, Prometheus and the operator, never on the public service.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chat_core::codes::ErrorCode;
use chat_core::config::GatewayConfig;
use chat_core::frame::Fault;
use chat_core::health::{EngineStatus, Health};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::drain::{DrainRequest, DrainStatus};
use crate::http::problem::{self, Answer, Problem, request_id};
use crate::state::State;

/// Record formats of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// Formats read.
    pub reads: Vec<u16>,
    /// Format written.
    pub writes: u16,
}

/// What a gateway says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The pod's name.
    pub gateway: String,
    /// This life of it.
    pub boot: String,
    /// Server version.
    pub version: String,
    /// Record formats.
    pub formats: Formats,
    /// Takes clients.
    pub ready: bool,
    /// Moves clients off.
    pub draining: bool,
    /// Sessions now.
    pub connections: usize,
    /// Sessions there may be.
    pub capacity: usize,
    /// Records appended in the last second.
    pub sends_per_s: u64,
    /// Frames delivered in the last second.
    pub deliveries_per_s: u64,
    /// Bytes in outbound queues.
    pub queue_bytes: u64,
    /// The drain under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainStatus>,
    /// The engines, as this gateway sees them. None where they are part of its process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<EngineStatus>,
}

/// Record formats of this version.
fn formats() -> Formats {
    Formats { reads: (1..=chat_core::record::FORMAT).collect(), writes: chat_core::record::FORMAT }
}

impl State {
    /// Says how the gateway is.
    pub(crate) fn status(&self) -> Status {
        use std::sync::atomic::Ordering::Relaxed;
        Status {
            gateway: self.config.name.clone(),
            boot: self.boot.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            formats: formats(),
            ready: self.is_ready(),
            draining: self.drains.is_draining(),
            connections: self.admission.connections(),
            capacity: self.admission.capacity(),
            sends_per_s: self.sends_per_s.load(Relaxed),
            deliveries_per_s: self.deliveries_per_s.load(Relaxed),
            queue_bytes: u64::try_from(self.metrics.queue_bytes.get()).unwrap_or(0),
            drain: self.drain_status(),
            engines: self.health.engines(),
        }
    }
}

/// What the admin port's handlers share.
#[derive(Debug, Clone)]
struct Admin {
    state: Arc<State>,
    token_file: Option<PathBuf>,
}

/// Makes the router of the admin port.
pub(crate) fn router(state: Arc<State>) -> Router {
    let token_file = state.config.admin_token_file.clone();
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/drain", axum::routing::post(drain).delete(cancel_drain))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(finish))
        .with_state(Admin { state, token_file })
}

async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.render(&response, &request_id()),
        None => response,
    }
}

/// Reads the bearer token of the admin port. Blocks on one small file.
pub(crate) fn read_token(path: &Path) -> std::io::Result<Vec<u8>> {
    let token = std::fs::read(path)?.trim_ascii().to_vec();
    if token.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is empty"));
    }
    Ok(token)
}

/// A caller with the token. The file is read each time, so that a rotated token holds at once.
struct Operator;

impl FromRequestParts<Admin> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Problem> {
        authorize(&parts.headers, admin.token_file.clone()).await?;
        Ok(Self)
    }
}

async fn authorize(headers: &HeaderMap, path: Option<PathBuf>) -> Result<(), Problem> {
    let given = crate::http::bearer(headers).ok_or_else(|| Fault::of(ErrorCode::Unauthenticated))?;
    let wanted = tokio::task::spawn_blocking(move || path.and_then(|path| read_token(&path).ok())).await;
    let wanted = wanted.ok().flatten().ok_or_else(|| {
        Fault::new(ErrorCode::Forbidden, "this gateway has no readable admin token: set `adminTokenFile`")
    })?;
    if bool::from(given.as_bytes().ct_eq(&wanted)) {
        Ok(())
    } else {
        Err(Fault::new(ErrorCode::BadToken, "this is not the admin token").into())
    }
}

/// A gateway whose engines do not answer yet.
#[derive(Debug, Clone)]
struct Waiting {
    config: Arc<GatewayConfig>,
    health: Health,
}

/// Makes the router of the admin port while the engines do not answer: alive, not ready, and `/status` says why.
pub fn waiting(config: &GatewayConfig, health: Health) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(async || (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")))
        .route("/status", get(waiting_status))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(finish))
        .with_state(Waiting { config: Arc::new(config.clone()), health })
}

async fn waiting_status(Shared(waiting): Shared<Waiting>, headers: HeaderMap) -> Answer<Json<Status>> {
    let Waiting { config, health } = waiting;
    authorize(&headers, config.admin_token_file.clone()).await?;
    Ok(Json(Status {
        gateway: config.name.clone(),
        boot: String::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        formats: formats(),
        ready: false,
        draining: false,
        connections: 0,
        capacity: config.max_connections,
        sends_per_s: 0,
        deliveries_per_s: 0,
        queue_bytes: 0,
        drain: None,
        engines: health.engines(),
    }))
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(Shared(admin): Shared<Admin>) -> Response {
    let (status, text) = if admin.state.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    };
    (status, text).into_response()
}

async fn metrics(Shared(admin): Shared<Admin>) -> Answer<Response> {
    let text = admin.state.metrics.render().map_err(|_| Fault::of(ErrorCode::Internal))?;
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}

async fn status(_: Operator, Shared(admin): Shared<Admin>) -> Json<Status> {
    Json(admin.state.status())
}

async fn drain(
    _: Operator,
    Shared(admin): Shared<Admin>,
    request: Result<Json<DrainRequest>, axum::extract::rejection::JsonRejection>,
) -> Answer<(StatusCode, Json<Status>)> {
    let Json(request) = request.map_err(|rejection| Fault::invalid("d", rejection.body_text()))?;
    if request.rate == 0 {
        return Err(Fault::invalid("rate", "a rate is at least 1").into());
    }
    admin.state.drain(request);
    Ok((StatusCode::ACCEPTED, Json(admin.state.status())))
}

async fn cancel_drain(_: Operator, Shared(admin): Shared<Admin>) -> Json<Status> {
    admin.state.cancel_drain();
    Json(admin.state.status())
}
