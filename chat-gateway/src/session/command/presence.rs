//! `presence.subscribe` and `presence.unsubscribe`, and `typing`, which goes to those who subscribed.

use std::sync::Arc;

use chat_core::frame::Fault;
use chat_core::frame::client::{Subscribe, Typing};
use chat_core::frame::server::Ack;

use super::{Prepared, answered, require_write};
use crate::session::Session;
use crate::state::State;
use crate::{presence, typing};

/// Subscribes beside the commands that follow: it reads much.
pub(super) fn subscribe(state: &Arc<State>, session: &Arc<Session>, subscribe: Subscribe) -> Prepared {
    let (state, session) = (Arc::clone(state), Arc::clone(session));
    let Subscribe { users, chats } = subscribe;
    Prepared::Running(Box::pin(async move {
        let presence =
            presence::subscribe(&state, &session, users.unwrap_or_default(), chats.unwrap_or_default()).await?;
        Ok(Ack::Presence { presence })
    }))
}

/// Unsubscribes.
pub(super) fn unsubscribe(state: &State, session: &Session, unsubscribe: Subscribe) -> Prepared {
    presence::unsubscribe(state, session, unsubscribe.users, unsubscribe.chats);
    answered(Ack::Done {})
}

/// Checks in order, relays beside the commands that follow.
pub(super) async fn typing(state: &Arc<State>, session: &Session, typing: Typing) -> Result<Prepared, Fault> {
    require_write(session)?;
    let Typing { chat_id, active } = typing;
    let Some(frame) = typing::check(state, &session.user, chat_id, active).await? else {
        return Ok(answered(Ack::Done {}));
    };
    let state = Arc::clone(state);
    Ok(Prepared::Running(Box::pin(async move {
        typing::relay(&state, frame).await;
        Ok(Ack::Done {})
    })))
}
