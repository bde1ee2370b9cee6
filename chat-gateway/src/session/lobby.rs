//! The lobby: a socket that came without a token has a few seconds to give one. Only `auth` and `ping` are served.

use std::time::Duration;

use axum::extract::ws::Message;
use chat_core::codes::{CloseCode, ErrorCode};
use chat_core::frame::{ClientFrame, Fault, Push, Reply, Request, decode, push_json, reply_json};
use futures_util::{SinkExt, StreamExt};

use super::pump::{End, Socket};
use crate::auth::Identity;
use crate::state::State;

/// Frames a socket may send before it is authenticated. Nobody needs more than a ping and a token.
const MAX_FRAMES: usize = 32;

/// A socket that gave a good token, and the number of the frame that did.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    pub(crate) auth_id: Option<u64>,
}

/// Waits for a good token.
pub(crate) async fn wait(state: &State, socket: &mut impl Socket) -> Result<Admitted, End> {
    let within = Duration::from_secs(state.config.limits.auth_seconds);
    let waited = tokio::time::timeout(within, serve(state, socket)).await;
    waited.unwrap_or(Err(End::Close(CloseCode::AuthTimeout)))
}

async fn serve(state: &State, socket: &mut impl Socket) -> Result<Admitted, End> {
    let mut malformed = 0;
    for _ in 0..MAX_FRAMES {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => return Err(End::Close(CloseCode::ProtocolError)),
            Some(Ok(Message::Close(frame))) => return Err(End::Client(frame.map_or(1005, |frame| frame.code))),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Err(_)) | None => return Err(End::Lost),
        };
        if text.len() > state.config.limits.frame_bytes {
            return Err(End::Close(CloseCode::FrameTooLarge));
        }
        let answer = match decode(&text) {
            Ok(ClientFrame { id, request: Request::Auth(auth) }) => {
                let verified = state.verifiers.verify(&auth.token, state.clock.now()).await;
                return verified
                    .map(|identity| Admitted { identity, auth_id: id })
                    .map_err(|refused| End::Close(refused.close_code()));
            }
            Ok(ClientFrame { id, request: Request::Ping(_) }) => {
                id.map(|id| reply_json(id, &Reply::Pong { server_time: state.clock.now() }))
            }
            Ok(frame) => {
                let kind = frame.request.kind();
                Some(refuse(frame.id, Some(kind.to_owned()), Fault::of(ErrorCode::Unauthenticated)))
            }
            Err(undecodable) => {
                malformed += 1;
                if malformed >= super::pump::MAX_MALFORMED {
                    return Err(End::Close(CloseCode::ProtocolError));
                }
                Some(refuse(undecodable.id, undecodable.kind, undecodable.fault))
            }
        };
        if let Some(answer) = answer {
            socket.send(Message::Text(answer.into())).await.map_err(|_| End::Lost)?;
        }
    }
    Err(End::Close(CloseCode::Flooding))
}

fn refuse(id: Option<u64>, request: Option<String>, fault: Fault) -> String {
    match id {
        Some(id) => reply_json(id, &Reply::Error(fault)),
        None => push_json(&Push::Error { fault, request }),
    }
}
