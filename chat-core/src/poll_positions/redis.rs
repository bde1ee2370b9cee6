//! Poll positions on Redis: a key each, which runs out by itself.

use async_trait::async_trait;
use redis::cmd;
use uuid::Uuid;

use super::{POSITIONS_TTL_MS, PollPositions, Positions, PositionsError};
use crate::redis::{Failure, Redis};

/// Keeps positions in Redis. Clones share the connection.
#[derive(Debug, Clone)]
pub struct RedisPositions(Redis);

impl RedisPositions {
    /// Makes a store of a connection.
    pub fn new(redis: Redis) -> Self {
        Self(redis)
    }

    fn key(&self, id: Uuid) -> String {
        self.0.name("poll", &id.to_string())
    }
}

impl From<Failure> for PositionsError {
    fn from(failure: Failure) -> Self {
        Self(failure.to_string())
    }
}

#[async_trait]
impl PollPositions for RedisPositions {
    async fn put(&self, id: Uuid, positions: Positions) -> Result<(), PositionsError> {
        let positions = serde_json::to_vec(&positions).map_err(|error| PositionsError(error.to_string()))?;
        let mut set = cmd("SET");
        set.arg(self.key(id)).arg(positions).arg("PX").arg(POSITIONS_TTL_MS);
        self.0.ask::<()>(set).await?;
        Ok(())
    }

    async fn get(&self, id: Uuid) -> Result<Option<Positions>, PositionsError> {
        let mut get = cmd("GET");
        get.arg(self.key(id));
        let found: Option<Vec<u8>> = self.0.ask(get).await?;
        // What another version wrote and this one does not understand is as good as lost: the client syncs.
        Ok(found.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}
