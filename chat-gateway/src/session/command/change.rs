//! `edit` and `delete`: check against the message's row, append.

use std::sync::Arc;

use chat_core::frame::Fault;
use chat_core::frame::client::{Delete, Edit};
use chat_core::frame::server::Ack;
use chat_core::record::Record;

use super::{Prepared, require_write};
use crate::publish;
use crate::session::Session;
use crate::state::State;

/// Prepares an edit up to the append.
pub(super) async fn prepare_edit(state: &Arc<State>, session: &Session, edit: Edit) -> Result<Prepared, Fault> {
    let ack = Ack::Changed { chat_id: edit.chat_id, seq: edit.seq };
    require_write(session)?;
    let change = publish::Edit { chat_id: edit.chat_id, seq: edit.seq, content: edit.content, meta: edit.meta };
    let record = publish::edit(state, &session.user, change, edit.op_id).await?;
    Ok(finish(state, record, ack))
}

/// Prepares a delete up to the append.
pub(super) async fn prepare_delete(state: &Arc<State>, session: &Session, delete: Delete) -> Result<Prepared, Fault> {
    let Delete { chat_id, seq, op_id } = delete;
    require_write(session)?;
    let record = publish::delete(state, &session.user, chat_id, seq, op_id).await?;
    Ok(finish(state, record, Ack::Changed { chat_id, seq }))
}

/// Appends the change, if there is one to make.
fn finish(state: &Arc<State>, record: Option<Record>, ack: Ack) -> Prepared {
    let Some(record) = record else { return Prepared::Answered(Ok(ack)) };
    let state = Arc::clone(state);
    Prepared::Running(Box::pin(async move { state.append(&record).await.map(|_| ack) }))
}
