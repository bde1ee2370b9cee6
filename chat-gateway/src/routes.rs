//! Routes: which users this gateway holds, as the relay knows it.
//!
//! A session registers its user before it reads what was missed, so that a message is in the read or in the live
//! stream. Registrations of many sessions at once (a reconnect storm) go out in batches; all are refreshed every
//! [`REFRESH_EVERY`]. A refresh that finds no route, or fails, means that messages may have passed by: the sessions of
//! that user look at the heads of their chats.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::id::UserId;
use chat_core::relay::Registered;
use rustc_hash::FxHashSet;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::dispatch::resolve::resolve;
use crate::state::State;

/// How often routes are refreshed; they live three times as long.
const REFRESH_EVERY: Duration = Duration::from_secs(10);

/// Users a call.
const BATCH: usize = 512;

/// How long a session waits for its route. Without it the session begins all the same: the refresh registers it, and
/// syncs it then.
const WAIT_AT_MOST: Duration = Duration::from_secs(2);

/// Pause after a failed call.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Users on their way to the relay.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    register: Vec<(UserId, oneshot::Sender<()>)>,
    leave: FxHashSet<UserId>,
    refresh: bool,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a user, and waits until the relay knows the route or for two seconds.
    pub(crate) async fn register(&self, user: &UserId) {
        let (sender, registered) = oneshot::channel();
        self.lock().register.push((user.clone(), sender));
        self.wake.notify_one();
        if !matches!(tokio::time::timeout(WAIT_AT_MOST, registered).await, Ok(Ok(()))) {
            tracing::debug!(%user, "the session begins without a route");
        }
    }

    /// Refreshes all routes now.
    pub(crate) fn refresh(&self) {
        self.lock().refresh = true;
        self.wake.notify_one();
    }

    /// Drops the route of a user whose last session ended.
    pub(crate) fn leave(&self, user: &UserId) {
        self.lock().leave.insert(user.clone());
        self.wake.notify_one();
    }
}

/// Keeps the routes until the gateway stops, then drops them all.
pub(crate) async fn run(state: Arc<State>) {
    let mut refresh_at = Instant::now() + REFRESH_EVERY;
    // Users whose registration failed: the next success is a gap for them, whatever the relay says.
    let mut uncertain: FxHashSet<UserId> = FxHashSet::default();
    loop {
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => break,
            () = state.routes.wake.notified() => {}
            () = tokio::time::sleep_until(refresh_at) => {}
        }
        let Pending { register, leave, refresh: is_asked } = std::mem::take(&mut *state.routes.lock());
        register_all(&state, register, &mut uncertain).await;
        if is_asked || refresh_at <= Instant::now() {
            refresh_at = Instant::now() + REFRESH_EVERY;
            refresh(&state, state.sessions.users(), &mut uncertain).await;
        }
        unregister(&state, leave).await;
        if !uncertain.is_empty() {
            tokio::time::sleep(RETRY_AFTER).await;
            let again = uncertain.iter().cloned().collect();
            refresh(&state, again, &mut uncertain).await;
            refresh_at = refresh_at.min(Instant::now() + RETRY_AFTER);
        }
    }
    unregister(&state, state.sessions.users().into_iter().collect()).await;
}

async fn register_all(
    state: &Arc<State>,
    mut register: Vec<(UserId, oneshot::Sender<()>)>,
    uncertain: &mut FxHashSet<UserId>,
) {
    let mut missed: Vec<UserId> = Vec::new();
    while !register.is_empty() {
        let batch: Vec<_> = register.drain(..register.len().min(BATCH)).collect();
        let users: Vec<UserId> = batch.iter().map(|(user, _)| user.clone()).collect();
        match state.relay.register(&state.id, &users).await {
            Ok(registered) => {
                let new = users.into_iter().zip(registered).filter(|(_, registered)| *registered == Registered::New);
                missed.extend(new.map(|(user, _)| user));
                for (_, sender) in batch {
                    let is_heard = sender.send(()).is_ok();
                    tracing::trace!(is_heard, "route registered");
                }
            }
            Err(error) => {
                tracing::warn!(%error, users = users.len(), "failed to register routes");
                uncertain.extend(users);
            }
        }
    }
    // That there was no route is as it should be for a first session. One beside it went without.
    let directory = state.sessions.open();
    missed.retain(|user| directory.of(user).len() > 1);
    drop(directory);
    catch_up(state, &missed);
}

async fn refresh(state: &Arc<State>, users: Vec<UserId>, uncertain: &mut FxHashSet<UserId>) {
    let mut missed: Vec<UserId> = Vec::new();
    for batch in users.chunks(BATCH) {
        match state.relay.register(&state.id, batch).await {
            Ok(registered) => {
                for (user, registered) in batch.iter().zip(registered) {
                    let was_uncertain = uncertain.remove(user);
                    if was_uncertain || registered == Registered::New {
                        missed.push(user.clone());
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, users = batch.len(), "failed to refresh routes");
                uncertain.extend(batch.iter().cloned());
            }
        }
        // Between batches others get a turn: 18 000 users are 36 calls.
        tokio::task::yield_now().await;
    }
    uncertain.retain(|user| !state.sessions.open().of(user).is_empty());
    catch_up(state, &missed);
}

/// Lets the sessions of users whose route was gone look at what they missed.
fn catch_up(state: &Arc<State>, users: &[UserId]) {
    if users.is_empty() {
        return;
    }
    let sessions: Vec<_> = {
        let directory = state.sessions.open();
        users.iter().flat_map(|user| directory.of(user).iter().cloned()).collect()
    };
    tracing::info!(users = users.len(), sessions = sessions.len(), "routes were lost; their sessions catch up");
    // Beside the routes: a store that does not answer must not keep them from being refreshed.
    let state_of_resolve = Arc::clone(state);
    state.tasks.spawn(async move { resolve(&state_of_resolve, sessions).await });
}

async fn unregister(state: &State, users: FxHashSet<UserId>) {
    let gone: Vec<UserId> = {
        let directory = state.sessions.open();
        let is_stopping = state.shutdown.is_cancelled();
        // Who came back in the meantime has registered again, or will right after this.
        users.into_iter().filter(|user| is_stopping || directory.of(user).is_empty()).collect()
    };
    for batch in gone.chunks(BATCH) {
        if let Err(error) = state.relay.unregister(&state.id, batch).await {
            tracing::debug!(%error, "failed to drop routes; they expire by themselves");
        }
    }
}
