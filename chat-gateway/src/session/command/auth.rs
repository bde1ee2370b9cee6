//! `auth` in mid-session: a renewed token of the same user.

use chat_core::codes::{CloseCode, ErrorCode};
use chat_core::frame::Fault;
use chat_core::frame::client::Auth;
use chat_core::frame::server::Ack;

use crate::auth::{Refused, Scopes};
use crate::revocation;
use crate::session::Session;
use crate::state::State;
use crate::view::store_fault;

/// Takes the new token. A refused one leaves the session with its old one; one of another user or without the scope
/// to read closes it.
pub(super) async fn renew(state: &State, session: &Session, auth: &Auth) -> Result<Ack, Fault> {
    let identity = state.verifiers.verify(&auth.token, state.clock.now()).await.map_err(Refused::fault)?;
    if identity.user != session.user || !identity.scopes.allow(Scopes::READ) {
        session.close(CloseCode::Forbidden);
        return Err(Fault::new(ErrorCode::Forbidden, "a session is renewed by its own user, with the scope to read"));
    }
    if revocation::is_revoked(state, &identity).await.map_err(store_fault)? {
        return Err(Refused::Revoked.fault());
    }
    session.renew(&identity);
    Ok(Ack::Auth { user: identity.user, expires_at: identity.expires_at })
}
