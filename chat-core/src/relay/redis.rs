//! The relay on Redis: sharded channels, each with its counter beside it.
//!
//! # How the contract is kept
//! - **Numbers** are taken and sent in one script on the node that serves the channel, so that envelopes arrive in the
//!   order of their numbers as long as none is lost. A publisher that did not get its answer does not know whether the
//!   number was taken; it does not try again, and the caller makes up for it.
//! - **A subscription** is a connection of its own to that node, and ends with it: an unsolicited `sunsubscribe` (the
//!   slot moved, a replica took over), a dropped connection or a node that says nothing are all
//!   [`RelayError::Interrupted`] or [`RelayError::Unavailable`], never a silence. Opening again finds the new node.
//! - **The counter** is read over that same connection, behind every envelope that was pushed before. It has a life of
//!   its own, given by the inbox that first finds none: where that is gone, Redis lost its memory, and the inbox ends
//!   even if nothing was ever sent.
//! - **What the gateway does not take** is bounded by [`CHANNEL_ENVELOPES`] and [`CHANNEL_BYTES`]; further envelopes
//!   are dropped, and their numbers tell.
//! - **Routes** are leases by Redis's clock, read from primaries.

use async_trait::async_trait;

use super::{Envelope, Inbox, ROUTE_TTL_MS, Registered, Relay, RelayError};
use crate::id::{GatewayId, UserId};
use crate::redis::leases::Leases;
use crate::redis::script::Script;
use crate::redis::{Failure, Redis};

mod inbox;
mod wire;

use inbox::RedisInbox;

/// How many envelopes wait for one gateway before further ones are dropped.
pub const CHANNEL_ENVELOPES: usize = 16_384;

/// How many bytes of envelopes wait for one gateway before further ones are dropped.
pub const CHANNEL_BYTES: usize = 64 << 20;

/// How long a counter outlives its last use, in milliseconds.
const COUNTER_TTL_MS: u64 = 2 * ROUTE_TTL_MS;

/// Takes the next number and sends an envelope under it: the counter's lifetime, the channel, the envelope.
static PUBLISH: Script = Script::new(
    "local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
     redis.call('PEXPIRE', KEYS[1], ARGV[1])
     redis.call('SPUBLISH', ARGV[2], string.format('%d', number) .. ' ' .. ARGV[3])
     return number",
);

/// Relays by Redis. Clones share the connection.
#[derive(Debug, Clone)]
pub struct RedisRelay {
    redis: Redis,
    routes: Leases,
}

impl RedisRelay {
    /// Makes a relay of a connection.
    pub fn new(redis: Redis) -> Self {
        let routes = Leases::new(redis.clone(), "user_server", ROUTE_TTL_MS);
        Self { redis, routes }
    }

    fn counter(&self, gateway: &GatewayId) -> String {
        self.redis.name("gateway_counter", gateway.as_str())
    }

    fn channel(&self, gateway: &GatewayId) -> String {
        self.redis.name("gateway", gateway.as_str())
    }
}

impl From<Failure> for RelayError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}

#[async_trait]
impl Relay for RedisRelay {
    async fn open(&self, gateway: &GatewayId) -> Result<Box<dyn Inbox>, RelayError> {
        let (counter, channel) = (self.counter(gateway), self.channel(gateway));
        Ok(Box::new(RedisInbox::open(&self.redis, counter, &channel).await?))
    }

    async fn register(&self, gateway: &GatewayId, users: &[UserId]) -> Result<Vec<Registered>, RelayError> {
        let were_held = self.routes.renew(gateway, users).await?;
        let registered = |was_held| if was_held { Registered::Refreshed } else { Registered::New };
        Ok(were_held.into_iter().map(registered).collect())
    }

    async fn unregister(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), RelayError> {
        Ok(self.routes.release(gateway, users).await?)
    }

    async fn routes(&self, users: &[UserId]) -> Result<Vec<Vec<GatewayId>>, RelayError> {
        Ok(self.routes.holders(users).await?)
    }

    async fn publish(&self, gateway: &GatewayId, envelope: Envelope) -> Result<(), RelayError> {
        let envelope = wire::encode(&envelope);
        let arguments = (COUNTER_TTL_MS, self.channel(gateway), envelope);
        self.redis.ask::<()>(PUBLISH.on(&self.counter(gateway), arguments)).await?;
        Ok(())
    }
}
