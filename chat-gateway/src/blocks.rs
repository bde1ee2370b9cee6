//! Who has blocked whom, remembered for a moment: each send into a DIRECT chat asks.
//!
//! A block holds at once on the gateways of both users, which are told, and on all others when what they remember has
//! aged out.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::id::UserId;
use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::state::State;
use crate::view::store_fault;

/// How long an answer is kept.
const KEPT_MS: u64 = 5_000;

/// How many are kept.
const CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16 * 1024 - 1);

/// Both users, the lower first.
type Pair = (UserId, UserId);

/// The remembered answers: whether one of the two blocks the other, and until when that is believed.
pub(crate) struct Blocks {
    known: Mutex<LruCache<Pair, (bool, u64), FxBuildHasher>>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::with_hasher(CAPACITY, FxBuildHasher)) }
    }
}

impl Blocks {
    fn lock(&self) -> MutexGuard<'_, LruCache<Pair, (bool, u64), FxBuildHasher>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, pair: &Pair, now_ms: u64) -> Option<bool> {
        self.lock().get(pair).filter(|(_, until_ms)| *until_ms > now_ms).map(|(is_blocked, _)| *is_blocked)
    }

    /// Forgets the answer about two users.
    pub(crate) fn forget(&self, a: &UserId, b: &UserId) {
        self.lock().pop(&pair(a, b));
    }
}

fn pair(a: &UserId, b: &UserId) -> Pair {
    if a <= b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

/// Refuses with `blocked` where one of the two has blocked the other.
pub(crate) async fn check(state: &State, a: &UserId, b: &UserId) -> Result<(), Fault> {
    let key = pair(a, b);
    let now_ms = state.uptime.millis();
    let is_blocked = if let Some(is_blocked) = state.blocks.get(&key, now_ms) {
        is_blocked
    } else {
        let pairs = [key.clone(), (key.1.clone(), key.0.clone())];
        let is_blocked = state.users.blocked(&pairs).await.map_err(store_fault)?.contains(&true);
        state.blocks.lock().put(key, (is_blocked, now_ms + KEPT_MS));
        is_blocked
    };
    if is_blocked { Err(Fault::of(ErrorCode::Blocked)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_both_and_ages() {
        let blocks = Blocks::default();
        let (ann, bob) = (UserId::new("ann").unwrap(), UserId::new("bob").unwrap());
        blocks.lock().put(pair(&bob, &ann), (true, 100));
        assert_eq!(blocks.get(&pair(&ann, &bob), 99), Some(true));
        assert_eq!(blocks.get(&pair(&ann, &bob), 100), None);
        blocks.forget(&ann, &bob);
        assert_eq!(blocks.get(&pair(&ann, &bob), 0), None);
    }
}
