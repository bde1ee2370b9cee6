//! `send`: check, find the chat, append.

use std::sync::Arc;

use chat_core::frame::Fault;
use chat_core::frame::client::Send;
use chat_core::frame::server::Ack;

use super::{Prepared, require_write};
use crate::publish::{self, Target};
use crate::session::Session;
use crate::state::State;

/// Prepares a send up to the append.
pub(super) async fn prepare(state: &Arc<State>, session: &Session, send: Send) -> Result<Prepared, Fault> {
    require_write(session)?;
    let target = match (send.chat_id, send.to) {
        (Some(chat_id), None) => Target::Chat(chat_id),
        (None, Some(user)) => Target::Peer(user),
        (None, None) => return Err(Fault::invalid("chat_id", "one of `chat_id` and `to` is required")),
        (Some(_), Some(_)) => return Err(Fault::invalid("to", "`chat_id` and `to` exclude each other")),
    };
    let body = publish::Body {
        content: send.content,
        content_type: send.content_type,
        attachment: send.attachment,
        meta: send.meta,
    };
    let record = publish::send(state, &session.user, target, send.message_id, body).await?;
    let (state, chat_id, id) = (Arc::clone(state), record.chat_id, record.id);
    Ok(Prepared::Running(Box::pin(async move {
        state.append(&record).await?;
        Ok(Ack::Sent { chat_id, message_id: chat_core::id::MessageId(id) })
    })))
}
