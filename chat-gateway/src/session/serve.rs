//! A socket's life: the lobby if it has no token, `hello`, the pump, and leaving.

use std::sync::Arc;

use chat_core::codes::CloseCode;
use chat_core::frame::server::{Ack, Hello};
use chat_core::frame::{Push, Reply, push_json, reply_json};

use super::Session;
use super::lobby::{self, Admitted};
use super::pump::{End, Pump, Socket, close};
use crate::admission::Place;
use crate::auth::{Identity, Refused, Scopes};
use crate::revocation;
use crate::state::State;

/// Clients send `ping` about this often.
const HEARTBEAT_MS: u64 = 20_000;

/// Serves an upgraded socket to its end.
///
/// The token was checked before the upgrade; a refusal is told here, by close code, because a browser cannot read the
/// status of a failed handshake.
pub(crate) async fn serve(
    mut socket: impl Socket,
    state: Arc<State>,
    token: Option<Result<Identity, Refused>>,
    place: Place,
) {
    let admitted = match token {
        Some(Ok(identity)) => Ok(Admitted { identity, auth_id: None }),
        Some(Err(refused)) => Err(End::Close(refused.close_code())),
        None => Box::pin(lobby::wait(&state, &mut socket)).await,
    };
    let admitted = admitted.and_then(|admitted| {
        let is_allowed = admitted.identity.scopes.allow(Scopes::READ);
        if is_allowed { Ok(admitted) } else { Err(End::Close(CloseCode::Forbidden)) }
    });
    let admitted = match admitted {
        Ok(admitted) => is_taken(&state, &admitted.identity).await.map(|()| admitted),
        Err(end) => Err(end),
    };
    let end = match admitted {
        Ok(admitted) => run(socket, &state, admitted).await,
        Err(End::Close(code)) => {
            Box::pin(close(&mut socket, code)).await;
            End::Close(code)
        }
        Err(end) => end,
    };
    if let End::Close(code) = end {
        state.metrics.close(code);
    }
    drop(place);
}

/// Refuses a revoked token. Where the store does not answer the session begins all the same: the next look at the
/// users of all sessions ends it.
async fn is_taken(state: &State, identity: &Identity) -> Result<(), End> {
    match revocation::is_revoked(state, identity).await {
        Ok(true) => Err(End::Close(CloseCode::Revoked)),
        Ok(false) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, user = %identity.user, "failed to look for a revocation");
            Ok(())
        }
    }
}

async fn run(socket: impl Socket, state: &Arc<State>, Admitted { identity, auth_id }: Admitted) -> End {
    let number = state.sessions.next_number();
    let queue_bytes = state.config.limits.queue_bytes;
    let (opened_at, uptime_ms) = (state.clock.now(), state.uptime.millis());
    let session = Arc::new(Session::new(number, &identity, queue_bytes, opened_at, uptime_ms));
    // Queued before anybody else can reach the session, so that `hello` is first.
    session.push(push_json(&Push::Hello(hello(state, &session))));
    if let Some(id) = auth_id {
        let ack = Ack::Auth { user: identity.user, expires_at: identity.expires_at };
        session.push(reply_json(id, &Reply::Ack(ack)));
    }
    if let Some(replaced) = state.sessions.add(&session) {
        replaced.close(CloseCode::Replaced);
    }
    // The route before `hello` is sent: the client's `sync` comes after it, and reads what the route did not bring.
    Box::pin(state.routes.register(&session.user)).await;
    state.presence.here([session.user.clone()]);
    let end = Pump::new(socket, Arc::clone(&session), Arc::clone(state)).run().await;
    state.presence.followers.drop_session(&session);
    if state.sessions.remove(&session) {
        state.routes.leave(&session.user);
        // Anything but a goodbye or a sign-out may be a drain or a lost network: then the mark runs out by itself.
        if matches!(end, End::Client(1000 | 1001) | End::Close(CloseCode::Revoked)) {
            state.presence.left(&session.user);
        }
    }
    tracing::debug!(session = session.number, user = %session.user, ?end, "session ended");
    end
}

/// Makes the first frame of a session.
pub(crate) fn hello(state: &State, session: &Session) -> Hello {
    Hello {
        user: session.user.clone(),
        session: format!("{}-{}", state.boot, session.number),
        server: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: state.epoch.clone(),
        heartbeat_ms: HEARTBEAT_MS,
        server_time: state.clock.now(),
        token_expires_at: session.expires_at(),
        max_frame_bytes: state.config.limits.frame_bytes as u64,
        max_content_bytes: state.config.limits.content_bytes as u64,
    }
}
