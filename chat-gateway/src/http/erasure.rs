//! Erasure of users (`scope: admin`): asked for, and reported on.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use chat_core::id::UserId;
use chat_core::user_store::ErasureReport;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::body::{Ids, idempotency_key};
use super::caller::Admin;
use super::problem::Answer;
use crate::erasure;
use crate::publish::checked_id;
use crate::state::State;

/// What an erasure does not remove at once, a sentence each.
const REMAINS: [&str; 4] = [
    "the message log and the events keep what was written until they age out",
    "the outcomes of pushes keep the user's id until they age out",
    "empty messages, SYSTEM messages, DIRECT chats and the lists of former members keep the user's id",
    "blocks of the user by others are theirs, and tokens from before stay refused",
];

/// The answer to a request for an erasure.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErasureBegun")]
pub(super) struct Begun {
    report_id: Uuid,
}

/// `DELETE /v1/users/{user}`: signs the user out, takes them out of their groups and empties all that they wrote, until
/// the report says that it is done. The same `Idempotency-Key` is the same erasure; another erasure of the same user
/// finds nothing left to do.
pub(super) async fn begin(
    Shared(state): Shared<Arc<State>>,
    Admin: Admin,
    Ids(user): Ids<UserId>,
    headers: HeaderMap,
) -> Answer<(StatusCode, Body<Begun>)> {
    let report_id = match idempotency_key(&headers)? {
        Some(key) => checked_id(&state, "idempotency-key", key)?,
        None => state.new_id(),
    };
    erasure::begin(&state, report_id, user).await?;
    Ok((StatusCode::ACCEPTED, Body(Begun { report_id })))
}

/// A report as it is shown.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErasureReport")]
pub(super) struct Report {
    status: Status,
    #[serde(flatten)]
    found: ErasureReport,
    remains: [&'static str; REMAINS.len()],
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ErasureStatus")]
enum Status {
    Running,
    Done,
}

/// `GET /v1/reports/{report_id}`: how far an erasure came. Goes on with one whose gateway is gone.
pub(super) async fn report(
    Shared(state): Shared<Arc<State>>,
    Admin: Admin,
    Ids(report_id): Ids<Uuid>,
) -> Answer<Body<Report>> {
    let found = erasure::report(&state, report_id).await?;
    let status = if found.finished_at.is_some() { Status::Done } else { Status::Running };
    Ok(Body(Report { status, found, remains: REMAINS }))
}
