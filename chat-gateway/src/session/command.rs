//! The requests of a session on their way to their replies.
//!
//! A command has two parts. *Preparing* checks and looks up; commands are prepared one after the other, in frame
//! order, and the last act of preparing a send or change is to call the log's `append`. So the sends of a session keep
//! their order although many are *running*, waiting for the log at once: the reply of one never holds up the next.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chat_core::codes::ErrorCode;
use chat_core::frame::server::Ack;
use chat_core::frame::{ClientFrame, Fault, Request};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::Session;
use crate::auth::Scopes;
use crate::state::State;

mod auth;
mod change;
mod presence;
mod receipt;
mod send;

/// A request is answered within this time, `unavailable` if need be; the protocol promises 15 s.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) id: Option<u64>,
    pub(crate) kind: &'static str,
    pub(crate) result: Result<Ack, Fault>,
}

/// What preparing a command leads to.
pub(crate) enum Prepared {
    /// Nothing is left to wait for.
    Answered(Result<Ack, Fault>),
    /// The rest goes on beside the next commands.
    Running(BoxFuture<'static, Result<Ack, Fault>>),
}

type Preparing = Pin<Box<dyn Future<Output = (Option<u64>, &'static str, Prepared)> + Send>>;
type Running = Pin<Box<dyn Future<Output = Done> + Send>>;

/// The commands of one session. Exists while there are any.
#[derive(Default)]
pub(crate) struct Commands {
    waiting: VecDeque<ClientFrame>,
    preparing: Option<Preparing>,
    running: FuturesUnordered<Running>,
    /// Syncs read much; they run one at a time, in order, and hold up nothing else.
    waiting_syncs: VecDeque<ClientFrame>,
    syncing: Option<Running>,
}

impl Commands {
    /// Takes a request.
    pub(crate) fn accept(&mut self, frame: ClientFrame) {
        match frame.request {
            Request::Sync(_) => self.waiting_syncs.push_back(frame),
            _ => self.waiting.push_back(frame),
        }
    }

    /// Returns how many requests are unanswered.
    pub(crate) fn open(&self) -> usize {
        self.waiting.len()
            + self.waiting_syncs.len()
            + self.running.len()
            + usize::from(self.preparing.is_some())
            + usize::from(self.syncing.is_some())
    }

    /// Goes on with all commands; ready when one is done.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        state: &Arc<State>,
        session: &Arc<Session>,
    ) -> Poll<Option<Done>> {
        loop {
            if let Some(preparing) = &mut self.preparing {
                let Poll::Ready((id, kind, prepared)) = preparing.as_mut().poll(cx) else { break };
                self.preparing = None;
                match prepared {
                    Prepared::Answered(result) => return Poll::Ready(Some(Done { id, kind, result })),
                    Prepared::Running(running) => {
                        let mut running: Running = Box::pin(run(id, kind, running));
                        // The first poll is the call of `append`: it must not wait behind other wake-ups, or the order
                        // of two sends would be that of the executor.
                        if let Poll::Ready(done) = running.as_mut().poll(cx) {
                            return Poll::Ready(Some(done));
                        }
                        self.running.push(running);
                    }
                }
            }
            let Some(frame) = self.waiting.pop_front() else { break };
            self.preparing = Some(Box::pin(prepare(Arc::clone(state), Arc::clone(session), frame)));
        }
        if self.syncing.is_none()
            && let Some(ClientFrame { id, request: Request::Sync(sync) }) = self.waiting_syncs.pop_front()
        {
            let (state, session) = (Arc::clone(state), Arc::clone(session));
            self.syncing = Some(Box::pin(async move {
                let result = super::sync::run(&state, &session, sync).await.map(Ack::Sync);
                Done { id, kind: "sync", result }
            }));
        }
        if let Some(syncing) = &mut self.syncing
            && let Poll::Ready(done) = syncing.as_mut().poll(cx)
        {
            self.syncing = None;
            return Poll::Ready(Some(done));
        }
        self.running.poll_next_unpin(cx)
    }
}

async fn run(id: Option<u64>, kind: &'static str, running: BoxFuture<'static, Result<Ack, Fault>>) -> Done {
    let result = tokio::time::timeout(ANSWER_WITHIN, running).await.unwrap_or_else(|_| Err(too_late()));
    Done { id, kind, result }
}

async fn prepare(
    state: Arc<State>,
    session: Arc<Session>,
    ClientFrame { id, request }: ClientFrame,
) -> (Option<u64>, &'static str, Prepared) {
    let kind = request.kind();
    let preparing = async {
        match request {
            Request::Auth(auth) => auth::renew(&state, &session, &auth).await.map(answered),
            Request::Send(send) => send::prepare(&state, &session, send).await,
            Request::Edit(edit) => change::prepare_edit(&state, &session, edit).await,
            Request::Delete(delete) => change::prepare_delete(&state, &session, delete).await,
            Request::Receipt(receipt) => receipt::take(&state, &session, receipt).await.map(answered),
            Request::Typing(typing) => presence::typing(&state, &session, typing).await,
            Request::PresenceSubscribe(users) => Ok(presence::subscribe(&state, &session, users)),
            Request::PresenceUnsubscribe(users) => Ok(presence::unsubscribe(&state, &session, users)),
            // Both are answered elsewhere: a ping at once, a sync beside all others.
            Request::Ping(_) | Request::Sync(_) => Err(Fault::of(ErrorCode::Internal)),
        }
    };
    let prepared = tokio::time::timeout(ANSWER_WITHIN, preparing).await.unwrap_or_else(|_| Err(too_late()));
    (id, kind, prepared.unwrap_or_else(|fault| Prepared::Answered(Err(fault))))
}

fn answered(ack: Ack) -> Prepared {
    Prepared::Answered(Ok(ack))
}

/// Refuses what a token that may only read must not do.
fn require_write(session: &Session) -> Result<(), Fault> {
    if session.allows(Scopes::WRITE) {
        Ok(())
    } else {
        Err(Fault::new(ErrorCode::Forbidden, "the token has no scope to write"))
    }
}

fn too_late() -> Fault {
    Fault::of(ErrorCode::Unavailable).retry_after(1_000)
}
