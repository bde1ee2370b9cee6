//! Messages of a chat: history, one message, send, edit, delete.

use std::sync::Arc;
use std::time::Duration;

use axum::Json as Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chat_core::codes::ErrorCode;
use chat_core::event::Outcome;
use chat_core::frame::{Attachment, ContentType, Fault, Message, Meta};
use chat_core::id::{ChatId, MessageId, OpId, Rev, Seq, UserId};
use chat_core::message_store::{Order, SeqRange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{Ids, Json, Query, idempotency_key, page_size};
use super::caller::{Caller, Writer};
use super::problem::Answer;
use crate::publish::{self, Target};
use crate::state::State;
use crate::view::{View, store_fault};

/// A send that is durable but not sequenced by then is answered 202.
const SEQUENCED_WITHIN: Duration = Duration::from_secs(2);

/// Query of `GET …/messages`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListMessages {
    /// Messages before this one; not with `after`.
    before: Option<Seq>,
    /// Messages after this one; not with `before`.
    after: Option<Seq>,
    /// Items of a page.
    #[schemars(range(min = 1, max = 200), extend("default" = 50))]
    limit: Option<u64>,
}

/// A stretch of history.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct History {
    items: Vec<Message>,
    has_more: bool,
    head_seq: Seq,
    head_rev: Rev,
}

/// `GET …/messages`: newest first, with `after` oldest first.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    caller: Caller,
    Ids(chat_id): Ids<ChatId>,
    Query(query): Query<ListMessages>,
) -> Answer<Body<History>> {
    let limit = page_size(query.limit)?;
    let view = View::open(&state, &caller.user, chat_id).await?;
    let (range, order) = match (query.before, query.after) {
        (Some(_), Some(_)) => return Err(Fault::invalid("after", "`before` and `after` exclude each other").into()),
        (None, Some(after)) => (SeqRange { after, upto: view.upto() }, Order::OldestFirst),
        (Some(before), None) => (SeqRange { after: 0, upto: before.saturating_sub(1) }, Order::NewestFirst),
        (None, None) => (SeqRange { after: 0, upto: view.upto() }, Order::NewestFirst),
    };
    // One more than asked for tells whether there are more.
    let mut items = view.messages(&*state.store, range, order, limit + 1).await.map_err(store_fault)?;
    let has_more = items.len() > limit;
    items.truncate(limit);
    Ok(Body(History { items, has_more, head_seq: view.upto(), head_rev: view.head_rev() }))
}

/// `GET …/messages/{seq}`.
pub(super) async fn read(
    Shared(state): Shared<Arc<State>>,
    caller: Caller,
    Ids((chat_id, seq)): Ids<(ChatId, Seq)>,
) -> Answer<Body<Message>> {
    Ok(Body(message(&state, &caller.user, chat_id, seq).await?))
}

async fn message(state: &State, user: &UserId, chat_id: ChatId, seq: Seq) -> Result<Message, Fault> {
    let view = View::open(state, user, chat_id).await?;
    view.message(state, seq).await.map(|(_, message)| message)
}

/// Body of `POST …/messages`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct NewMessage {
    /// The idempotency key.
    message_id: Option<MessageId>,
    /// Text or caption.
    #[schemars(extend("x-limit" = "contentBytes"))]
    content: String,
    /// TEXT, IMAGE or FILE.
    #[serde(default)]
    #[schemars(extend("not" = { "const": "SYSTEM" }))]
    content_type: ContentType,
    /// The file of an IMAGE or FILE.
    attachment: Option<Attachment>,
    /// The app's own data.
    #[schemars(extend("x-limit" = "metaBytes"))]
    meta: Option<Meta>,
}

/// What is known of a send that is durable and not sequenced yet.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Accepted {
    chat_id: ChatId,
    message_id: MessageId,
}

/// `POST …/messages`: 201 the message, 200 for a retry, 202 where the sequencer is behind.
pub(super) async fn send(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids(chat_id): Ids<ChatId>,
    headers: HeaderMap,
    Json(new): Json<NewMessage>,
) -> Answer<Response> {
    let key = idempotency_key(&headers)?;
    let message_id = new.message_id.or_else(|| key.map(MessageId));
    let NewMessage { content, content_type, attachment, meta, .. } = new;
    let body = publish::Body { content, content_type, attachment, meta };
    let record = publish::send(&state, &caller.user, Target::Chat(chat_id), message_id, body).await?;
    let waiting = state.append_and_wait_within(&record, SEQUENCED_WITHIN).await?;
    let (status, seq) = match waiting {
        Some(Outcome::Applied { seq, .. }) => (StatusCode::CREATED, seq),
        Some(Outcome::Duplicate { seq, .. }) => (StatusCode::OK, seq),
        Some(Outcome::Refused { code }) => return Err(Fault::of(code).into()),
        None => {
            let accepted = Accepted { chat_id, message_id: MessageId(record.id) };
            return Ok((StatusCode::ACCEPTED, Body(accepted)).into_response());
        }
    };
    let message = message(&state, &caller.user, chat_id, seq).await?;
    Ok((status, Body(message)).into_response())
}

/// Body of `PATCH …/messages/{seq}`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct EditMessage {
    /// The new content.
    #[schemars(extend("x-limit" = "contentBytes"))]
    content: String,
    /// The new data; absent removes it.
    #[schemars(extend("x-limit" = "metaBytes"))]
    meta: Option<Meta>,
}

/// `PATCH …/messages/{seq}`.
pub(super) async fn edit(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids((chat_id, seq)): Ids<(ChatId, Seq)>,
    headers: HeaderMap,
    Json(EditMessage { content, meta }): Json<EditMessage>,
) -> Answer<Body<Message>> {
    let op_id = idempotency_key(&headers)?.map(OpId);
    let change = publish::Edit { chat_id, seq, content, meta };
    if let Some(record) = publish::edit(&state, &caller.user, change, op_id).await? {
        applied(&state.append_and_wait(&record).await?)?;
    }
    Ok(Body(message(&state, &caller.user, chat_id, seq).await?))
}

/// `DELETE …/messages/{seq}`.
pub(super) async fn delete(
    Shared(state): Shared<Arc<State>>,
    caller: Writer,
    Ids((chat_id, seq)): Ids<(ChatId, Seq)>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let op_id = idempotency_key(&headers)?.map(OpId);
    if let Some(record) = publish::delete(&state, &caller.user, chat_id, seq, op_id).await? {
        match applied(&state.append_and_wait(&record).await?) {
            // Another delete came first: it is gone all the same.
            Err(fault) if fault.code == ErrorCode::MessageNotFound => {}
            other => other?,
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

fn applied(outcome: &Outcome) -> Result<(), Fault> {
    match outcome {
        Outcome::Applied { .. } | Outcome::Duplicate { .. } => Ok(()),
        Outcome::Refused { code } => Err(Fault::of(*code)),
    }
}
