//! Who calls: the token of a REST request.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State as Shared};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::id::UserId;
use serde::Serialize;

use super::problem::{Answer, Problem};
use crate::auth::{Identity, Refused, Scopes};
use crate::state::State;

/// An authenticated caller who may read.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) user: UserId,
    scopes: Scopes,
}

/// An authenticated caller who may read and write.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) user: UserId,
}

/// Returns the token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn identify(parts: &Parts, state: &State, wanted: Scopes) -> Result<Identity, Fault> {
    let token = bearer(&parts.headers).ok_or_else(|| Fault::of(ErrorCode::Unauthenticated))?;
    let identity = state.verifiers.verify(token, state.clock.now()).map_err(Refused::fault)?;
    if identity.scopes.allow(wanted) {
        Ok(identity)
    } else {
        Err(Fault::new(ErrorCode::Forbidden, format!("the token lacks a scope: {wanted:?}")))
    }
}

impl FromRequestParts<Arc<State>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        let Identity { user, scopes, .. } = identify(parts, state, Scopes::READ)?;
        Ok(Self { user, scopes })
    }
}

impl FromRequestParts<Arc<State>> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        let identity = identify(parts, state, Scopes::WRITE)?;
        Ok(Self { user: identity.user })
    }
}

/// What a caller is told of themselves.
#[derive(Debug, Serialize)]
pub(super) struct Me {
    user: UserId,
    scope: Vec<&'static str>,
    last_seen_visible: bool,
}

/// `GET /v1/me`.
pub(super) async fn me(Shared(_): Shared<Arc<State>>, caller: Caller) -> Answer<axum::Json<Me>> {
    Ok(axum::Json(Me { user: caller.user, scope: caller.scopes.names(), last_seen_visible: true }))
}
