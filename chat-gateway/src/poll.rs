//! Clients without a socket: sessions that are held for the time of one request.
//!
//! ```text
//!  request ──► stored positions ──► session { queue, machine } ──► route ──► catch up from the store ──► wait
//!  answer  ◄── frames, and the positions they lead to, stored under a new cursor ◄──────────────────────────┘
//! ```
//! Between two requests nothing is held for a client but its positions, which any gateway can go on from. What happens
//! meanwhile is in the store: the route is registered before the store is read, so a message is in the read or live.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use chat_core::clock::Time;
use chat_core::codes::{CloseCode, ErrorCode};
use chat_core::frame::{Fault, Presence, Push, push_json};
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::StoreError;
use chat_core::poll_positions::{ChatPosition, Positions, PositionsError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::admission::Place;
use crate::auth::Identity;
use crate::dispatch::resolve::unknown;
use crate::presence;
use crate::session::machine::Machine;
use crate::session::outbound::Batch;
use crate::session::reader::News;
use crate::session::{Session, fill, serve};
use crate::state::State;
use crate::view::store_fault;

/// How long route and presence stay after an answer: the next request is on its way.
const LINGER: Duration = Duration::from_secs(10);

/// How often a held session shows that its client is there.
const HEAR_EVERY: Duration = Duration::from_secs(10);

/// How long an answer waits for the store to be read, however short the client's own wait is.
const SETTLE: Duration = Duration::from_secs(2);

/// Chats that one cursor lists. One left out is found again by its activity.
const MAX_POSITIONS: usize = 2_048;

/// Chats a store call.
const READ_CHATS: usize = 256;

/// A session without a socket. Dropped, at the end of its request or because the client went away, it takes nothing
/// more, and its route stays for a moment.
#[derive(Debug)]
pub(crate) struct Held {
    state: Arc<State>,
    session: Arc<Session>,
    since: Time,
    /// Counts as a connection while it is held.
    _place: Place,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.session.end();
        self.state.presence.followers.drop_session(&self.session);
        let (state, session) = (Arc::clone(&self.state), Arc::clone(&self.session));
        self.state.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(LINGER) => {}
                () = state.shutdown.cancelled() => {}
            }
            if state.sessions.remove(&session) {
                state.routes.leave(&session.user);
            }
        });
    }
}

impl Held {
    /// Begins a session that goes on from these positions, and reads what it missed.
    pub(crate) async fn open(state: &Arc<State>, identity: &Identity, from: &Positions) -> Result<Self, Fault> {
        let place = if state.is_ready() { state.admission.session() } else { None };
        let place = place.ok_or_else(over_capacity)?;
        let session = Arc::new(new_session(state, identity, from.since).for_poll(&from.chats));
        // Before the store is read: what is told of from here on is live, or in what is read.
        let held = Self { state: Arc::clone(state), session, since: state.clock.now(), _place: place };
        if let Some(replaced) = state.sessions.add(&held.session) {
            replaced.close(CloseCode::Replaced);
        }
        Box::pin(state.routes.register(&held.session.user)).await;
        state.presence.here([held.session.user.clone()]);
        held.catch_up(from.since).await.map_err(store_fault)?;
        Ok(held)
    }

    /// Follows users for as long as the session is held; returns how they are now, as frames.
    pub(crate) async fn follow(&self, users: Vec<UserId>) -> Result<Vec<Utf8Bytes>, Fault> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let presence = presence::subscribe(&self.state, &self.session, users, Vec::new()).await?;
        let push = |(user, Presence { status, last_seen_at })| Push::Presence { user, status, last_seen_at };
        Ok(presence.into_iter().map(|entry| push_json(&push(entry)).into()).collect())
    }

    /// Returns the session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Looks at the heads of all chats that may have news, and starts the filler where there are.
    async fn catch_up(&self, since: Time) -> Result<(), StoreError> {
        let Self { state, session, .. } = self;
        let known: Vec<ChatId> = session.with_machine(|machine| machine.chats().collect());
        for batch in known.chunks(READ_CHATS) {
            for (chat_id, head) in batch.iter().zip(state.store.states(batch).await?) {
                if head.is_some_and(|head| session.see_head(*chat_id, head.seq, head.rev)) {
                    fill::start(state, session);
                }
            }
        }
        let is_known = |chat_id| session.with_machine(|machine| machine.knows(chat_id));
        let mut chats = unknown::active(state, &session.user, since, is_known).await?;
        loop {
            unknown::place(state, &session.user, std::slice::from_ref(session), &chats, since).await?;
            // Those whose first message came meanwhile; when there is none, the machine takes what is live.
            chats = session.with_machine(Machine::take_unplaced);
            if chats.is_empty() {
                return Ok(());
            }
        }
    }

    /// Waits until there is something to answer with, for `wait` at most. Cancel-safe.
    pub(crate) async fn wait(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let settled = std::future::poll_fn(|cx| self.session.poll_news(cx, true));
        if matches!(tokio::time::timeout(SETTLE, settled).await, Ok(News::Come)) {
            return;
        }
        while Instant::now() < until && !self.wait_until(until.min(Instant::now() + HEAR_EVERY)).await {}
    }

    /// Waits for news until a moment; returns whether there are any. Cancel-safe.
    pub(crate) async fn wait_until(&self, until: Instant) -> bool {
        let news = std::future::poll_fn(|cx| self.session.poll_news(cx, false));
        let has_news = tokio::time::timeout_at(until, news).await.is_ok();
        self.session.hear(self.state.uptime.millis());
        has_news
    }

    /// Ends the session; returns its frames and the positions they lead to.
    pub(crate) async fn finish(self) -> (Batch, Positions) {
        self.base_revs().await;
        let mut batch = Batch::default();
        let chats = self.session.finish(&mut batch);
        let positions = self.positions(chats);
        (batch, positions)
    }

    /// Takes the frames queued so far, and the positions they lead to.
    pub(crate) async fn take(&self, batch: &mut Batch) -> Positions {
        self.base_revs().await;
        let chats = self.session.take_with_positions(batch);
        self.positions(chats)
    }

    fn positions(&self, mut chats: Vec<ChatPosition>) -> Positions {
        chats.truncate(MAX_POSITIONS);
        Positions { user: self.session.user.clone(), since: self.since, chats }
    }

    /// Gives chats that are new to this session the rev that their changes go on from.
    async fn base_revs(&self) {
        let chats = self.session.with_machine(|machine| machine.without_rev());
        for batch in chats.chunks(READ_CHATS) {
            match self.state.store.states(batch).await {
                Ok(heads) => self.session.with_machine(|machine| {
                    for (chat_id, head) in batch.iter().zip(heads) {
                        machine.base_rev(*chat_id, head.map_or(0, |head| head.rev));
                    }
                }),
                // Without it changes go on from the head that the next request finds.
                Err(error) => tracing::debug!(%error, "failed to read revs"),
            }
        }
    }
}

/// Makes a session that no socket belongs to.
pub(crate) fn new_session(state: &State, identity: &Identity, opened_at: Time) -> Session {
    let number = state.sessions.next_number();
    Session::new(number, identity, state.config.limits.queue_bytes, opened_at, state.uptime.millis())
}

/// Makes the `hello` of a client that begins now, and its positions.
pub(crate) fn begin(state: &State, identity: &Identity) -> (Utf8Bytes, Positions) {
    let since = state.clock.now();
    let session = new_session(state, identity, since);
    let hello = push_json(&Push::Hello(serve::hello(state, &session)));
    (hello.into(), Positions { user: identity.user.clone(), since, chats: Vec::new() })
}

/// Reads the positions of a cursor; `None` where they have run out, or are another user's.
pub(crate) async fn load(state: &State, identity: &Identity, cursor: Uuid) -> Result<Option<Positions>, Fault> {
    let positions = state.positions.get(cursor).await.map_err(positions_fault)?;
    Ok(positions.filter(|positions| positions.user == identity.user))
}

/// Stores positions under a cursor.
pub(crate) async fn store(state: &State, cursor: Uuid, positions: Positions) -> Result<(), Fault> {
    state.positions.put(cursor, positions).await.map_err(positions_fault)
}

/// Makes a cursor that nobody can guess.
pub(crate) fn new_cursor() -> Uuid {
    Uuid::from_u128(rand::random())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn positions_fault(error: PositionsError) -> Fault {
    tracing::warn!(%error, "failed to reach the positions of polls");
    Fault::of(ErrorCode::Unavailable).retry_after(1_000)
}

fn over_capacity() -> Fault {
    Fault::of(ErrorCode::OverCapacity).retry_after(rand::random_range(500..=3_000))
}
