//! Resolving a gap: which chats of which sessions are behind.
//!
//! Everything the relay tells of is in the store before it is told. So one look at the head of each distinct chat of
//! the sessions finds what they missed; each session that is behind fills itself. The looks are paced, because a gap
//! is often one of many gateways' at once.

use std::sync::Arc;
use std::time::Duration;

use chat_core::id::ChatId;
use chat_core::message_store::ChatState;
use rustc_hash::FxHashMap;

use crate::session::{Session, fill};
use crate::state::State;

pub(crate) mod unknown;

/// Chats a read.
const BATCH: usize = 256;

/// Pause between reads.
const PACE: Duration = Duration::from_millis(5);

/// Pauses after a failed read.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// Resolves gaps as the dispatcher notes them, until the gateway stops. Gaps that come during one are the next.
pub(crate) async fn run(state: Arc<State>) {
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = state.gap.notified() => {}
        }
        let sessions = state.sessions.all();
        tracing::info!(sessions = sessions.len(), "a gap: sessions catch up");
        resolve(&state, sessions).await;
    }
}

/// Lets each of these sessions that is behind fill itself.
pub(crate) async fn resolve(state: &Arc<State>, sessions: Vec<Arc<Session>>) {
    let mut by_chat: FxHashMap<ChatId, Vec<Arc<Session>>> = FxHashMap::default();
    for session in &sessions {
        let chats: Vec<ChatId> = session.with_machine(|machine| machine.chats().collect());
        for chat_id in chats {
            by_chat.entry(chat_id).or_default().push(Arc::clone(session));
        }
    }
    let chats: Vec<ChatId> = by_chat.keys().copied().collect();
    for batch in chats.chunks(BATCH) {
        let Some(heads) = read(state, batch).await else { return };
        for (chat_id, head) in batch.iter().zip(heads) {
            let (Some(head), Some(sessions)) = (head, by_chat.get(chat_id)) else { continue };
            for session in sessions {
                if session.see_head(*chat_id, head.seq, head.rev) {
                    fill::start(state, session);
                }
            }
        }
        tokio::time::sleep(PACE).await;
    }
    unknown::resolve(state, sessions).await;
}

/// Reads heads until the store answers, or (`None`) until the gateway stops.
async fn read(state: &State, chats: &[ChatId]) -> Option<Vec<Option<ChatState>>> {
    let mut pause = RETRY_FIRST;
    loop {
        match state.store.states(chats).await {
            Ok(heads) => return Some(heads),
            Err(error) => tracing::warn!(%error, "failed to read heads"),
        }
        tokio::select! {
            () = state.shutdown.cancelled() => return None,
            () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
        }
        pause = (pause * 2).min(RETRY_LAST);
    }
}
