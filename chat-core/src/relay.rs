//! Port: the relay from workers to gateways, and the routes that say which gateway holds a user.
//!
//! # Contract
//! - **Envelopes are numbered.** `publish` takes the next number of the gateway's channel and sends the envelope under
//!   it. Delivery is at most once and MAY lose, delay, duplicate or reorder; the number is what makes that visible.
//!   [`Inbox::counter`] MUST return the highest number taken so far, whether or not its envelope arrived.
//! - **Publishing never waits for a slow gateway.** A channel that is full drops the envelope and keeps its number.
//! - **Routes expire.** `register` holds for [`ROUTE_TTL_MS`] by the engine's own clock and tells of each user whether
//!   an unexpired route of this gateway was there before. Lookups return unexpired routes only, and see every
//!   registration acknowledged before they began.
//! - Losing everything is allowed: gateways notice (counter falls, registrations are not found) and sync again.
//! - Publishing to a gateway that is gone is no error.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Verdict};
use crate::frame::Push;
use crate::id::{GatewayId, UserId};

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod frames;
pub mod in_process;
pub(crate) mod leases;
#[cfg(any(test, feature = "contract"))]
pub mod lossy;
#[cfg(feature = "redis")]
pub mod redis;

/// How long a route lives without a refresh.
pub const ROUTE_TTL_MS: u64 = 30_000;

/// What a worker sends to one gateway at once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Envelope {
    /// The contents, in order.
    pub items: Vec<Item>,
}

/// One thing in an envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// A sequenced fact for these users.
    Event {
        /// The fact.
        event: Arc<Event>,
        /// Who gets it, of those this gateway holds.
        recipients: Arc<[UserId]>,
    },
    /// A frame that is not sequenced: receipts, typing, presence.
    Frame {
        /// The frame.
        push: Arc<Push>,
        /// Who gets it. A `presence` frame names nobody: the gateway knows which of its sessions follow the user.
        recipients: Arc<[UserId]>,
    },
    /// What became of a record that this gateway appended.
    Verdict(Verdict),
    /// Envelopes for this gateway were given up: treat it as a gap.
    Resync,
}

/// Whether a registration continued an unexpired one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// The route was not there: messages may have passed by; sync the user's sessions.
    New,
    /// The route was there all the time.
    Refreshed,
}

/// Why the relay did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The relay did not answer in time.
    #[error("the relay is unavailable: {0}")]
    Unavailable(String),
    /// The subscription ended; open a new inbox and resolve the gap.
    #[error("the subscription ended")]
    Interrupted,
}

/// The relay.
#[async_trait]
pub trait Relay: Send + Sync + fmt::Debug {
    /// Subscribes a gateway to its channel. Numbers go on where the channel's counter is.
    async fn open(&self, gateway: &GatewayId) -> Result<Box<dyn Inbox>, RelayError>;

    /// Registers or refreshes routes to this gateway, in the order asked.
    async fn register(&self, gateway: &GatewayId, users: &[UserId]) -> Result<Vec<Registered>, RelayError>;

    /// Drops routes to this gateway.
    async fn unregister(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), RelayError>;

    /// Returns the gateways that hold each user, in the order asked.
    async fn routes(&self, users: &[UserId]) -> Result<Vec<Vec<GatewayId>>, RelayError>;

    /// Sends an envelope on a gateway's channel, under the channel's next number.
    async fn publish(&self, gateway: &GatewayId, envelope: Envelope) -> Result<(), RelayError>;
}

/// A gateway's end of its channel.
#[async_trait]
pub trait Inbox: Send + Sync + fmt::Debug {
    /// Waits for the next envelope that arrives, with its number. Cancel-safe.
    async fn next(&mut self) -> Result<(u64, Envelope), RelayError>;

    /// Returns the highest number taken on this channel so far, 0 when none was.
    async fn counter(&self) -> Result<u64, RelayError>;
}
