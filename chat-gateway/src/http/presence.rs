//! `GET /v1/presence`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State as Shared;
use chat_core::frame::{Fault, Presence};
use chat_core::id::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::Query;
use super::caller::Caller;
use super::problem::Answer;
use crate::presence;
use crate::state::State;

/// Users of one call.
const MAX_USERS: usize = 100;

/// Query of the call.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Asked {
    /// At most 100 user ids, separated by commas.
    #[schemars(length(min = 1))]
    users: String,
}

/// Its answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PresenceOfUsers")]
pub(super) struct Told {
    presence: BTreeMap<UserId, Presence>,
}

/// `GET /v1/presence`: as far as the caller may know it.
pub(super) async fn read(
    Shared(state): Shared<Arc<State>>,
    caller: Caller,
    Query(Asked { users }): Query<Asked>,
) -> Answer<Body<Told>> {
    let users = parse(&users)?;
    Ok(Body(Told { presence: presence::look(&state, &caller.user, &users).await? }))
}

/// Reads user ids separated by commas.
pub(super) fn parse(text: &str) -> Result<Vec<UserId>, Fault> {
    let users: Result<BTreeSet<UserId>, _> = text.split(',').map(UserId::new).collect();
    let users = users.map_err(|error| Fault::invalid("users", error.to_string()))?;
    if users.len() > MAX_USERS {
        return Err(Fault::invalid("users", "at most 100 users"));
    }
    Ok(users.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_separated_by_commas() {
        let names = |text: &str| parse(text).map(|users| users.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names("bob,ann,bob"), Ok(vec!["ann".to_owned(), "bob".to_owned()]));
        for bad in ["", "ann,", ",", "a b"] {
            assert_eq!(names(bad).unwrap_err().field.as_deref(), Some("users"), "{bad:?}");
        }
        let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
        assert!(parse(&many.join(",")).is_err());
    }
}
