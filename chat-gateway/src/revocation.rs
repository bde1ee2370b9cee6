//! Revocation: tokens from before a user was signed out by an administrator are refused, and their sessions closed.
//!
//! A gateway remembers for [`KEPT_MS`] from when on it takes a user's tokens, and looks at the users of its sessions
//! every [`REVIEW_EVERY`]: so a revocation holds everywhere within 60 s, whoever made it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::codes::CloseCode;
use chat_core::id::UserId;
use chat_core::message_store::StoreError;
use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::auth::Identity;
use crate::rounds::Rounds;
use crate::state::State;

/// How long an answer is kept.
const KEPT_MS: u64 = 30_000;

/// How many are kept.
const CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(64 * 1024 - 1);

/// How often the users of all sessions are looked at.
const REVIEW_EVERY: Duration = Duration::from_secs(20);

/// Users a call.
const BATCH: usize = 512;

/// What is remembered of users: from when on their tokens are taken, and until when that is believed.
pub(crate) struct Revocations {
    known: Mutex<LruCache<UserId, (Option<Time>, u64), FxBuildHasher>>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::with_hasher(CAPACITY, FxBuildHasher)) }
    }
}

impl Revocations {
    fn lock(&self) -> MutexGuard<'_, LruCache<UserId, (Option<Time>, u64), FxBuildHasher>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, user: &UserId, now_ms: u64) -> Option<(Option<Time>, u64)> {
        self.lock().get(user).copied().filter(|(_, until_ms)| *until_ms > now_ms)
    }

    /// Forgets what is remembered of a user.
    fn forget(&self, user: &UserId) {
        self.lock().pop(user);
    }
}

/// Returns whether a token issued then is from before `not_before`. One that does not say when is.
fn is_before(issued_at: Option<Time>, not_before: Option<Time>) -> bool {
    not_before.is_some_and(|not_before| issued_at.is_none_or(|issued_at| issued_at < not_before))
}

/// Returns whether a good token was revoked.
pub(crate) async fn is_revoked(state: &State, identity: &Identity) -> Result<bool, StoreError> {
    let now_ms = state.uptime.millis();
    let not_before = if let Some((not_before, _)) = state.revocations.get(&identity.user, now_ms) {
        not_before
    } else {
        let row = state.users.users(std::slice::from_ref(&identity.user)).await?.pop().unwrap_or_default();
        state.revocations.lock().put(identity.user.clone(), (row.not_before, now_ms + KEPT_MS));
        row.not_before
    };
    Ok(is_before(identity.issued_at, not_before))
}

/// Signs a user out here at once, after the revocation was written.
pub(crate) fn apply(state: &State, user: &UserId, not_before: Time) {
    state.revocations.forget(user);
    sign_out(state, user, not_before);
}

/// Closes the sessions here of a user who is signed out.
fn sign_out(state: &State, user: &UserId, not_before: Time) {
    for session in state.sessions.open().of(user) {
        if is_before(session.issued_at(), Some(not_before)) {
            session.close(CloseCode::Revoked);
        }
    }
}

/// Looks at the users of all sessions until the gateway stops.
pub(crate) async fn run(state: Arc<State>) {
    let mut rounds = Rounds::every(REVIEW_EVERY, &state.shutdown);
    while rounds.next().await {
        for batch in state.sessions.users().chunks(BATCH) {
            match state.users.users(batch).await {
                Ok(rows) => {
                    let revoked = batch.iter().zip(rows).filter_map(|(user, row)| Some((user, row.not_before?)));
                    revoked.for_each(|(user, not_before)| sign_out(&state, user, not_before));
                }
                Err(error) => tracing::warn!(%error, users = batch.len(), "failed to look for revocations"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_a_time_is_older_than_any_revocation() {
        let at = |millis| Some(Time::from_millis(millis));
        for (issued_at, not_before, expected) in [
            (at(5), None, false),
            (None, None, false),
            (None, at(5), true),
            (at(4), at(5), true),
            (at(5), at(5), false),
        ] {
            assert_eq!(is_before(issued_at, not_before), expected, "{issued_at:?} {not_before:?}");
        }
    }
}
