//! Reading what a batch needs: chats that are not in memory, then what [`batch::needs`] names.

use std::sync::Arc;

use chat_core::clock::Time;
use chat_core::event::Fact;
use chat_core::id::ChatId;
use chat_core::message_log::Position;
use chat_core::message_store::{ChatState, MessageStore, Order, SeqRange, StoreError};
use futures_util::future::{try_join, try_join_all};

use super::batch::{self, Chats, Known, Needs, Positioned, RostersAt, Settled};
use super::chat_state::CachedChat;

/// Loads chats. The state cell is read first and names the roster, so the two always belong together.
pub async fn chats(
    store: &dyn MessageStore,
    missing: Vec<(ChatId, Time)>,
    chats: &mut Chats,
) -> Result<(), StoreError> {
    if missing.is_empty() {
        return Ok(());
    }
    let ids: Vec<ChatId> = missing.iter().map(|(chat_id, _)| *chat_id).collect();
    let states = store.states(&ids).await?;
    let loads = missing.into_iter().zip(states).map(|((chat_id, now), state)| chat(store, chat_id, state, now));
    chats.extend(try_join_all(loads).await?);
    Ok(())
}

async fn chat(
    store: &dyn MessageStore,
    chat_id: ChatId,
    state: Option<ChatState>,
    now: Time,
) -> Result<(ChatId, CachedChat), StoreError> {
    let Some(known) = state.filter(ChatState::exists) else {
        return Ok((chat_id, CachedChat::loaded(state, None, Arc::default(), now)));
    };
    let (header, roster) = try_join(store.header(chat_id), store.roster(chat_id, known.roster_at)).await?;
    let roster =
        roster.ok_or_else(|| StoreError::Corrupt(format!("chat {chat_id} has no roster at {}", known.roster_at)))?;
    Ok((chat_id, CachedChat::loaded(state, header, roster, now)))
}

/// Reads what a batch needs.
pub async fn known(store: &dyn MessageStore, needs: Needs, records: &[Positioned]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    if !needs.ids.is_empty() {
        let rows = store.ids(&needs.ids).await?;
        known.ids = needs.ids.into_iter().zip(rows).filter_map(|(key, row)| Some((key, row?))).collect();
    }
    let mut messages = needs.targets;
    if !needs.replayed.is_empty() {
        let rosters = try_join_all(needs.replayed.iter().map(|(chat_id, at)| rosters(store, *chat_id, *at)));
        known.rosters = rosters.await?.into_iter().collect();
        let replayed = records.iter().filter(|record| known.rosters.contains_key(&place(record)));
        messages.extend(replayed.filter_map(|record| made_by(record, &known)));
    }
    let reads = messages.into_iter().map(|(chat_id, seq)| async move {
        let range = SeqRange { after: seq.saturating_sub(1), upto: seq };
        let found = store.messages(chat_id, range, Order::OldestFirst, 1).await?;
        Ok::<_, StoreError>(found.into_iter().next().map(|message| ((chat_id, seq), message)))
    });
    known.messages = try_join_all(reads).await?.into_iter().flatten().collect();
    Ok(known)
}

/// Completes what is told of chats with the first seq that has not aged out, which no record decides.
pub async fn first_seqs(store: &dyn MessageStore, settled: &mut [Settled]) -> Result<(), StoreError> {
    if store.kept_since() == Time::default() {
        return Ok(());
    }
    for fact in settled.iter_mut().flat_map(|settled| &mut settled.facts) {
        if let Fact::Changed { chat, .. } = fact {
            chat.first_seq = store.first_seq(chat.chat_id, chat.head_seq).await?;
        }
    }
    Ok(())
}

fn place(record: &Positioned) -> (ChatId, Position) {
    (record.record.chat_id, record.position)
}

/// Returns the message that a replayed record made, as the row of its id tells.
fn made_by(record: &Positioned, known: &Known) -> Option<(ChatId, u64)> {
    let Positioned { position, record, .. } = record;
    let row = known.ids.get(&batch::key(record)).filter(|row| row.position == *position)?;
    (row.seq > 0 && row.rev == 0).then_some((record.chat_id, row.seq))
}

async fn rosters(
    store: &dyn MessageStore,
    chat_id: ChatId,
    at: Position,
) -> Result<((ChatId, Position), RostersAt), StoreError> {
    let (before, written) = try_join(store.roster_before(chat_id, at), store.roster(chat_id, at)).await?;
    Ok(((chat_id, at), RostersAt { before: before.unwrap_or_default(), written }))
}
