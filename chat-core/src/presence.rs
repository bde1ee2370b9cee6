//! Port: who is there. A user is online while any session lives anywhere; the mark expires on its own.
//!
//! # Contract
//! - `touch` marks users online for [`PRESENCE_TTL_MS`] by the engine's own clock and tells who was not marked before:
//!   exactly one caller is told of each transition.
//! - `clear` marks a user offline at once (a clean close of the last session) and tells whether the user was online.
//! - `expired` hands out users whose mark ran out, each to one caller, once: that caller tells the watchers. A user
//!   who came back in the meantime MUST NOT be handed out.
//! - `watch` remembers, for [`WATCH_TTL_MS`], that a gateway wants to hear of a user.
//! - Losing everything is allowed: heartbeats restore it.

use std::fmt;

use async_trait::async_trait;

use crate::id::{GatewayId, UserId};

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod in_process;
#[cfg(feature = "redis")]
pub mod redis;

/// How long a user stays online without a sign of life.
pub const PRESENCE_TTL_MS: u64 = 30_000;

/// How long a gateway's interest in a user is remembered without a renewal.
pub const WATCH_TTL_MS: u64 = 180_000;

/// The presence table did not answer in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("presence is unavailable: {0}")]
pub struct PresenceError(pub String);

/// The presence table.
#[async_trait]
pub trait PresenceTable: Send + Sync + fmt::Debug {
    /// Marks users online; returns, in the order asked, whether each was offline before.
    async fn touch(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceError>;

    /// Marks a user offline at once; returns whether they were online.
    async fn clear(&self, user: &UserId) -> Result<bool, PresenceError>;

    /// Returns whether each user is online, in the order asked.
    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceError>;

    /// Takes up to `limit` users whose mark ran out.
    async fn expired(&self, limit: usize) -> Result<Vec<UserId>, PresenceError>;

    /// Remembers that a gateway wants to hear of these users.
    async fn watch(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), PresenceError>;

    /// Forgets that.
    async fn unwatch(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), PresenceError>;

    /// Returns the gateways that want to hear of a user.
    async fn watchers(&self, user: &UserId) -> Result<Vec<GatewayId>, PresenceError>;
}
