//! Port: where clients without a socket stand. A long poll or an event stream leaves its positions here, so that the
//! next request goes on from them on any gateway.
//!
//! # Contract
//! - `put` keeps positions for [`POSITIONS_TTL_MS`] by the engine's own clock; under an id that is there already it
//!   replaces them and begins the time anew.
//! - `get` sees every `put` acknowledged before it began, and MUST NOT return what has run out. It changes nothing.
//! - Losing any of it is allowed: the client is told, and syncs.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Time;
use crate::id::{ChatId, Rev, Seq, UserId};

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod in_process;
#[cfg(feature = "redis")]
pub mod redis;

/// How long positions are kept: ten minutes.
pub const POSITIONS_TTL_MS: u64 = 600_000;

/// Where one client stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Positions {
    /// Whose they are; nobody else may go on from them.
    pub user: UserId,
    /// What happened before is known: of a chat that is not listed, only what came later is missing.
    pub since: Time,
    /// The chats that were active since the client began.
    pub chats: Vec<ChatPosition>,
}

/// What a client was sent of one chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatPosition {
    /// The chat.
    pub chat_id: ChatId,
    /// Its messages, up to here.
    pub seq: Seq,
    /// Its edits and deletes, up to here; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<Rev>,
}

/// The positions cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("poll positions are unavailable: {0}")]
pub struct PositionsError(pub String);

/// The positions of clients without a socket.
#[async_trait]
pub trait PollPositions: Send + Sync + fmt::Debug {
    /// Keeps positions under an id, for [`POSITIONS_TTL_MS`].
    async fn put(&self, id: Uuid, positions: Positions) -> Result<(), PositionsError>;

    /// Returns the positions under an id, if they are still there.
    async fn get(&self, id: Uuid) -> Result<Option<Positions>, PositionsError>;
}
