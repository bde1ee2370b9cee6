//! Push as the app's own backend sees it (`scope: admin`): a notification to try a user's devices, and the ledger of
//! what became of pushes.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use chat_core::frame::Page;
use chat_core::id::{ChatId, MessageId, UserId};
use chat_core::message_log::{Append, LogError, Topic, partition_of};
use chat_core::push;
use chat_core::push::outcome::{PushOutcome, PushOutcomes, PushResult};
use chat_core::push::{Device, Notification, Platform, PushAnswer, PushSender};
use chat_core::user_store::{DeviceRow, UserWrite};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::body::{Ids, Query, page_size};
use super::caller::Admin;
use super::problem::Answer;
use crate::publish::log_fault;
use crate::state::State;
use crate::view::store_fault;

/// Records of a partition that are looked at for one answer.
const LOOK_BACK: u64 = 10_000;

/// Records a read.
const ROWS: u64 = 500;

/// What the vendor answered for one device.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "TestedDevice")]
pub(super) struct Tested {
    device: String,
    platform: Platform,
    outcome: PushResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `POST /v1/users/{user}/test-push`: one attempt on each device. It stands in the ledger under the nil chat, seq 0.
pub(super) async fn test(
    Shared(state): Shared<Arc<State>>,
    Admin: Admin,
    Ids(user): Ids<UserId>,
) -> Answer<Body<Page<Tested>>> {
    let sender = state.push()?;
    let devices = state.users.devices(std::slice::from_ref(&user)).await.map_err(store_fault)?;
    let notification = Notification {
        chat_id: ChatId(Uuid::nil()),
        seq: 0,
        message_id: MessageId(state.new_id()),
        sender: user.clone(),
        unread: 0,
        content: Some("test".to_owned()),
    };
    let attempts = devices.into_iter().flatten().map(|row| attempt(sender, &user, row, &notification));
    let (tested, dead): (Vec<_>, Vec<_>) = join_all(attempts).await.into_iter().unzip();
    let now = state.clock.now();
    let dead = dead.into_iter().flatten().map(|(device, push_token)| UserWrite::InvalidateDevice {
        user: user.clone(),
        device,
        push_token,
        at: now,
    });
    let dead: Vec<UserWrite> = dead.collect();
    if !dead.is_empty() {
        state.users.write(dead).await.map_err(store_fault)?;
    }
    note(&state, &user, &notification, &tested).await.map_err(log_fault)?;
    Ok(Body(Page { items: tested, next_cursor: None }))
}

/// Tries one device; the second is its name and token, where the vendor refuses the token.
async fn attempt(
    sender: &dyn PushSender,
    user: &UserId,
    row: DeviceRow,
    notification: &Notification,
) -> (Tested, Option<(String, String)>) {
    let DeviceRow { device, platform, push_token, updated_at, .. } = row;
    let to = Device { user: user.clone(), device, platform, token: push_token };
    let (outcome, reason) = match push::attempt(sender, &to, updated_at, notification).await {
        PushAnswer::Accepted => (PushResult::Sent, None),
        PushAnswer::InvalidToken { reason, .. } => (PushResult::InvalidToken, Some(reason)),
        PushAnswer::Refused { reason } => (PushResult::Refused, Some(reason)),
        PushAnswer::Later { reason, .. } => (PushResult::GivenUp, Some(reason)),
    };
    let dead = (outcome == PushResult::InvalidToken).then(|| (to.device.clone(), to.token));
    (Tested { device: to.device, platform, outcome, reason }, dead)
}

/// Writes a test into the ledger.
async fn note(
    state: &State,
    user: &UserId,
    Notification { chat_id, seq, message_id, .. }: &Notification,
    tested: &[Tested],
) -> Result<(), LogError> {
    let outcome = |tested: &Tested| PushOutcome {
        member: user.clone(),
        device: Some(tested.device.clone()),
        outcome: tested.outcome,
        reason: tested.reason.clone(),
    };
    let mut outcomes: Vec<PushOutcome> = tested.iter().map(outcome).collect();
    if outcomes.is_empty() {
        outcomes.push(PushOutcome { member: user.clone(), device: None, outcome: PushResult::NoDevice, reason: None });
    }
    let (chat_id, seq, message_id, at) = (*chat_id, *seq, *message_id, state.clock.now());
    let append = Append {
        topic: Topic::PushOutcomes,
        partition: partition_of(chat_id, state.log.partitions(Topic::PushOutcomes)),
        key: chat_id.to_string().into(),
        payload: PushOutcomes { v: 1, chat_id, seq, message_id, at, outcomes }.encode(),
        headers: Vec::new(),
    };
    state.log.append(append).await.map(drop)
}

/// Query of `GET /v1/push-outcomes`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Asked {
    /// Only of this chat.
    chat_id: Option<ChatId>,
    /// Only to this user.
    user: Option<UserId>,
    /// Items of a page.
    #[schemars(range(min = 1, max = 200), extend("default" = 50))]
    limit: Option<u64>,
}

/// `GET /v1/push-outcomes`: what became of the newest pushes, newest first; of one chat or user where they are named.
/// Looks at the last 10 000 messages of each partition.
pub(super) async fn outcomes(
    Shared(state): Shared<Arc<State>>,
    Admin: Admin,
    Query(asked): Query<Asked>,
) -> Answer<Body<Page<PushOutcomes>>> {
    state.push()?;
    let limit = page_size(asked.limit)?;
    let count = state.log.partitions(Topic::PushOutcomes);
    let partitions = match asked.chat_id {
        Some(chat_id) => std::iter::once(partition_of(chat_id, count)).collect(),
        None => (0..count).collect::<Vec<u32>>(),
    };
    let mut items = Vec::new();
    for partition in partitions {
        items.extend(newest(&state, partition, &asked, limit).await.map_err(log_fault)?);
    }
    items.sort_by_key(|found| std::cmp::Reverse(found.at));
    items.truncate(limit);
    Ok(Body(Page { items, next_cursor: None }))
}

/// Reads one partition backwards.
async fn newest(state: &State, partition: u32, asked: &Asked, limit: usize) -> Result<Vec<PushOutcomes>, LogError> {
    let mut upto = state.log.end(Topic::PushOutcomes, partition).await?;
    let last = upto.saturating_sub(LOOK_BACK);
    let mut found = Vec::new();
    while upto > last && found.len() < limit {
        let from = upto.saturating_sub(ROWS).max(last);
        let rows = usize::try_from(upto - from).unwrap_or(usize::MAX);
        let mut entries = state.log.read(Topic::PushOutcomes, partition, from, rows).await?;
        entries.retain(|entry| entry.position.offset < upto);
        let Some(first) = entries.first() else { break };
        upto = first.position.offset.min(from);
        found.extend(entries.iter().rev().filter_map(|entry| wanted(&entry.payload, asked)));
    }
    Ok(found)
}

/// Returns the part of a record that was asked for. One of another format is left out.
fn wanted(payload: &[u8], asked: &Asked) -> Option<PushOutcomes> {
    let mut record = PushOutcomes::decode(payload).ok()?;
    if asked.chat_id.is_some_and(|chat_id| chat_id != record.chat_id) {
        return None;
    }
    if let Some(user) = &asked.user {
        record.outcomes.retain(|outcome| outcome.member == *user);
    }
    (!record.outcomes.is_empty()).then_some(record)
}
