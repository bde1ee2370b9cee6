//! Typing: from one member to those who have the chat on screen.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Push};
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::ChatState;
use chat_core::relay::frames::{self, Addressed};
use lru::LruCache;
use rustc_hash::FxBuildHasher;

use crate::blocks;
use crate::membership::{self, Standing};
use crate::rate::{Gcra, KeyedRate, TooSoon};
use crate::state::State;
use crate::view::store_fault;

/// Chats with more members hear nothing of typing: it would grow with the square of their number.
const MAX_MEMBERS: usize = 32;

/// How long the members of a chat are remembered.
const KEPT_MS: u64 = 10_000;

/// How many chats are.
const CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4 * 1024 - 1);

/// Typing on one gateway.
pub(crate) struct Typing {
    pub(crate) rate: KeyedRate<(UserId, ChatId)>,
    audiences: Mutex<LruCache<ChatId, Audience, FxBuildHasher>>,
}

/// The members of a chat, none where it has too many.
#[derive(Clone)]
struct Audience {
    members: Arc<[UserId]>,
    until_ms: u64,
}

impl Typing {
    /// Makes it for so many frames a minute, per user and chat.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            rate: KeyedRate::new(Gcra::per_minute(per_minute)),
            audiences: Mutex::new(LruCache::with_hasher(CAPACITY, FxBuildHasher)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<ChatId, Audience, FxBuildHasher>> {
        self.audiences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the members of a chat that changed.
    pub(crate) fn forget(&self, chat_id: ChatId) {
        self.lock().pop(&chat_id);
    }
}

/// Checks a typing frame; returns what is to be relayed, `None` where nobody hears of it.
pub(crate) async fn check(
    state: &State,
    user: &UserId,
    chat_id: ChatId,
    active: bool,
) -> Result<Option<Addressed>, Fault> {
    let Standing { peer } = membership::standing(state, user, chat_id).await?;
    let taken = state.typing.rate.take((user.clone(), chat_id), state.uptime.nanos());
    taken.map_err(|TooSoon { wait_ms }| Fault::of(ErrorCode::RateLimited).retry_after(wait_ms))?;
    let recipients: Vec<UserId> = match peer {
        Some(peer) => {
            blocks::check(state, user, &peer).await?;
            vec![peer]
        }
        None => audience(state, chat_id).await?.iter().filter(|member| *member != user).cloned().collect(),
    };
    let push = Push::Typing { chat_id, user: user.clone(), active };
    Ok((!recipients.is_empty()).then_some(Addressed { push, recipients }))
}

/// Relays it.
pub(crate) async fn relay(state: &State, frame: Addressed) {
    frames::relay(&*state.relay, vec![frame]).await;
}

async fn audience(state: &State, chat_id: ChatId) -> Result<Arc<[UserId]>, Fault> {
    let now_ms = state.uptime.millis();
    let known = state.typing.lock().get(&chat_id).filter(|audience| audience.until_ms > now_ms).cloned();
    if let Some(audience) = known {
        return Ok(audience.members);
    }
    let head = state.store.states(&[chat_id]).await.map_err(store_fault)?.pop().flatten().filter(ChatState::exists);
    let head = head.ok_or_else(|| Fault::of(ErrorCode::ChatNotFound))?;
    let roster = state.store.roster(chat_id, head.roster_at).await.map_err(store_fault)?;
    let members: Arc<[UserId]> = match roster {
        Some(roster) if roster.len() <= MAX_MEMBERS => roster.users().cloned().collect(),
        _ => Arc::default(),
    };
    let audience = Audience { members: Arc::clone(&members), until_ms: now_ms + KEPT_MS };
    state.typing.lock().put(chat_id, audience);
    Ok(members)
}
