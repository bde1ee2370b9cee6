//! `POST /v1/frames`: one client frame without a socket. Its pushes come back with its reply.

use std::sync::Arc;
use std::task::Poll;

use axum::extract::State as Shared;
use axum::extract::ws::Utf8Bytes;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chat_core::codes::ErrorCode;
use chat_core::frame::client::Undecodable;
use chat_core::frame::{ClientFrame, Fault, Push, Reply, Request, decode, push_json, reply_json};
use serde_json::value::RawValue;

use super::body::Json;
use super::caller::Holder;
use super::problem::Answer;
use crate::poll;
use crate::session::Session;
use crate::session::command::{Commands, Done};
use crate::session::outbound::Batch;
use crate::session::pump::answer;
use crate::state::State;

/// `POST /v1/frames`.
pub(super) async fn post(
    Shared(state): Shared<Arc<State>>,
    Holder(identity): Holder,
    Json(frame): Json<Box<RawValue>>,
) -> Answer<Response> {
    state
        .rates
        .frames
        .take(identity.user.clone(), state.uptime.nanos())
        .map_err(|over| Fault::of(ErrorCode::RateLimited).retry_after(over.wait_ms))?;
    let session = Arc::new(poll::new_session(&state, &identity, state.clock.now()).for_call());
    let reply = match decode(frame.get()) {
        Ok(frame) => match refusal(&frame.request) {
            None => run(&state, &session, frame).await,
            Some(fault) => {
                answer(Done { id: frame.id, kind: frame.request.kind(), result: Err(fault) }, &state.metrics)
            }
        },
        Err(undecodable) => {
            state.metrics.error(undecodable.fault.code);
            Some(refuse(*undecodable))
        }
    };
    let mut batch = Batch::default();
    session.take_rest(&mut batch);
    session.end();
    let mut frames = Frames::default();
    std::iter::from_fn(|| batch.pop()).chain(reply.map(Utf8Bytes::from)).for_each(|frame| frames.push(&frame));
    Ok(frames.finish("").into_response())
}

/// Refuses what makes no sense without a session that lasts.
fn refusal(request: &Request) -> Option<Fault> {
    let why = match request {
        Request::Auth(_) => "the token comes with each request",
        Request::Ping(_) => "a request is itself a sign of life",
        Request::PresenceSubscribe(_) | Request::PresenceUnsubscribe(_) => "use `presence=` of `GET /v1/events`",
        _ => return None,
    };
    Some(Fault::invalid("type", why))
}

fn refuse(Undecodable { id, kind, fault }: Undecodable) -> String {
    match id {
        Some(id) => reply_json(id, &Reply::Error(fault)),
        None => push_json(&Push::Error { fault, request: kind }),
    }
}

/// Runs one command to its end.
async fn run(state: &Arc<State>, session: &Arc<Session>, frame: ClientFrame) -> Option<String> {
    let mut commands = Commands::default();
    commands.accept(frame);
    let done = std::future::poll_fn(|cx| match commands.poll_next(cx, state, session) {
        Poll::Ready(Some(done)) => Poll::Ready(done),
        // Nothing is running yet: it is still being prepared, which wakes us.
        Poll::Ready(None) | Poll::Pending => Poll::Pending,
    });
    answer(done.await, &state.metrics)
}

/// The `frames` of an answer. They are JSON already, and shared with other sessions, so they are written as they are.
#[derive(Debug)]
pub(super) struct Frames(String);

impl Default for Frames {
    fn default() -> Self {
        Self(r#"{"frames":["#.to_owned())
    }
}

impl Frames {
    /// Adds a frame.
    pub(super) fn push(&mut self, frame: &Utf8Bytes) {
        if !self.0.ends_with('[') {
            self.0.push(',');
        }
        self.0.push_str(frame);
    }

    /// Makes the answer; `rest` is what comes after the frames, with its leading comma.
    pub(super) fn finish(mut self, rest: &str) -> impl IntoResponse + use<> {
        self.0.push(']');
        self.0.push_str(rest);
        self.0.push('}');
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0)
    }
}
