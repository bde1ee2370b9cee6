//! The pump: the one task of a session. It moves frames between the socket, the queue and the commands.
//!
//! One poll takes everything queued, feeds it and flushes once, so that system calls per delivery fall as load rises.
//! Reading goes on while writing is stuck: a slow reader still shows signs of life and may still send.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes};
use bytes::Bytes;
use chat_core::codes::{CloseCode, ErrorCode};
use chat_core::frame::client::Undecodable;
use chat_core::frame::{Fault, Push, Reply, Request, decode, push_json, reply_json};
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};

use super::Session;
use super::command::{Commands, Done};
use super::outbound::Batch;
use crate::metrics::Metrics;
use crate::rate::Gcra;
use crate::state::State;

/// Requests that may be unanswered before the pump stops reading.
const WINDOW: usize = 64;

/// Malformed frames in a row before the session is closed.
pub(super) const MAX_MALFORMED: u8 = 10;

/// How long a closing handshake may take, the frames still queued included.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// A WebSocket as the pump sees it.
pub(crate) trait Socket:
    Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin
{
}

impl<S> Socket for S where S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin {}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The server closes it.
    Close(CloseCode),
    /// The client closed it, with this code.
    Client(u16),
    /// The connection broke.
    Lost,
}

/// The state of the pump.
pub(crate) struct Pump<S> {
    socket: S,
    session: Arc<Session>,
    state: Arc<State>,
    batch: Batch,
    commands: Option<Box<Commands>>,
    frame_tat: u64,
    refused_tat: u64,
    malformed: u8,
    is_flushing: bool,
}

impl<S: Socket> Pump<S> {
    pub(crate) fn new(socket: S, session: Arc<Session>, state: Arc<State>) -> Self {
        Self {
            socket,
            session,
            state,
            batch: Batch::default(),
            commands: None,
            frame_tat: 0,
            refused_tat: 0,
            malformed: 0,
            is_flushing: false,
        }
    }

    /// Runs the session to its end, and says how it ended.
    pub(crate) async fn run(mut self) -> End {
        let polling = AssertUnwindSafe(std::future::poll_fn(|cx| self.poll(cx))).catch_unwind();
        // A defect ends one session, by its code; what is shared was never held over a poll.
        let end = polling.await.unwrap_or(End::Close(CloseCode::Internal));
        self.commands = None;
        self.session.end();
        // Boxed: every idle session would carry the size of these futures.
        match end {
            End::Close(code) => Box::pin(self.close(code)).await,
            End::Client(_) => Box::pin(self.confirm_close()).await,
            End::Lost => {}
        }
        end
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let is_written = self.batch.is_empty() && !self.is_flushing;
            let work = self.session.take(cx, is_written.then_some(&mut self.batch));
            if let Some(code) = work.close {
                return Poll::Ready(End::Close(code));
            }
            if work.ping {
                self.batch.shrink();
                if Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new())).is_err() {
                    return Poll::Ready(End::Lost);
                }
                self.is_flushing = true;
            }
            let mut has_moved = false;
            match self.poll_write(cx) {
                Poll::Ready(Ok(has_written)) => has_moved |= has_written,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Lost),
                Poll::Pending => {}
            }
            has_moved |= self.poll_commands(cx);
            if self.commands.as_ref().map_or(0, |commands| commands.open()) < WINDOW {
                match self.socket.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(message))) => {
                        if let Some(end) = self.take_message(message) {
                            return Poll::Ready(end);
                        }
                        has_moved = true;
                    }
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(End::Lost),
                    Poll::Pending => {}
                }
            }
            if !has_moved {
                return Poll::Pending;
            }
        }
    }

    /// Writes the batch and flushes; `true` when it has flushed something.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, axum::Error>> {
        if self.batch.is_empty() && !self.is_flushing {
            return Poll::Ready(Ok(false));
        }
        self.is_flushing = true;
        while !self.batch.is_empty() {
            std::task::ready!(self.socket.poll_ready_unpin(cx))?;
            if let Some(frame) = self.batch.pop() {
                self.socket.start_send_unpin(Message::Text(frame))?;
            }
        }
        std::task::ready!(self.socket.poll_flush_unpin(cx))?;
        self.is_flushing = false;
        self.session.flushed();
        Poll::Ready(Ok(true))
    }

    fn poll_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(commands) = &mut self.commands else { return false };
        let mut has_moved = false;
        while let Poll::Ready(Some(done)) = commands.poll_next(cx, &self.state, &self.session) {
            if let Some(answer) = answer(done, &self.state.metrics) {
                self.session.push(answer);
            }
            has_moved = true;
        }
        if commands.open() == 0 {
            self.commands = None;
        }
        has_moved
    }

    fn take_message(&mut self, message: Message) -> Option<End> {
        self.session.hear(self.state.uptime.millis());
        match message {
            Message::Text(text) => self.take_text(&text),
            Message::Binary(_) => Some(End::Close(CloseCode::ProtocolError)),
            Message::Ping(_) | Message::Pong(_) => None,
            Message::Close(frame) => Some(End::Client(frame.map_or(1005, |frame| frame.code))),
        }
    }

    fn take_text(&mut self, text: &Utf8Bytes) -> Option<End> {
        if text.len() > self.state.config.limits.frame_bytes {
            return Some(End::Close(CloseCode::FrameTooLarge));
        }
        let now = self.state.uptime.nanos();
        let rate = Gcra::new(self.state.config.limits.frames_per_session);
        let verdict = rate.take(&mut self.frame_tat, now);
        match decode(text) {
            Ok(frame) => {
                self.malformed = 0;
                if let Err(over) = verdict {
                    // A flood is one that goes on at the rate's own pace above the rate.
                    if rate.take(&mut self.refused_tat, now).is_err() {
                        return Some(End::Close(CloseCode::Flooding));
                    }
                    let fault = Fault::of(ErrorCode::RateLimited).retry_after(over.wait_ms);
                    let done = Done { id: frame.id, kind: frame.request.kind(), result: Err(fault) };
                    if let Some(answer) = answer(done, &self.state.metrics) {
                        self.session.push(answer);
                    }
                } else if let Request::Ping(ping) = &frame.request {
                    self.session.is_active.store(ping.active, Relaxed);
                    let pong = Reply::Pong { server_time: self.state.clock.now() };
                    if let Some(id) = frame.id {
                        self.session.push(reply_json(id, &pong));
                    }
                } else {
                    self.commands.get_or_insert_with(Box::default).accept(frame);
                }
                None
            }
            Err(undecodable) => self.take_malformed(*undecodable),
        }
    }

    fn take_malformed(&mut self, undecodable: Undecodable) -> Option<End> {
        self.malformed += 1;
        if self.malformed >= MAX_MALFORMED {
            return Some(End::Close(CloseCode::ProtocolError));
        }
        let Undecodable { id, kind, fault } = undecodable;
        self.state.metrics.error(fault.code);
        self.session.push(match id {
            Some(id) => reply_json(id, &Reply::Error(fault)),
            None => push_json(&Push::Error { fault, request: kind }),
        });
        None
    }

    /// Writes what is queued, then closes.
    async fn close(mut self, code: CloseCode) {
        // A slow consumer would not read the rest anyway, and syncs after it has reconnected.
        let is_written = match code {
            CloseCode::SlowConsumer => true,
            _ => matches!(tokio::time::timeout(CLOSE_WITHIN, self.write_rest()).await, Ok(Ok(()))),
        };
        if is_written {
            close(&mut self.socket, code).await;
        }
    }

    async fn write_rest(&mut self) -> Result<(), axum::Error> {
        while let Some(frame) = self.batch.pop() {
            self.socket.feed(Message::Text(frame)).await?;
        }
        self.session.take_rest(&mut self.batch);
        while let Some(frame) = self.batch.pop() {
            self.socket.feed(Message::Text(frame)).await?;
        }
        self.socket.flush().await
    }

    /// Flushes the close frame that the library answers the client's with.
    async fn confirm_close(mut self) {
        let flushed = tokio::time::timeout(CLOSE_WITHIN, self.socket.flush()).await;
        tracing::trace!(session = self.session.number, confirmed = matches!(flushed, Ok(Ok(()))), "the client closed");
    }
}

/// Sends the close frame of a code and waits for the client's own: a socket dropped before that resets the connection,
/// and the client never reads why.
pub(super) async fn close(socket: &mut impl Socket, code: CloseCode) {
    let frame = CloseFrame { code: code.code(), reason: Utf8Bytes::from_static(code.as_str()) };
    let closing = async {
        socket.send(Message::Close(Some(frame))).await?;
        while let Some(Ok(message)) = socket.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
        }
        Ok::<_, axum::Error>(())
    };
    // A client that does not answer, or is gone already, changes nothing: the socket is dropped next.
    if !matches!(tokio::time::timeout(CLOSE_WITHIN, closing).await, Ok(Ok(()))) {
        tracing::debug!(code = code.code(), "the client did not take part in the close");
    }
}

/// Encodes the answer to a request: the reply to its id, or without one a push if it failed.
pub(crate) fn answer(done: Done, metrics: &Metrics) -> Option<String> {
    let Done { id, kind, result } = done;
    if let Err(fault) = &result {
        metrics.error(fault.code);
    }
    match (id, result) {
        (Some(id), Ok(ack)) => Some(reply_json(id, &Reply::Ack(ack))),
        (Some(id), Err(fault)) => Some(reply_json(id, &Reply::Error(fault))),
        (None, Ok(_)) => None,
        (None, Err(fault)) => Some(push_json(&Push::Error { fault, request: Some(kind.to_owned()) })),
    }
}
