//! Who may write to which chat, remembered for a moment.
//!
//! A send asks the store whether its sender is a member. The answer is kept for [`KEPT_MS`], positive ones only, so
//! that a lively chat costs one read in ten seconds and not one a message. A stale entry lets a send of somebody just
//! removed into the log, where the sequencer refuses it in log order: nothing depends on this cache being right.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::MemberRow;
use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::state::State;
use crate::view::store_fault;

/// How long an answer is kept.
const KEPT_MS: u64 = 10_000;

/// How many are kept.
const CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16 * 1024 - 1);

/// What a member may need to know to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The other user of a DIRECT chat.
    pub(crate) peer: Option<UserId>,
}

/// The remembered answers.
pub(crate) struct Memberships {
    known: Mutex<LruCache<(ChatId, UserId), Known, FxBuildHasher>>,
}

struct Known {
    standing: Standing,
    until_ms: u64,
}

impl std::fmt::Debug for Memberships {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memberships").finish_non_exhaustive()
    }
}

impl Default for Memberships {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::with_hasher(CAPACITY, FxBuildHasher)) }
    }
}

impl Memberships {
    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<(ChatId, UserId), Known, FxBuildHasher>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &(ChatId, UserId), now_ms: u64) -> Option<Standing> {
        self.lock().get(key).filter(|known| known.until_ms > now_ms).map(|known| known.standing.clone())
    }

    fn put(&self, key: (ChatId, UserId), standing: Standing, now_ms: u64) {
        self.lock().put(key, Known { standing, until_ms: now_ms + KEPT_MS });
    }

    /// Forgets users whose place in a chat changed.
    pub(crate) fn forget(&self, chat_id: ChatId, users: &[UserId]) {
        let mut known = self.lock();
        for user in users {
            known.pop(&(chat_id, user.clone()));
        }
    }
}

/// Returns how the user stands in the chat: `chat_not_found` where they never were in it, `forbidden` where they no
/// longer are.
pub(crate) async fn standing(state: &State, user: &UserId, chat_id: ChatId) -> Result<Standing, Fault> {
    let key = (chat_id, user.clone());
    if let Some(standing) = state.memberships.get(&key, state.uptime.millis()) {
        return Ok(standing);
    }
    let (own, peer) = if chat_id.is_direct() {
        // The pair of a DIRECT chat travels with each send, and only its rows tell the other half.
        let rows = state.store.members(chat_id).await.map_err(store_fault)?;
        let (own, others): (Vec<MemberRow>, Vec<MemberRow>) = rows.into_iter().partition(|row| row.user == *user);
        (own.into_iter().next(), others.into_iter().next().map(|row| row.user))
    } else {
        (state.store.memberships(user, &[chat_id]).await.map_err(store_fault)?.pop().flatten(), None)
    };
    let own = own.ok_or_else(|| Fault::of(ErrorCode::ChatNotFound))?;
    if !own.is_present() {
        return Err(Fault::new(ErrorCode::Forbidden, "you are no longer a member of this chat"));
    }
    if chat_id.is_direct() && peer.is_none() {
        // Half of the pair's rows: the batch that begins the chat is being written.
        return Err(Fault::of(ErrorCode::Unavailable).retry_after(200));
    }
    let standing = Standing { peer };
    state.memberships.put(key, standing.clone(), state.uptime.millis());
    Ok(standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_a_while_and_forgotten_on_a_change() {
        let memberships = Memberships::default();
        let ann = UserId::new("ann").unwrap();
        let chat_id = ChatId(uuid::Uuid::from_u128(1));
        let key = (chat_id, ann.clone());
        memberships.put(key.clone(), Standing { peer: None }, 1_000);
        assert!(memberships.get(&key, 1_000 + KEPT_MS - 1).is_some());
        assert!(memberships.get(&key, 1_000 + KEPT_MS).is_none());
        memberships.forget(chat_id, &[ann]);
        assert!(memberships.get(&key, 1_000).is_none());
    }
}
