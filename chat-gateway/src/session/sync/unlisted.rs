//! Chats with news that no part of a sync named: those begun while the client was away, and those it forgot.

use chat_core::clock::Time;
use chat_core::frame::server::Unlisted;
use chat_core::id::ChatId;
use chat_core::message_store::{InboxRow, StoreError};
use rustc_hash::FxHashSet;

use super::inbox::{self, may_be_active};
use crate::session::Session;
use crate::state::State;

/// How many are told, newest first. A client that missed more reads `GET /v1/chats`.
const MAX_TOLD: usize = 200;

/// Heads looked at to find them.
const MAX_LOOKED_AT: usize = 1_000;

/// Finds them, and sets the session's base in each: the client knows their heads from here on.
pub(super) async fn read(
    state: &State,
    session: &Session,
    mut rows: Vec<InboxRow>,
    listed: &FxHashSet<ChatId>,
    since: Option<Time>,
) -> Result<Vec<Unlisted>, StoreError> {
    let since = since.map(inbox::with_margin).unwrap_or_default();
    rows.retain(|row| row.is_present() && may_be_active(row, since) && !listed.contains(&row.chat_id));
    rows.sort_by_key(|row| std::cmp::Reverse(row.active_slot));
    rows.truncate(MAX_LOOKED_AT);
    let chats: Vec<ChatId> = rows.into_iter().map(|row| row.chat_id).collect();
    let mut heads = Vec::with_capacity(chats.len());
    for batch in chats.chunks(super::READ_CHATS) {
        heads.extend(state.store.states(batch).await?);
    }
    let mut active: Vec<_> = chats
        .into_iter()
        .zip(heads)
        .filter_map(|(chat_id, head)| head.map(|head| (chat_id, head)))
        .filter(|(_, head)| head.exists() && head.head_at >= since)
        .collect();
    active.sort_by_key(|(_, head)| std::cmp::Reverse(head.head_at));
    active.truncate(MAX_TOLD);
    session.with_machine(|machine| {
        for (chat_id, head) in &active {
            machine.begin(*chat_id, head.seq, head.rev);
        }
    });
    let told = |(chat_id, head): (ChatId, chat_core::message_store::ChatState)| Unlisted {
        chat_id,
        head_seq: head.seq,
        head_rev: head.rev,
    };
    Ok(active.into_iter().map(told).collect())
}
