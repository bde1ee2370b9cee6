//! From a request to a record in the log: the one path that sends, edits and deletes take, over sockets and REST alike.
//!
//! What is checked here is what the log cannot decide (sizes, rates, blocks) and what spares it work (membership,
//! authorship). Membership is decided again, in log order, by the sequencer.

use chat_core::codes::ErrorCode;
use chat_core::frame::{Attachment, ContentType, Fault, Meta, Role};
use chat_core::id::{ChatId, MessageId, OpId, Seq, UserId, check_client_made};
use chat_core::message_log::{Append, Appended, LogError, Topic, partition_of};
use chat_core::record::{Op, Record};
use chat_core::trace::{Span, Stage};
use tokio::time::Instant;
use uuid::Uuid;

use crate::blocks;
use crate::membership;
use crate::rate::TooSoon;
use crate::state::State;
use crate::view::View;

mod check;

pub(crate) use check::name as check_name;

/// Where a send goes.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// To a chat that exists.
    Chat(ChatId),
    /// To a user, whose DIRECT chat begins with the first message.
    Peer(UserId),
}

/// What a send carries.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) content: String,
    pub(crate) content_type: ContentType,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) meta: Option<Meta>,
}

/// What an edit asks for.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) chat_id: ChatId,
    pub(crate) seq: Seq,
    pub(crate) content: String,
    pub(crate) meta: Option<Meta>,
}

/// Checks a send and makes its record.
pub(crate) async fn send(
    state: &State,
    user: &UserId,
    target: Target,
    message_id: Option<MessageId>,
    body: Body,
) -> Result<Record, Fault> {
    check::body(&body, &state.config.limits, state.config.insecure_attachments)?;
    let id = match message_id {
        Some(MessageId(id)) => checked_id(state, "message_id", id)?,
        None => state.new_id(),
    };
    let (chat_id, direct) = match target {
        Target::Peer(peer) if peer == *user => return Err(Fault::invalid("to", "a message goes to another user")),
        Target::Peer(peer) => (ChatId::direct(user, &peer), Some([user.clone(), peer])),
        Target::Chat(chat_id) => {
            let standing = membership::standing(state, user, chat_id).await?;
            (chat_id, standing.peer.map(|peer| [user.clone(), peer]))
        }
    };
    if let Some([_, peer]) = &direct {
        blocks::check(state, user, peer).await?;
    }
    take_rates(state, user, chat_id)?;
    let op = Op::Send {
        direct,
        content_type: body.content_type,
        content: body.content,
        attachment: body.attachment,
        meta: body.meta,
    };
    Ok(Record::new(chat_id, user.clone(), id, op).reply_to(state.id.clone()))
}

/// Checks an edit and makes its record; `None` where it changes nothing.
pub(crate) async fn edit(
    state: &State,
    user: &UserId,
    edit: Edit,
    op_id: Option<OpId>,
) -> Result<Option<Record>, Fault> {
    check::content(&edit.content, &state.config.limits)?;
    check::meta(edit.meta.as_ref(), &state.config.limits)?;
    let id = op_id.map_or_else(|| Ok(state.new_id()), |OpId(id)| checked_id(state, "op_id", id))?;
    let (_, message) = View::open(state, user, edit.chat_id).await?.present()?.message(state, edit.seq).await?;
    if message.deleted_at.is_some() {
        return Err(Fault::of(ErrorCode::MessageNotFound));
    }
    if message.sender != *user || message.content_type == ContentType::System {
        return Err(Fault::new(ErrorCode::Forbidden, "a message is edited by its author"));
    }
    if message.content == edit.content && message.meta == edit.meta {
        return Ok(None);
    }
    if edit.chat_id.is_direct()
        && let Some(peer) = membership::standing(state, user, edit.chat_id).await?.peer
    {
        // An edit carries new words as a send does.
        blocks::check(state, user, &peer).await?;
    }
    take_rates(state, user, edit.chat_id)?;
    let op = Op::Edit { seq: edit.seq, content: edit.content, meta: edit.meta };
    Ok(Some(Record::new(edit.chat_id, user.clone(), id, op).reply_to(state.id.clone())))
}

/// Checks a delete and makes its record; `None` where the message is deleted already.
pub(crate) async fn delete(
    state: &State,
    user: &UserId,
    chat_id: ChatId,
    seq: Seq,
    op_id: Option<OpId>,
) -> Result<Option<Record>, Fault> {
    let id = op_id.map_or_else(|| Ok(state.new_id()), |OpId(id)| checked_id(state, "op_id", id))?;
    let (view, message) = View::open(state, user, chat_id).await?.present()?.message(state, seq).await?;
    let is_system = message.content_type == ContentType::System;
    if is_system || (message.sender != *user && view.member.role != Role::Admin) {
        return Err(Fault::new(ErrorCode::Forbidden, "a message is deleted by its author or an ADMIN of the group"));
    }
    if message.deleted_at.is_some() {
        return Ok(None);
    }
    take_rates(state, user, chat_id)?;
    Ok(Some(Record::new(chat_id, user.clone(), id, Op::Delete { seq }).reply_to(state.id.clone())))
}

/// Checks an id that a client made.
pub(crate) fn checked_id(state: &State, field: &str, id: Uuid) -> Result<Uuid, Fault> {
    check_client_made(id, state.clock.now()).map_err(|error| Fault::invalid(field, error.to_string()))?;
    Ok(id)
}

/// Takes one send or change from the user's rate and the chat's.
pub(crate) fn take_rates(state: &State, user: &UserId, chat_id: ChatId) -> Result<(), Fault> {
    let now = state.uptime.nanos();
    let taken = state.rates.users.take(user.clone(), now).and_then(|()| state.rates.chats.take(chat_id, now));
    taken.map_err(|TooSoon { wait_ms }| Fault::of(ErrorCode::RateLimited).retry_after(wait_ms))
}

impl State {
    /// Appends a record to the `messages` log; resolves when it is durable. The call of the log's `append` is the
    /// first poll.
    pub(crate) async fn append(&self, record: &Record) -> Result<Appended, Fault> {
        let started = Instant::now();
        let partition = partition_of(record.chat_id, self.partitions);
        let key = record.chat_id.to_string().into_bytes().into();
        let append = Append { topic: Topic::Messages, partition, key, payload: record.encode(), headers: Vec::new() };
        let appended = self.log.append(append).await;
        let took = started.elapsed();
        self.metrics.append_seconds.observe(took.as_secs_f64());
        let appended = appended.map_err(log_fault);
        if self.tracer.follows(record.id) {
            self.tracer.record(Span {
                of: record.id,
                chat_id: record.chat_id,
                stage: Stage::Append,
                took,
                position: appended.as_ref().ok().map(|appended| appended.position),
                outcome: appended.as_ref().map_or_else(|fault| fault.code.as_str(), |_| "durable"),
                recipients: None,
            });
        }
        if appended.is_ok() {
            self.metrics.sends.inc();
        }
        appended
    }
}

/// Turns the log's failure into what a client is told.
pub(crate) fn log_fault(error: LogError) -> Fault {
    match error {
        LogError::Full => Fault::of(ErrorCode::Overloaded).retry_after(500),
        error => {
            tracing::warn!(%error, "the log did not do it");
            Fault::of(ErrorCode::Unavailable).retry_after(1_000)
        }
    }
}
