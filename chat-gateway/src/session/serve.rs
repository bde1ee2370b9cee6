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
    let end = Pump::new(socket, Arc::clone(&session), Arc::clone(state)).run().await;
    if state.sessions.remove(&session) {
        state.routes.leave(&session.user);
    }
    tracing::debug!(session = session.number, user = %session.user, ?end, "session ended");
    end
}

fn hello(state: &State, session: &Session) -> Hello {
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
