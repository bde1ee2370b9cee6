//! Blocks and subscriptions: a block ends the subscriptions between two users at once, by a frame to their gateways.
//! Frames may be lost, so who is blocked is also read again, a list a user: most are empty.

use chat_core::id::UserId;
use chat_core::message_store::StoreError;
use futures_util::{StreamExt, stream};

use super::hide;
use crate::state::State;

/// Blocks a read.
const ROWS: usize = 1_000;

/// Users whose blocks are read at once.
const CONCURRENT_READS: usize = 16;

/// Ends the subscriptions of this gateway across a block.
pub(super) async fn review(state: &State) {
    let everyone = stream::iter(state.presence.followers.everyone());
    let reviewed = everyone.map(|user| async move { (part(state, &user).await, user) });
    let mut reviewed = reviewed.buffer_unordered(CONCURRENT_READS);
    while let Some((parted, user)) = reviewed.next().await {
        if let Err(error) = parted {
            tracing::warn!(%error, %user, "failed to read blocks again");
        }
    }
}

async fn part(state: &State, user: &UserId) -> Result<(), StoreError> {
    let followers = &state.presence.followers;
    let mut after: Option<UserId> = None;
    loop {
        let rows = state.users.blocks(user, after.as_ref(), ROWS).await?;
        for blocked in rows.iter().map(|row| &row.user) {
            for (followed, viewer) in [(user, blocked), (blocked, user)] {
                for session in followers.of_user(followed).iter().filter(|session| session.user == *viewer) {
                    hide(state, session, followed);
                }
            }
        }
        match rows.into_iter().nth(ROWS - 1) {
            Some(last) => after = Some(last.user),
            None => return Ok(()),
        }
    }
}
