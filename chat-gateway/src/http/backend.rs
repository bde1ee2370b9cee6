//! Calls of the app's own backend (`scope: admin`): signing users out, and what was used.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use chat_core::clock::Time;
use chat_core::frame::Fault;
use chat_core::id::UserId;
use chat_core::user_store::{HOUR_MS, Metric, UsageRow, UserWrite};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{Ids, Query};
use super::caller::Admin;
use super::problem::Answer;
use crate::revocation;
use crate::state::State;
use crate::view::store_fault;

/// Hours of one answer: a leap year.
const MAX_HOURS: u64 = 366 * 24;

/// `DELETE /v1/users/{user}/sessions`: the user is signed out everywhere, and has to bring a newer token.
pub(super) async fn sign_out(
    Shared(state): Shared<Arc<State>>,
    Admin: Admin,
    Ids(user): Ids<UserId>,
) -> Answer<StatusCode> {
    let not_before = state.clock.now();
    let write = UserWrite::Revoke { user: user.clone(), not_before };
    state.users.write(vec![write]).await.map_err(store_fault)?;
    revocation::apply(&state, &user, not_before);
    Ok(StatusCode::NO_CONTENT)
}

/// Query of `GET /v1/stats`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Period {
    /// The first hour is the one that begins then or later.
    from: Time,
    /// The last hour begins before; at most 366 days after `from`.
    to: Time,
}

/// What was used in one hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "HourlyUsage")]
struct Usage {
    hour: Time,
    messages: u64,
    edits: u64,
    deletes: u64,
    chats: u64,
}

/// The answer: hours in which nothing happened are left out.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Stats {
    items: Vec<Usage>,
}

/// `GET /v1/stats`: the hours that begin at or after `from` and before `to`.
pub(super) async fn stats(
    Shared(state): Shared<Arc<State>>,
    Admin: Admin,
    Query(Period { from, to }): Query<Period>,
) -> Answer<Body<Stats>> {
    let (from, upto) = (from.millis().div_ceil(HOUR_MS), to.millis().div_ceil(HOUR_MS));
    if upto.saturating_sub(from) > MAX_HOURS {
        return Err(Fault::invalid("to", "at most 366 days at once").into());
    }
    let rows = state.users.usage(from, upto).await.map_err(store_fault)?;
    Ok(Body(Stats { items: sum(&rows) }))
}

/// Adds up the partitions of each hour.
fn sum(rows: &[UsageRow]) -> Vec<Usage> {
    let mut hours: BTreeMap<u64, Usage> = BTreeMap::new();
    for row in rows {
        let begin = Usage { hour: Time::from_millis(row.hour.saturating_mul(HOUR_MS)), ..Usage::default() };
        let hour = hours.entry(row.hour).or_insert(begin);
        let counter = match row.metric {
            Metric::Messages => &mut hour.messages,
            Metric::Edits => &mut hour.edits,
            Metric::Deletes => &mut hour.deletes,
            Metric::Chats => &mut hour.chats,
        };
        *counter += row.value;
    }
    hours.into_values().collect()
}

#[cfg(test)]
mod tests {
    use chat_core::message_log::Position;

    use super::*;

    #[test]
    fn partitions_are_added_up_by_the_hour() {
        let row =
            |hour, metric, partition, value| UsageRow { hour, metric, partition, value, position: Position::default() };
        let rows = [
            row(1, Metric::Messages, 0, 3),
            row(1, Metric::Messages, 1, 4),
            row(1, Metric::Edits, 1, 1),
            row(3, Metric::Chats, 0, 2),
        ];
        let at = |hour| Usage { hour: Time::from_millis(hour * HOUR_MS), ..Usage::default() };
        assert_eq!(sum(&rows), [Usage { messages: 7, edits: 1, ..at(1) }, Usage { chats: 2, ..at(3) }]);
    }
}
