//! Redis as the engine of relay, routes, presence and poll positions: the connection, its deadlines and bounds.
//!
//! Nothing here is the only copy of anything; all of it may be lost. So a call fails early rather than wait, and no
//! call is made twice unless the server said that it did not make it: a registration whose answer was lost must not be
//! answered by its own repetition.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value, from_redis_value};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::config::RedisConfig;

pub(crate) mod leases;
pub(crate) mod link;
mod nodes;
pub(crate) mod script;

use link::{Link, Target};
use script::Script;

/// The ports' deadline for every call.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long opening may take.
const OPENING: Duration = Duration::from_secs(5);

/// Commands under way at once from one process; further ones wait for a place, within the deadline.
const COMMANDS: usize = 1_024;

/// Commands under way at once for one call.
const COMMANDS_OF_A_CALL: usize = 256;

/// Pauses between attempts at a command that the server refuses for now.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LAST: Duration = Duration::from_millis(160);

/// Why the engine could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A setting, or a file that it names, cannot be used.
    #[error("the settings of Redis cannot be used: {0}")]
    Config(String),
    /// No node answered as it should: also one whose certificate is not trusted.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
    /// The name and password are not taken.
    #[error("Redis refuses the name or password: {0}")]
    Refused(String),
    /// The server is older than version 7, which sharded channels need.
    #[error("Redis 7 or later is needed, this is version {0}")]
    TooOld(String),
}

impl OpenError {
    /// Returns whether the same call may succeed later without a change of settings.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Why a call failed. It may have been made all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

/// One connection to all nodes. Clones share it.
///
/// Name, password and certificates are read anew with every connection that is made in place of a lost one.
#[derive(Clone)]
pub struct Redis {
    link: Arc<Link>,
    places: Arc<Semaphore>,
    prefix: Arc<str>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("places", &self.places.available_permits()).finish_non_exhaustive()
    }
}

/// A command, and how to say it to a server that does not know its script.
#[derive(Debug)]
pub(crate) struct Ask {
    command: Cmd,
    script: Option<&'static Script>,
}

impl From<Cmd> for Ask {
    fn from(command: Cmd) -> Self {
        Self { command, script: None }
    }
}

impl Redis {
    /// Connects, and finds out whether it is a cluster.
    pub async fn open(config: &RedisConfig) -> Result<Self, OpenError> {
        if config.prefix.contains(['{', '}']) {
            return Err(OpenError::Config("prefix: it contains a brace".to_owned()));
        }
        let link = timeout(OPENING, Box::pin(Link::open(config.clone())));
        let link = link.await.map_err(|late| OpenError::Unavailable(late.to_string()))??;
        let places = Arc::new(Semaphore::new(COMMANDS));
        Ok(Self { link: Arc::new(link), places, prefix: config.prefix.as_str().into() })
    }

    /// Returns a key or channel of the cluster. Its slot is that of `tag`.
    pub(crate) fn name(&self, kind: &str, tag: &str) -> String {
        format!("{}{kind}:{{{tag}}}", self.prefix)
    }

    /// Returns what the subscriptions connect by.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Sends a command, and once more wherever the server says that it did not take it.
    pub(crate) async fn ask<T: FromRedisValue>(&self, ask: impl Into<Ask>) -> Result<T, Failure> {
        let ask = ask.into();
        let value = match timeout(DEADLINE, self.until_taken(&ask)).await {
            Ok(answer) => answer?,
            Err(late) => {
                self.link.repair();
                return Err(Failure(late.to_string()));
            }
        };
        from_redis_value(value).map_err(|error| Failure(error.to_string()))
    }

    /// Sends the commands of one call, some at a time, and returns their answers in order.
    pub(crate) async fn each<T: FromRedisValue + Send>(&self, asks: Vec<Ask>) -> Result<Vec<T>, Failure> {
        let asks = asks.into_iter().map(|ask| self.ask(ask));
        let answers = stream::iter(asks).buffered(COMMANDS_OF_A_CALL).try_collect();
        timeout(DEADLINE, answers).await.map_err(|late| Failure(late.to_string()))?
    }

    async fn until_taken(&self, ask: &Ask) -> Result<Value, Failure> {
        let _place = self.places.acquire().await.map_err(|closed| Failure(closed.to_string()))?;
        let mut target = Target::Slot;
        let mut pause = PAUSE_FIRST;
        let mut whole = None;
        loop {
            let command = whole.as_ref().unwrap_or(&ask.command);
            let error = match self.link.send(command, &target).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_redirect = !matches!(target, Target::Slot);
            target = Target::Slot;
            match error.kind() {
                ErrorKind::Server(ServerErrorKind::NoScript) if whole.is_none() && ask.script.is_some() => {
                    whole = ask.script.map(|script| script.whole(&ask.command));
                    continue;
                }
                ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) if !is_redirect => {
                    target = Target::of(&error);
                    continue;
                }
                ErrorKind::Server(
                    ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::BusyLoading,
                )
                | ErrorKind::ClusterConnectionNotFound => {}
                _ => return Err(error.into()),
            }
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(PAUSE_LAST);
        }
    }
}
