//! Telling the gateways that watch a user: came, went, no longer to be known.

use std::sync::Arc;

use chat_core::frame::{PresenceStatus, Push};
use chat_core::id::{GatewayId, UserId};
use chat_core::presence::PresenceError;
use chat_core::relay::Item;
use chat_core::relay::frames::{self, Addressed};
use chat_core::user_store::{UserRow, UserWrite};
use futures_util::{StreamExt, stream};
use rustc_hash::FxHashMap;

use crate::state::State;

/// Look-ups that are on their way at once.
const CONCURRENT_READS: usize = 64;

/// Tells the watchers of users that they came.
pub(super) async fn came(state: &State, users: Vec<UserId>) {
    let online = |user| Push::Presence { user, status: PresenceStatus::Online, last_seen_at: None };
    tell(state, users.into_iter().map(online).collect()).await;
}

/// Takes users offline whose last session here is over, unless they are somewhere else.
pub(super) async fn went(state: &State, users: Vec<UserId>) {
    let left = stream::iter(users).map(|user| async move {
        match leave(state, &user).await {
            Ok(push) => push,
            Err(error) => {
                // The mark runs out by itself, and the sweep tells of it then.
                tracing::warn!(%error, %user, "failed to take a user offline");
                None
            }
        }
    });
    let pushes: Vec<Option<Push>> = left.buffer_unordered(CONCURRENT_READS).collect().await;
    tell(state, pushes.into_iter().flatten().collect()).await;
}

async fn leave(state: &State, user: &UserId) -> Result<Option<Push>, PresenceError> {
    if is_here(state, user).await? {
        return Ok(None);
    }
    // Before the clearing: nothing is written about a user whom nobody sees any more, who may be being erased.
    let now = state.clock.now();
    if let Err(error) = state.users.write(vec![UserWrite::Seen { user: user.clone(), at: now }]).await {
        tracing::warn!(%error, %user, "failed to write when a user was last seen");
    }
    if !state.presence.table.clear(user).await? {
        return Ok(None);
    }
    if is_here(state, user).await? {
        // Somebody came between the look and the clearing: nobody was told, so nothing happened.
        state.presence.table.touch(std::slice::from_ref(user)).await?;
        return Ok(None);
    }
    let row = state.users.users(std::slice::from_ref(user)).await.ok().and_then(|mut rows| rows.pop());
    // Hidden where it cannot be read whether it may be shown.
    let is_visible = row.is_some_and(|row: UserRow| row.last_seen_visible);
    let last_seen_at = is_visible.then_some(now);
    Ok(Some(Push::Presence { user: user.clone(), status: PresenceStatus::Offline, last_seen_at }))
}

/// Returns whether the user has a session here or a route elsewhere. The own route goes a moment after the session.
async fn is_here(state: &State, user: &UserId) -> Result<bool, PresenceError> {
    if !state.sessions.open().of(user).is_empty() {
        return Ok(true);
    }
    let routes = state.relay.routes(std::slice::from_ref(user)).await;
    let routes = routes.map_err(|error| PresenceError(error.to_string()))?;
    Ok(routes.into_iter().flatten().any(|gateway| gateway != state.id))
}

async fn tell(state: &State, pushes: Vec<Push>) {
    let lookups = pushes.into_iter().filter_map(|push| match &push {
        Push::Presence { user, .. } => Some((user.clone(), push)),
        _ => None,
    });
    let watched = stream::iter(lookups).map(|(user, push)| async move {
        let gateways = state.presence.table.watchers(&user).await.unwrap_or_else(|error| {
            tracing::warn!(%error, %user, "failed to look up who watches a user");
            Vec::new()
        });
        (Arc::new(push), gateways)
    });
    let watched: Vec<(Arc<Push>, Vec<GatewayId>)> = watched.buffer_unordered(CONCURRENT_READS).collect().await;
    let mut envelopes: FxHashMap<GatewayId, Vec<Item>> = FxHashMap::default();
    for (push, gateways) in watched {
        for gateway in gateways {
            let item = Item::Frame { push: Arc::clone(&push), recipients: Arc::default() };
            envelopes.entry(gateway).or_default().push(item);
        }
    }
    frames::publish(&*state.relay, envelopes).await;
}

/// Tells the gateways of two users that neither may know of the other any more. A gateway that does not hear it goes
/// on until its session subscribes again.
pub(crate) async fn part(state: &State, a: &UserId, b: &UserId) {
    let unknown = |user: &UserId, to: &UserId| Addressed {
        push: Push::Presence { user: user.clone(), status: PresenceStatus::Unknown, last_seen_at: None },
        recipients: vec![to.clone()],
    };
    frames::relay(&*state.relay, vec![unknown(a, b), unknown(b, a)]).await;
}
