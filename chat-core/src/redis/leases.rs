//! Which gateways hold a user, each until a moment of Redis's own clock: routes, and interest in presence.
//!
//! A sorted set a user: gateways by the time in milliseconds at which each lease ends.

use super::{Failure, Redis, script::Script};
use crate::id::{GatewayId, UserId};

/// Grants or renews: the gateway, and how long. Returns whether an unexpired lease was there.
static RENEW: Script = Script::new(
    "local time = redis.call('TIME')
     local now = time[1] * 1000 + math.floor(time[2] / 1000)
     local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
     redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
     redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
     redis.call('PEXPIRE', KEYS[1], ARGV[2])
     return before and tonumber(before) > now and 1 or 0",
);

/// Returns who holds an unexpired lease.
static HOLDERS: Script = Script::new(
    "local time = redis.call('TIME')
     local now = time[1] * 1000 + math.floor(time[2] / 1000)
     return redis.call('ZRANGE', KEYS[1], '(' .. string.format('%d', now), '+inf', 'BYSCORE')",
);

const NO_ARGUMENTS: &[&str] = &[];

/// One kind of leases: what the keys are called, and how long they live.
#[derive(Debug, Clone)]
pub(crate) struct Leases {
    redis: Redis,
    kind: &'static str,
    lifetime_ms: u64,
}

impl Leases {
    pub(crate) fn new(redis: Redis, kind: &'static str, lifetime_ms: u64) -> Self {
        Self { redis, kind, lifetime_ms }
    }

    fn key(&self, user: &UserId) -> String {
        self.redis.name(self.kind, user.as_str())
    }

    /// Grants or renews a gateway's leases; tells of each user, in the order asked, whether an unexpired one was there.
    pub(crate) async fn renew(&self, gateway: &GatewayId, users: &[UserId]) -> Result<Vec<bool>, Failure> {
        let renew = |user| RENEW.on(&self.key(user), (gateway.as_str(), self.lifetime_ms));
        self.redis.each(users.iter().map(renew).collect()).await
    }

    /// Ends a gateway's leases.
    pub(crate) async fn release(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), Failure> {
        let release = |user| {
            let mut command = ::redis::cmd("ZREM");
            command.arg(self.key(user)).arg(gateway.as_str());
            command.into()
        };
        self.redis.each::<()>(users.iter().map(release).collect()).await?;
        Ok(())
    }

    /// Returns the gateways with an unexpired lease on each user, in the order asked.
    pub(crate) async fn holders(&self, users: &[UserId]) -> Result<Vec<Vec<GatewayId>>, Failure> {
        let holders = |user| HOLDERS.on(&self.key(user), NO_ARGUMENTS);
        let found: Vec<Vec<String>> = self.redis.each(users.iter().map(holders).collect()).await?;
        Ok(found.into_iter().map(|gateways| gateways.iter().filter_map(|text| gateway(text)).collect()).collect())
    }
}

/// Returns the gateway that a text names, `None` for what no gateway wrote.
fn gateway(text: &str) -> Option<GatewayId> {
    let (pod, boot) = text.split_once('#')?;
    Some(GatewayId::new(pod, boot))
}
