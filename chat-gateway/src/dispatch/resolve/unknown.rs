//! The second half of resolving a gap: chats that a session has no cursor for, because their first message since the
//! session began was among the lost ones. The user's inbox names them; what came since then is read.

use std::sync::Arc;

use chat_core::clock::Time;
use chat_core::id::{ChatId, Seq, UserId};
use chat_core::message_store::{Order, SeqRange, StoreError};
use futures_util::StreamExt;
use rustc_hash::FxHashMap;

use crate::session::sync::may_be_active;
use crate::session::{Session, fill};
use crate::state::State;
use crate::view::View;

/// Users looked at in parallel.
const USERS_AT_ONCE: usize = 16;

/// Chats looked at for one user.
const MAX_CHATS: usize = 256;

/// Messages looked back for the session's beginning, in pages. A client that missed more in a chat it did not know
/// syncs it.
const PAGE: usize = 100;
const PAGES: usize = 10;

/// How far the log's clock may be behind the gateway's. Messages of this time come again, and are ignored.
const CLOCK_MARGIN_MS: u64 = 5_000;

/// Finds such chats, sets their base, and starts the fillers.
pub(super) async fn resolve(state: &Arc<State>, sessions: Vec<Arc<Session>>) {
    let mut by_user: FxHashMap<UserId, Vec<Arc<Session>>> = FxHashMap::default();
    for session in sessions {
        by_user.entry(session.user.clone()).or_default().push(session);
    }
    futures_util::stream::iter(by_user)
        .for_each_concurrent(USERS_AT_ONCE, |(user, sessions)| async move {
            if let Err(error) = resolve_user(state, &user, &sessions).await {
                // Not tried again: the next sync, or the next message in such a chat, closes it too.
                tracing::warn!(%user, %error, "failed to look for unknown chats");
            }
        })
        .await;
}

async fn resolve_user(state: &Arc<State>, user: &UserId, sessions: &[Arc<Session>]) -> Result<(), StoreError> {
    let Some(oldest) = sessions.iter().map(|session| session.opened_at).min() else { return Ok(()) };
    let chats = active(state, user, oldest, |chat_id| {
        sessions.iter().all(|session| session.with_machine(|machine| machine.knows(chat_id)))
    });
    place(state, user, sessions, &chats.await?, oldest).await
}

/// Returns the user's chats that may have been active since a time, those that are known left out.
pub(crate) async fn active(
    state: &State,
    user: &UserId,
    since: Time,
    is_known: impl Fn(ChatId) -> bool,
) -> Result<Vec<ChatId>, StoreError> {
    let since = with_margin(since);
    let mut rows = state.store.inbox(user).await?;
    rows.retain(|row| row.is_present() && may_be_active(row, since) && !is_known(row.chat_id));
    rows.sort_by_key(|row| std::cmp::Reverse(row.active_slot));
    rows.truncate(MAX_CHATS);
    Ok(rows.into_iter().map(|row| row.chat_id).collect())
}

/// Sets the base of those of these chats that were active since a time, and starts the fillers.
pub(crate) async fn place(
    state: &Arc<State>,
    user: &UserId,
    sessions: &[Arc<Session>],
    chats: &[ChatId],
    since: Time,
) -> Result<(), StoreError> {
    let since = with_margin(since);
    let heads = state.store.states(chats).await?;
    for (chat_id, head) in chats.iter().copied().zip(heads) {
        let Some(head) = head.filter(|head| head.exists() && head.head_at >= since) else { continue };
        let Some(base) = base(state, user, chat_id, since).await? else { continue };
        for session in sessions {
            session.with_machine(|machine| machine.begin(chat_id, base, head.rev));
            if session.see_head(chat_id, head.seq, head.rev) {
                fill::start(state, session);
            }
        }
    }
    Ok(())
}

fn with_margin(since: Time) -> Time {
    Time::from_millis(since.millis().saturating_sub(CLOCK_MARGIN_MS))
}

/// Returns the seq of the newest message before `since`.
async fn base(state: &State, user: &UserId, chat_id: ChatId, since: Time) -> Result<Option<Seq>, StoreError> {
    let Some(view) = View::read(&*state.store, user, chat_id).await? else { return Ok(None) };
    let mut upto = view.upto();
    for _ in 0..PAGES {
        let range = SeqRange { after: 0, upto };
        let rows = view.messages(&*state.store, range, Order::NewestFirst, PAGE).await?;
        if let Some(before) = rows.iter().find(|row| row.created_at < since) {
            return Ok(Some(before.seq));
        }
        let Some(oldest) = rows.last() else { break };
        upto = oldest.seq - 1;
    }
    Ok(Some(upto.max(view.after())))
}
