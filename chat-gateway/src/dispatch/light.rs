//! Presence and typing from the relay: to the sessions that follow, and to nobody else.

use std::sync::Arc;

use chat_core::frame::Push;
use chat_core::id::UserId;

use super::encode;
use crate::presence;
use crate::registry::Directory;
use crate::state::State;

/// Delivers such a frame; returns how many sessions got it.
pub(super) fn deliver(state: &State, directory: &Directory<'_>, push: Arc<Push>, recipients: &[UserId]) -> u64 {
    match &*push {
        Push::Presence { .. } if recipients.is_empty() => {
            state.presence.heard(push);
            0
        }
        // Addressed to somebody, it says that they may no longer know of this user.
        Push::Presence { user, .. } => {
            for recipient in recipients {
                state.blocks.forget(user, recipient);
                for session in directory.of(recipient) {
                    if state.presence.followers.follows(session, user) {
                        presence::hide(state, session, user);
                    }
                }
            }
            0
        }
        Push::Typing { chat_id, .. } => {
            let viewers = state.presence.followers.of_chat(*chat_id);
            if viewers.is_empty() {
                return 0;
            }
            let frame = [encode::push(&push)];
            let viewers = viewers.iter().filter(|session| recipients.contains(&session.user));
            viewers.map(|session| session.deliver(&frame).frames).sum()
        }
        _ => 0,
    }
}
