//! Frames that no seq protects, on their way to users' sessions: receipts, summaries, typing, presence.
//!
//! Best effort, in bounded time: what the relay does not take is lost, and clients find the newest state by `sync`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::timeout;
use tracing::warn;

use super::{Envelope, Item, Relay};
use crate::frame::Push;
use crate::id::{GatewayId, UserId};

/// How long one call to the relay may take.
pub const RELAY_DEADLINE: Duration = Duration::from_secs(1);

/// A frame, and whose sessions get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Addressed {
    /// The frame.
    pub push: Push,
    /// Whose sessions get it.
    pub recipients: Vec<UserId>,
}

/// Sends frames to every gateway that holds a recipient: one route lookup, one envelope a gateway.
pub async fn relay(relay: &dyn Relay, frames: Vec<Addressed>) {
    let users: FxHashSet<&UserId> = frames.iter().flat_map(|frame| &frame.recipients).collect();
    if users.is_empty() {
        return;
    }
    let users: Vec<UserId> = users.into_iter().cloned().collect();
    let routes: FxHashMap<UserId, Vec<GatewayId>> = match timeout(RELAY_DEADLINE, relay.routes(&users)).await {
        Ok(Ok(found)) => users.into_iter().zip(found).collect(),
        outcome => return warn!(?outcome, frames = frames.len(), "look up routes; frames are lost"),
    };
    publish(relay, envelopes(frames, &routes)).await;
}

/// Sends each gateway its envelope.
pub async fn publish(relay: &dyn Relay, envelopes: impl IntoIterator<Item = (GatewayId, Vec<Item>)>) {
    let sent = envelopes.into_iter().map(|(gateway, items)| async move {
        let outcome = timeout(RELAY_DEADLINE, relay.publish(&gateway, Envelope { items })).await;
        if !matches!(outcome, Ok(Ok(()))) {
            warn!(%gateway, ?outcome, "give up an envelope of frames");
        }
    });
    join_all(sent).await;
}

fn envelopes(frames: Vec<Addressed>, routes: &FxHashMap<UserId, Vec<GatewayId>>) -> FxHashMap<GatewayId, Vec<Item>> {
    let mut envelopes: FxHashMap<GatewayId, Vec<Item>> = FxHashMap::default();
    for Addressed { push, recipients } in frames {
        let push = Arc::new(push);
        let mut held: FxHashMap<&GatewayId, Vec<UserId>> = FxHashMap::default();
        for user in &recipients {
            for gateway in routes.get(user).into_iter().flatten() {
                held.entry(gateway).or_default().push(user.clone());
            }
        }
        for (gateway, users) in held {
            let item = Item::Frame { push: Arc::clone(&push), recipients: users.into() };
            envelopes.entry(gateway.clone()).or_default().push(item);
        }
    }
    envelopes
}
