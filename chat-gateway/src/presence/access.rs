//! Who may know whether a user is there: whoever shares a chat with them now, unless one of the two blocks the other.

use std::collections::BTreeMap;

use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Presence, PresenceStatus};
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::{InboxRow, StoreError};
use chat_core::presence::PresenceError;
use futures_util::{StreamExt, TryStreamExt, stream};
use rustc_hash::FxHashSet;

use crate::state::State;
use crate::view::store_fault;

/// Chats a read.
const READ_CHATS: usize = 256;

/// Inboxes that are read at once.
const CONCURRENT_READS: usize = 32;

const UNKNOWN: Presence = Presence { status: PresenceStatus::Unknown, last_seen_at: None };

/// Returns those of the users whose presence the viewer may know.
pub(super) async fn known(state: &State, viewer: &UserId, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
    let (mut known, mut others) = (Vec::new(), Vec::new());
    // A DIRECT chat is one row of the viewer's own; only for those who have none, inboxes are compared.
    for batch in users.chunks(READ_CHATS) {
        let chats: Vec<ChatId> = batch.iter().map(|user| ChatId::direct(viewer, user)).collect();
        let rows = state.store.memberships(viewer, &chats).await?;
        for (user, row) in batch.iter().zip(rows) {
            if user == viewer || row.is_some() { known.push(user.clone()) } else { others.push(user.clone()) }
        }
    }
    if !others.is_empty() {
        let own: FxHashSet<ChatId> = chats_of(state, viewer).await?.collect();
        let own = &own;
        let shared = stream::iter(others).map(|user| async move {
            let is_shared = chats_of(state, &user).await?.any(|chat_id| own.contains(&chat_id));
            Ok::<_, StoreError>(is_shared.then_some(user))
        });
        let shared: Vec<Option<UserId>> = shared.buffered(CONCURRENT_READS).try_collect().await?;
        known.extend(shared.into_iter().flatten());
    }
    without_blocks(state, viewer, known).await
}

async fn chats_of(state: &State, user: &UserId) -> Result<impl Iterator<Item = ChatId> + use<>, StoreError> {
    let rows = state.store.inbox(user).await?;
    Ok(rows.into_iter().filter(InboxRow::is_present).map(|row| row.chat_id).filter(|chat_id| !chat_id.is_direct()))
}

async fn without_blocks(state: &State, viewer: &UserId, users: Vec<UserId>) -> Result<Vec<UserId>, StoreError> {
    if users.is_empty() {
        return Ok(users);
    }
    let pairs = |user: &UserId| [(viewer.clone(), user.clone()), (user.clone(), viewer.clone())];
    let pairs: Vec<_> = users.iter().flat_map(pairs).collect();
    let blocked = state.users.blocked(&pairs).await?;
    let free = users.into_iter().zip(blocked.chunks(2)).filter(|(_, blocked)| !blocked.contains(&true));
    Ok(free.map(|(user, _)| user).collect())
}

/// Returns the presence of each user, as far as the viewer may know it.
pub(crate) async fn look(
    state: &State,
    viewer: &UserId,
    users: &[UserId],
) -> Result<BTreeMap<UserId, Presence>, Fault> {
    let known = known(state, viewer, users).await.map_err(store_fault)?;
    read(state, users, &known).await
}

/// Reads the presence of the known ones of these users.
pub(super) async fn read(
    state: &State,
    users: &[UserId],
    known: &[UserId],
) -> Result<BTreeMap<UserId, Presence>, Fault> {
    let mut presence: BTreeMap<UserId, Presence> = users.iter().map(|user| (user.clone(), UNKNOWN)).collect();
    let online = state.presence.table.online(known).await.map_err(presence_fault)?;
    let mut offline = Vec::new();
    for (user, is_online) in known.iter().zip(online) {
        if is_online {
            presence.insert(user.clone(), Presence { status: PresenceStatus::Online, last_seen_at: None });
        } else {
            offline.push(user.clone());
        }
    }
    if !offline.is_empty() {
        let rows = state.users.users(&offline).await.map_err(store_fault)?;
        for (user, row) in offline.into_iter().zip(rows) {
            let last_seen_at = row.visible_last_seen();
            presence.insert(user, Presence { status: PresenceStatus::Offline, last_seen_at });
        }
    }
    Ok(presence)
}

/// Turns a failure of the presence table into what a client is told.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(crate) fn presence_fault(error: PresenceError) -> Fault {
    tracing::warn!(%error, "failed to read presence");
    Fault::of(ErrorCode::Unavailable).retry_after(1_000)
}
