//! The receipts of a synced chat: the peer's cursors of a DIRECT one, of a group the newest own message's counts.

use chat_core::frame::{ContentType, Message, Push};
use chat_core::message_store::{MemberRow, Order, SeqRange, StoreError};
use chat_core::receipt::counts;

use crate::state::State;
use crate::view::View;

/// How far back the newest own message is looked for, as far as senders hear of a group's messages at all.
const RECENT: u64 = 100;

/// Age beyond which a sender no longer hears of a message.
const OLDEST_MS: u64 = 24 * 3_600_000;

/// Makes the frame, where there is something to tell.
pub(super) async fn newest(state: &State, view: &View) -> Result<Option<Push>, StoreError> {
    let user = &view.member.user;
    let oldest = state.clock.now().millis().saturating_sub(OLDEST_MS);
    if view.chat_id.is_direct() {
        let members = state.store.members(view.chat_id).await?;
        return Ok(members.into_iter().find(|row| row.user != *user).map(|peer| of_peer(view, peer)));
    }
    if view.head.head_at.millis() < oldest {
        return Ok(None);
    }
    let head = view.head.seq;
    let range = SeqRange { after: head.saturating_sub(RECENT), upto: head };
    let limit = usize::try_from(RECENT).unwrap_or(usize::MAX);
    let messages = view.messages(&*state.store, range, Order::NewestFirst, limit).await?;
    let is_own = |message: &&Message| message.sender == *user && message.content_type != ContentType::System;
    let Some(own) = messages.iter().find(is_own).filter(|own| own.created_at.millis() >= oldest) else {
        return Ok(None);
    };
    let members = state.store.members(view.chat_id).await?;
    let counts = counts(&members, user, own.seq);
    let (delivered, read, of) = (counts.delivered, counts.read, counts.of);
    Ok(Some(Push::ReceiptSummary { chat_id: view.chat_id, seq: own.seq, delivered, read, of }))
}

fn of_peer(view: &View, peer: MemberRow) -> Push {
    let (delivered, read) = (peer.delivered.min(view.head.seq), peer.read.min(view.head.seq));
    Push::Receipt { chat_id: view.chat_id, user: peer.user, delivered: delivered.max(read), read }
}
