//! Who calls: the token of a REST request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::id::UserId;

use super::problem::Problem;
use crate::auth::{Identity, Refused, Scopes};
use crate::revocation;
use crate::state::State;
use crate::view::store_fault;

const ACT_AS: HeaderName = HeaderName::from_static("act-as");

/// An authenticated caller who may read.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) user: UserId,
    pub(super) scopes: Scopes,
}

/// An authenticated caller who may read and write.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) user: UserId,
    pub(super) scopes: Scopes,
}

/// A caller who holds a session for a while: who may read, until when.
#[derive(Debug)]
pub(super) struct Holder(pub(super) Identity);

/// The app's own backend, or an operator of it.
#[derive(Debug)]
pub(super) struct Admin;

/// Returns the token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Checks the token, and whether it allows what is wanted. With `Act-As` a token of the app's own backend is that of
/// the named user.
async fn identify(parts: &Parts, state: &State, wanted: Scopes) -> Result<Identity, Fault> {
    let mut identity = verify(parts, state).await?;
    if let Some(user) = act_as(&parts.headers)? {
        require(&identity, Scopes::ADMIN)?;
        identity = Identity { user, scopes: Scopes::DEFAULT, ..identity };
    }
    require(&identity, wanted)?;
    Ok(identity)
}

async fn verify(parts: &Parts, state: &State) -> Result<Identity, Fault> {
    let token = bearer(&parts.headers).ok_or_else(|| Fault::of(ErrorCode::Unauthenticated))?;
    let identity = state.verifiers.verify(token, state.clock.now()).await.map_err(Refused::fault)?;
    if revocation::is_revoked(state, &identity).await.map_err(store_fault)? {
        return Err(Refused::Revoked.fault());
    }
    Ok(identity)
}

fn act_as(headers: &HeaderMap) -> Result<Option<UserId>, Fault> {
    let Some(value) = headers.get(ACT_AS) else { return Ok(None) };
    let user = value.to_str().ok().and_then(|text| UserId::new(text).ok());
    user.map(Some).ok_or_else(|| Fault::invalid("act-as", "`Act-As` is a user id"))
}

fn require(identity: &Identity, wanted: Scopes) -> Result<(), Fault> {
    if identity.scopes.allow(wanted) {
        Ok(())
    } else {
        Err(Fault::new(ErrorCode::Forbidden, format!("the token lacks a scope: {wanted:?}")))
    }
}

impl FromRequestParts<Arc<State>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        let Identity { user, scopes, .. } = identify(parts, state, Scopes::READ).await?;
        Ok(Self { user, scopes })
    }
}

impl FromRequestParts<Arc<State>> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        Ok(Self(identify(parts, state, Scopes::READ).await?))
    }
}

impl FromRequestParts<Arc<State>> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        let Identity { user, scopes, .. } = identify(parts, state, Scopes::WRITE).await?;
        Ok(Self { user, scopes })
    }
}

impl FromRequestParts<Arc<State>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        require(&verify(parts, state).await?, Scopes::ADMIN)?;
        Ok(Self)
    }
}
