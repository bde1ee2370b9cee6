//! Reading chats: state cells first, then members where the roster is another, then recent messages.

use chat_core::id::ChatId;
use chat_core::message_store::{ChatState, MemberRow, MessageStore, Order, SeqRange, StoreError};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustc_hash::FxHashMap;

use super::chat::{HotChat, RECENT_SEQS};
use super::held::Held;

/// Reads that are on their way at once.
const CONCURRENT_READS: usize = 32;

/// Brings chats up to date with their state cells; those that do not exist are left out. What is held goes on top of
/// what was read.
pub(super) async fn refresh(
    store: &dyn MessageStore,
    ids: &[ChatId],
    chats: &mut FxHashMap<ChatId, HotChat>,
    held: Option<&Held>,
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut outdated: Vec<(ChatId, ChatState)> = Vec::new();
    for (chat_id, state) in ids.iter().zip(store.states(ids).await?) {
        let Some(state) = state.filter(ChatState::exists) else {
            chats.remove(chat_id);
            continue;
        };
        match chats.get_mut(chat_id) {
            Some(chat) if chat.has_roster_of(&state) => chat.raise_head(state.seq),
            _ => outdated.push((*chat_id, state)),
        }
    }
    let reads = outdated.into_iter().map(|(chat_id, state)| async move {
        Ok::<(ChatId, ChatState, Vec<MemberRow>), StoreError>((chat_id, state, store.members(chat_id).await?))
    });
    let read: Vec<_> = stream::iter(reads).buffer_unordered(CONCURRENT_READS).try_collect().await?;
    for (chat_id, state, members) in read {
        let mut chat = HotChat::new(chat_id, &state, members);
        let held: Vec<_> = chat.users().filter_map(|user| held?.of(chat_id, user)).cloned().collect();
        for held in &held {
            chat.apply(held);
        }
        if let Some(older) = chats.remove(&chat_id) {
            chat.keep_recent_of(older);
        }
        chats.insert(chat_id, chat);
    }
    Ok(())
}

/// Brings the recent messages of groups up to their heads.
pub(super) async fn advance(
    store: &dyn MessageStore,
    chats: &mut FxHashMap<ChatId, HotChat>,
) -> Result<(), StoreError> {
    let behind = chats.iter().filter(|(_, chat)| !chat.is_direct() && chat.recent_upto() < chat.head());
    let ranges = behind.map(|(chat_id, chat)| {
        let upto = chat.head();
        (*chat_id, SeqRange { after: chat.recent_upto().max(upto.saturating_sub(RECENT_SEQS)), upto })
    });
    let reads = ranges.collect::<Vec<_>>().into_iter().map(|(chat_id, range)| async move {
        let limit = usize::try_from(RECENT_SEQS).unwrap_or(usize::MAX);
        Ok::<_, StoreError>((chat_id, range.upto, store.messages(chat_id, range, Order::OldestFirst, limit).await?))
    });
    let read: Vec<_> = stream::iter(reads).buffer_unordered(CONCURRENT_READS).try_collect().await?;
    for (chat_id, upto, messages) in read {
        if let Some(chat) = chats.get_mut(&chat_id) {
            chat.take_messages(messages, upto);
        }
    }
    Ok(())
}
