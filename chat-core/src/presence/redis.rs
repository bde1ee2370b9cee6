//! Presence on Redis: a mark a user that runs out by itself, and sets of due times that are swept.
//!
//! # How the contract is kept
//! - **The mark** `presence:{user}` is the truth; setting it tells in the same step whether it was there.
//! - **Due times** are in sorted sets of [`BUCKETS`] buckets, on other nodes than the marks, so they only point: who is
//!   taken from a set is handed out if the mark is gone, and goes back into it if not. The mark is written first: a due
//!   time that is missing or too early is put right by the next touch or the next sweep.
//! - **Each transition** is also published on the sharded channel `presence_events:{bucket}`, at most once, for the
//!   customer's own consumers: `{"user_id", "status"}`.
//! - **Watches** are leases by Redis's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use redis::{Cmd, cmd};
use rustc_hash::FxHashMap;

use super::{PRESENCE_TTL_MS, PresenceError, PresenceTable, WATCH_TTL_MS};
use crate::frame::PresenceStatus;
use crate::id::{GatewayId, UserId};
use crate::redis::leases::Leases;
use crate::redis::script::Script;
use crate::redis::{Ask, Failure, Redis};

/// Sets of due times. They spread over the nodes; a sweep that finds nothing costs one command each.
pub const BUCKETS: u32 = 64;

/// How long a mark that ran out waits for a sweep. By then no watch made before it is left, so there is nobody to
/// tell; a table without a sweeper stays bounded by it.
const UNCLAIMED_TTL_MS: u64 = WATCH_TTL_MS;

/// Users that one script takes.
const TAKE_AT_ONCE: usize = 1_000;

/// Notes when marks run out: in how many milliseconds, how long they wait to be taken, the users.
static DUE: Script = Script::new(
    "local time = redis.call('TIME')
     local now = time[1] * 1000 + math.floor(time[2] / 1000)
     for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
     redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
     redis.call('PEXPIRE', KEYS[1], ARGV[1] + ARGV[2])",
);

/// Takes users whose time has come: how many at most.
static TAKE: Script = Script::new(
    "local time = redis.call('TIME')
     local now = time[1] * 1000 + math.floor(time[2] / 1000)
     local due = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
     if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
     return due",
);

/// Puts a user back whose mark is still there: in how many milliseconds it runs out, the user. A later time stays.
static PUT_BACK: Script = Script::new(
    "local time = redis.call('TIME')
     local now = time[1] * 1000 + math.floor(time[2] / 1000)
     redis.call('ZADD', KEYS[1], 'GT', now + ARGV[1], ARGV[2])",
);

/// Removes a user whose time is still the one that was read: the user, the time.
static DROP: Script =
    Script::new("if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[1]) end");

/// Keeps presence in Redis. Clones share the connection.
#[derive(Debug, Clone)]
pub struct RedisPresence {
    redis: Redis,
    watches: Leases,
    /// Where the next sweep begins, so that no bucket waits behind the others.
    next_bucket: Arc<AtomicUsize>,
}

impl RedisPresence {
    /// Makes a table of a connection.
    pub fn new(redis: Redis) -> Self {
        let watches = Leases::new(redis.clone(), "watchers", WATCH_TTL_MS);
        let next_bucket = Arc::new(AtomicUsize::new(rand::random_range(0..BUCKETS as usize)));
        Self { redis, watches, next_bucket }
    }

    fn mark(&self, user: &UserId) -> String {
        self.redis.name("presence", user.as_str())
    }

    fn due(&self, bucket: u32) -> String {
        self.redis.name("presence_due", &bucket.to_string())
    }

    fn event(&self, user: &UserId, status: PresenceStatus) -> Ask {
        let channel = self.redis.name("presence_events", &bucket(user).to_string());
        let event = serde_json::json!({ "user_id": user, "status": status });
        let mut publish = cmd("SPUBLISH");
        publish.arg(channel).arg(event.to_string());
        publish.into()
    }

    /// Tells the customer's consumers, at most once.
    async fn tell<'a>(&self, users: impl Iterator<Item = &'a UserId>, status: PresenceStatus) {
        let events: Vec<Ask> = users.map(|user| self.event(user, status)).collect();
        if let Err(error) = self.redis.each::<()>(events).await {
            tracing::debug!(%error, "publish presence");
        }
    }

    /// Takes due users of one bucket, and of those returns whose mark is gone.
    async fn take(&self, bucket: u32, limit: usize) -> Result<Vec<UserId>, Failure> {
        let key = self.due(bucket);
        let taken: Vec<String> = self.redis.ask(TAKE.on(&key, limit.min(TAKE_AT_ONCE))).await?;
        let taken: Vec<UserId> = taken.iter().filter_map(|user| UserId::new(user).ok()).collect();
        let left: Vec<i64> = self.redis.each(taken.iter().map(|user| on("PTTL", &self.mark(user))).collect()).await?;
        let mut expired = Vec::new();
        let mut alive = Vec::new();
        for (user, left) in taken.into_iter().zip(left) {
            if left > 0 {
                alive.push(PUT_BACK.on(&key, (left, user.as_str())));
            } else {
                expired.push(user);
            }
        }
        self.redis.each::<()>(alive).await?;
        Ok(expired)
    }
}

fn on(command: &str, key: &str) -> Ask {
    let mut command: Cmd = cmd(command);
    command.arg(key);
    command.into()
}

/// Returns the bucket of a user: the same one in every version.
fn bucket(user: &UserId) -> u32 {
    murmur2::murmur2(user.as_str().as_bytes(), murmur2::KAFKA_SEED) % BUCKETS
}

impl From<Failure> for PresenceError {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

#[async_trait]
impl PresenceTable for RedisPresence {
    async fn touch(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceError> {
        let marks = users.iter().map(|user| {
            let mut set = cmd("SET");
            set.arg(self.mark(user)).arg("online").arg("PX").arg(PRESENCE_TTL_MS).arg("GET");
            set.into()
        });
        let marks = marks.collect();
        let before: Vec<Option<String>> = self.redis.each(marks).await?;
        let were_offline: Vec<bool> = before.iter().map(Option::is_none).collect();
        let mut by_bucket: FxHashMap<u32, Vec<&str>> = FxHashMap::default();
        for user in users {
            by_bucket.entry(bucket(user)).or_default().push(user.as_str());
        }
        let due = by_bucket
            .into_iter()
            .map(|(bucket, users)| DUE.on(&self.due(bucket), (PRESENCE_TTL_MS, UNCLAIMED_TTL_MS, users)));
        self.redis.each::<()>(due.collect()).await?;
        let came = users.iter().zip(&were_offline).filter_map(|(user, was_offline)| was_offline.then_some(user));
        self.tell(came, PresenceStatus::Online).await;
        Ok(were_offline)
    }

    async fn clear(&self, user: &UserId) -> Result<bool, PresenceError> {
        let key = self.due(bucket(user));
        let mut score = cmd("ZSCORE");
        score.arg(&key).arg(user.as_str());
        // A time that is another by then is that of a touch which came in between.
        let due: Option<f64> = self.redis.ask(score).await?;
        let mark: Option<String> = self.redis.ask(on("GETDEL", &self.mark(user))).await?;
        if mark.is_none() {
            return Ok(false);
        }
        if let Some(due) = due {
            self.redis.ask::<()>(DROP.on(&key, (user.as_str(), format!("{due:.0}")))).await?;
        }
        self.tell(std::iter::once(user), PresenceStatus::Offline).await;
        Ok(true)
    }

    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceError> {
        Ok(self.redis.each(users.iter().map(|user| on("EXISTS", &self.mark(user))).collect()).await?)
    }

    async fn expired(&self, limit: usize) -> Result<Vec<UserId>, PresenceError> {
        let mut expired = Vec::new();
        for _ in 0..BUCKETS {
            if expired.len() >= limit {
                break;
            }
            let next = self.next_bucket.fetch_add(1, Ordering::Relaxed);
            let bucket = u32::try_from(next % BUCKETS as usize).unwrap_or_default();
            match self.take(bucket, limit - expired.len()).await {
                Ok(taken) => expired.extend(taken),
                // Who was taken before is handed out; the bucket's turn comes again.
                Err(error) if !expired.is_empty() => tracing::debug!(%error, bucket, "sweep presence"),
                Err(error) => return Err(error.into()),
            }
        }
        self.tell(expired.iter(), PresenceStatus::Offline).await;
        Ok(expired)
    }

    async fn watch(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), PresenceError> {
        self.watches.renew(gateway, users).await?;
        Ok(())
    }

    async fn unwatch(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), PresenceError> {
        Ok(self.watches.release(gateway, users).await?)
    }

    async fn watchers(&self, user: &UserId) -> Result<Vec<GatewayId>, PresenceError> {
        Ok(self.watches.holders(std::slice::from_ref(user)).await?.into_iter().flatten().collect())
    }
}
