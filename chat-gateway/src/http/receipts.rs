//! Who has an own message: `GET …/messages/{seq}/receipts`.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Page};
use chat_core::id::{ChatId, Seq, UserId};
use chat_core::message_store::MemberRow;
use chat_core::receipt::counts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{Ids, Query, page_size};
use super::caller::Caller;
use super::cursor;
use super::problem::Answer;
use crate::state::State;
use crate::view::{View, store_fault};

/// Query of the call.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ListReceipts {
    /// `next_cursor` of the page before.
    #[schemars(length(max = 1024))]
    cursor: Option<String>,
    /// Items of a page.
    #[schemars(range(min = 1, max = 200), extend("default" = 50))]
    limit: Option<u64>,
}

/// How far a message came to one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(rename = "ReceiptStatus")]
enum Status {
    Sent,
    Delivered,
    Read,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ReceiptOfUser")]
struct Receipt {
    user: UserId,
    status: Status,
}

/// One page of them, with the counts over all.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReceiptPage")]
pub(super) struct Receipts {
    #[serde(flatten)]
    page: Page<Receipt>,
    seq: Seq,
    delivered: u64,
    read: u64,
    of: u64,
}

/// `GET …/messages/{seq}/receipts`: to the message's sender alone.
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    caller: Caller,
    Ids((chat_id, seq)): Ids<(ChatId, Seq)>,
    Query(query): Query<ListReceipts>,
) -> Answer<Body<Receipts>> {
    let limit = page_size(query.limit)?;
    let now = state.clock.now();
    let after: Option<UserId> = query.cursor.map(|text| cursor::parse(&text, now)).transpose()?;
    let (_, message) = View::open(&state, &caller.user, chat_id).await?.present()?.message(&state, seq).await?;
    if message.sender != caller.user {
        return Err(Fault::new(ErrorCode::Forbidden, "only its sender may see who has a message").into());
    }
    let mut members = state.store.members(chat_id).await.map_err(store_fault)?;
    members.sort_by(|a, b| a.user.cmp(&b.user));
    let counts = counts(&members, &caller.user, seq);
    let mut items = items(&members, &caller.user, seq, after.as_ref());
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| has_more).map(|last| cursor::render(&last.user, now));
    let page = Page { items, next_cursor };
    Ok(Body(Receipts { page, seq, delivered: counts.delivered, read: counts.read, of: counts.of }))
}

/// Tells of each member that the counts count.
fn items(members: &[MemberRow], sender: &UserId, seq: Seq, after: Option<&UserId>) -> Vec<Receipt> {
    let counted = members.iter().filter(|row| row.is_present() && row.user != *sender && row.join_seq < seq);
    let counted = counted.filter(|row| after.is_none_or(|after| row.user > *after));
    counted.map(|row| Receipt { user: row.user.clone(), status: status(row, seq) }).collect()
}

fn status(row: &MemberRow, seq: Seq) -> Status {
    match row {
        row if row.read >= seq => Status::Read,
        row if row.delivered >= seq => Status::Delivered,
        _ => Status::Sent,
    }
}
