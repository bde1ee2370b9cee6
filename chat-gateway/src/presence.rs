//! Presence: telling the table that our users are there, and our sessions who came and went.
//!
//! ```text
//!  sessions ──heard──► sweep ──touch──► table ──"was offline"──► watchers' gateways ──relay──► dispatcher ──► followers
//!  last one closed cleanly ──clear──────────┘
//! ```
//! One task does all of it, in order: what comes in while it is busy is its next batch. Everything may be lost; once
//! [`REVIEW_EVERY`] the followed users are read again, and their watches renewed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Presence, PresenceStatus, Push};
use chat_core::id::{ChatId, UserId};
use chat_core::presence::PresenceTable;
use rustc_hash::FxHashSet;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dispatch::encode;
use crate::membership;
use crate::session::Session;
use crate::state::State;
use crate::view::store_fault;

mod access;
mod blocks;
mod follow;
mod tell;

use access::known;
pub(crate) use access::{look, presence_fault};
pub(crate) use follow::Followers;
pub(crate) use tell::part;

/// How often followed users are read again; a third of a watch's life.
const REVIEW_EVERY: Duration = Duration::from_mins(1);

/// Users a call.
const BATCH: usize = 512;

/// What was heard and not yet passed on, at most; beyond it the review makes up for it.
const MAX_HEARD: usize = 16_384;

/// Presence on one gateway.
#[derive(Debug)]
pub(crate) struct Presences {
    pub(crate) table: Arc<dyn PresenceTable>,
    pub(crate) followers: Followers,
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    /// Users that were heard of by their sessions.
    here: FxHashSet<UserId>,
    /// Users whose last session here was closed by its client, or signed out.
    left: FxHashSet<UserId>,
    /// `presence` frames of followed users, from the relay.
    heard: Vec<Arc<Push>>,
    /// Users who are no longer in a chat, and who still is.
    removed: Vec<(UserId, Arc<[UserId]>)>,
}

impl Presences {
    pub(crate) fn new(table: Arc<dyn PresenceTable>) -> Self {
        Self { table, followers: Followers::default(), pending: Mutex::default(), wake: Notify::new() }
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.lock());
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a user is there.
    pub(crate) fn here(&self, users: impl IntoIterator<Item = UserId>) {
        let mut users = users.into_iter().peekable();
        if users.peek().is_some() {
            self.change(|pending| pending.here.extend(users));
        }
    }

    /// Notes that a user's last session here is over, and that they are not about to come back.
    pub(crate) fn left(&self, user: &UserId) {
        self.change(|pending| {
            pending.left.insert(user.clone());
        });
    }

    /// Notes a `presence` frame that the relay brought.
    pub(crate) fn heard(&self, push: Arc<Push>) {
        self.change(|pending| {
            if pending.heard.len() < MAX_HEARD {
                pending.heard.push(push);
            }
        });
    }

    /// Notes that a user is no longer in a chat of these members: perhaps they shared no other.
    pub(crate) fn removed(&self, user: &UserId, members: &Arc<[UserId]>) {
        self.change(|pending| {
            if pending.removed.len() < MAX_HEARD {
                pending.removed.push((user.clone(), Arc::clone(members)));
            }
        });
    }
}

/// Keeps presence until the gateway stops.
pub(crate) async fn run(state: Arc<State>) {
    let mut review_at = Instant::now() + REVIEW_EVERY;
    loop {
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return,
            () = state.presence.wake.notified() => {}
            () = tokio::time::sleep_until(review_at) => {}
        }
        let Pending { here, left, heard, removed } = std::mem::take(&mut *state.presence.lock());
        touch(&state, here.into_iter().collect()).await;
        if !left.is_empty() {
            tell::went(&state, left.into_iter().collect()).await;
        }
        forward(&state, heard).await;
        for (user, members) in removed {
            reconsider(&state, &user, &members).await;
        }
        if review_at <= Instant::now() {
            review_at = Instant::now() + REVIEW_EVERY;
            review(&state).await;
            blocks::review(&state).await;
        }
    }
}

async fn touch(state: &State, users: Vec<UserId>) {
    for batch in users.chunks(BATCH) {
        match state.presence.table.touch(batch).await {
            Ok(were_offline) => {
                let came = batch.iter().zip(were_offline).filter(|(_, was_offline)| *was_offline);
                tell::came(state, came.map(|(user, _)| user.clone()).collect()).await;
            }
            Err(error) => tracing::warn!(%error, users = batch.len(), "failed to mark users online"),
        }
    }
}

/// Passes on what was heard. Who is said to be offline is looked up first: they may have come back by another gateway
/// while the frame was under way.
async fn forward(state: &State, heard: Vec<Arc<Push>>) {
    let is_offline = |push: &Push| matches!(push, Push::Presence { status: PresenceStatus::Offline, .. });
    let gone: BTreeSet<UserId> =
        heard.iter().filter(|push| is_offline(push)).filter_map(|push| user_of(push)).collect();
    let gone: Vec<UserId> = gone.into_iter().collect();
    let mut back: FxHashSet<UserId> = FxHashSet::default();
    for batch in gone.chunks(BATCH) {
        match state.presence.table.online(batch).await {
            Ok(online) => {
                let online = batch.iter().zip(online).filter(|(_, is_online)| *is_online);
                back.extend(online.map(|(user, _)| user.clone()));
            }
            Err(error) => tracing::warn!(%error, "failed to read presence again"),
        }
    }
    for push in heard {
        let Some(user) = user_of(&push) else { continue };
        let is_online = !is_offline(&push);
        if !is_online && back.contains(&user) {
            continue;
        }
        deliver(state, &user, is_online, &push);
    }
}

fn user_of(push: &Push) -> Option<UserId> {
    if let Push::Presence { user, .. } = push { Some(user.clone()) } else { None }
}

fn deliver(state: &State, user: &UserId, is_online: bool, push: &Push) {
    let sessions = state.presence.followers.note(user, is_online);
    if sessions.is_empty() {
        return;
    }
    let frame = [encode::push(push)];
    let delivered = sessions.iter().map(|session| session.deliver(&frame).frames).sum();
    state.metrics.deliveries.inc_by(delivered);
}

/// Renews the watches of followed users, and tells of those who came or went unheard.
async fn review(state: &State) {
    let users = state.presence.followers.followed();
    for batch in users.chunks(BATCH) {
        if let Err(error) = state.presence.table.watch(&state.id, batch).await {
            tracing::warn!(%error, users = batch.len(), "failed to renew watches");
            continue;
        }
        match access::read(state, batch, batch).await {
            Ok(presence) => {
                for (user, Presence { status, last_seen_at }) in presence {
                    let is_online = status == PresenceStatus::Online;
                    let push = Push::Presence { user: user.clone(), status, last_seen_at };
                    deliver(state, &user, is_online, &push);
                }
            }
            Err(fault) => tracing::warn!(%fault, "failed to read followed users again"),
        }
    }
}

/// Looks again at who may know of whom, after `user` went out of a chat of `members`.
async fn reconsider(state: &State, user: &UserId, members: &[UserId]) {
    let members: FxHashSet<&UserId> = members.iter().collect();
    let followers = &state.presence.followers;
    let mut pairs: Vec<(Arc<Session>, Vec<UserId>)> = Vec::new();
    for session in followers.of_user(user).into_iter().filter(|session| members.contains(&session.user)) {
        pairs.push((session, vec![user.clone()]));
    }
    let own: Vec<Arc<Session>> = state.sessions.open().of(user).to_vec();
    for session in own {
        let followed = followers.by(&session).into_iter().filter(|followed| members.contains(followed)).collect();
        pairs.push((session, followed));
    }
    for (session, followed) in pairs.into_iter().filter(|(_, followed)| !followed.is_empty()) {
        match known(state, &session.user, &followed).await {
            Ok(known) => {
                for user in followed.iter().filter(|user| !known.contains(user)) {
                    hide(state, &session, user);
                }
            }
            Err(error) => tracing::warn!(%error, session = session.number, "failed to reconsider who may know of whom"),
        }
    }
}

/// Ends a session's subscription to a user, and lets it know that it knows nothing any more.
pub(crate) fn hide(state: &State, session: &Session, user: &UserId) {
    state.presence.followers.unfollow(session, std::slice::from_ref(user), &[]);
    let push = Push::Presence { user: user.clone(), status: PresenceStatus::Unknown, last_seen_at: None };
    session.deliver(&[encode::push(&push)]);
}

/// Subscribes a session to users and to the typing of chats on screen; returns the presence of the users.
pub(crate) async fn subscribe(
    state: &State,
    session: &Arc<Session>,
    users: Vec<UserId>,
    chats: Vec<ChatId>,
) -> Result<BTreeMap<UserId, Presence>, Fault> {
    let users: Vec<UserId> = users.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let chats: Vec<ChatId> = chats.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let limits = &state.config.limits;
    let followers = &state.presence.followers;
    if let Some(field) = followers.over_limit(session, &users, &chats, limits.presence_subscriptions) {
        let message = format!(
            "a session follows at most {} users and {} chats",
            limits.presence_subscriptions,
            follow::MAX_CHATS
        );
        return Err(Fault::new(ErrorCode::LimitExceeded, message).at_field(field));
    }
    for chat_id in &chats {
        membership::standing(state, &session.user, *chat_id).await?;
    }
    let known = known(state, &session.user, &users).await.map_err(store_fault)?;
    // The watch before the reading: who comes or goes in between is told of twice, never not at all.
    followers.follow(session, &known, &chats);
    state.presence.table.watch(&state.id, &known).await.map_err(presence_fault)?;
    let presence = access::read(state, &users, &known).await?;
    for user in &known {
        let is_online = presence.get(user).is_some_and(|presence| presence.status == PresenceStatus::Online);
        followers.begin(user, is_online);
    }
    Ok(presence)
}

/// Ends subscriptions; all of them where neither users nor chats are named. The gateway's watch runs out by itself:
/// withdrawing it could cross with the next subscription.
pub(crate) fn unsubscribe(state: &State, session: &Session, users: Option<Vec<UserId>>, chats: Option<Vec<ChatId>>) {
    let followers = &state.presence.followers;
    if users.is_none() && chats.is_none() {
        followers.drop_session(session);
    } else {
        followers.unfollow(session, &users.unwrap_or_default(), &chats.unwrap_or_default());
    }
}
