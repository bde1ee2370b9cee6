//! A gateway's end of its channel: one connection, one subscription. It ends when either does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{PushInfo, PushKind, RedisError, Value, from_redis_value, pipe};
use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;
use uuid::Uuid;

use super::{CHANNEL_BYTES, CHANNEL_ENVELOPES, COUNTER_TTL_MS, wire};
use crate::redis::Redis;
use crate::redis::script::Script;
use crate::relay::{Envelope, Inbox, RelayError};

/// How long opening may take.
const OPENING: Duration = Duration::from_secs(3);

/// How long a reading of the counter may take.
const COUNTING: Duration = Duration::from_millis(900);

/// Gives a counter that has none a life, and returns the one it has: the life, and the counter's own.
static LIVE: Script = Script::new(
    "redis.call('HSETNX', KEYS[1], 'life', ARGV[1])
     redis.call('PEXPIRE', KEYS[1], ARGV[2])
     return redis.call('HGET', KEYS[1], 'life')",
);

/// Reads one channel of Redis.
pub(super) struct RedisInbox {
    arrivals: mpsc::Receiver<Vec<u8>>,
    gate: Arc<Gate>,
    connection: MultiplexedConnection,
    counter: String,
    /// The life of the counter that this inbox knows.
    life: String,
}

/// Where the connection puts what arrives, until it ends.
struct Gate {
    arrivals: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    bytes: AtomicUsize,
}

impl Gate {
    /// Takes what the server pushes. What does not fit is dropped: its number will be missing.
    fn take(&self, pushed: PushInfo) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        match pushed.kind {
            PushKind::SMessage => {
                let Some(Value::BulkString(payload)) = pushed.data.into_iter().nth(1) else { return };
                let Some(sender) = &*arrivals else { return };
                let size = payload.len();
                if self.bytes.load(Ordering::Relaxed) + size > CHANNEL_BYTES {
                    return;
                }
                self.bytes.fetch_add(size, Ordering::Relaxed);
                if sender.try_send(payload).is_err() {
                    self.bytes.fetch_sub(size, Ordering::Relaxed);
                }
            }
            // Nobody here unsubscribes: the server does, where the channel has moved to another node.
            PushKind::SUnsubscribe | PushKind::Disconnection => *arrivals = None,
            _ => {}
        }
    }

    fn is_open(&self) -> bool {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl RedisInbox {
    pub(super) async fn open(redis: &Redis, counter: String, channel: &str) -> Result<Self, RelayError> {
        let (sender, arrivals) = mpsc::channel(CHANNEL_ENVELOPES);
        let gate = Arc::new(Gate { arrivals: Mutex::new(Some(sender)), bytes: AtomicUsize::new(0) });
        let pushed = {
            let gate = Arc::clone(&gate);
            move |pushed: PushInfo| {
                gate.take(pushed);
                Ok::<(), ()>(())
            }
        };
        // On the heap: the client's future is large.
        let subscribing = Box::pin(redis.link().subscribe(channel, pushed));
        let connection = timeout(OPENING, subscribing).await.map_err(unavailable)?.map_err(unavailable)?;
        let life = LIVE.on(&counter, (Uuid::now_v7().to_string(), COUNTER_TTL_MS));
        let life = redis.ask(life).await?;
        let inbox = Self { arrivals, gate, connection, counter, life };
        // The node that serves the channel must be the one that counts.
        inbox.counter().await?;
        Ok(inbox)
    }

    /// Reads the counter on the node of the subscription, behind all that it pushed before, and keeps it alive.
    async fn read(&self) -> Result<(Option<String>, Option<u64>), RedisError> {
        let mut both = pipe();
        both.cmd("HMGET").arg(&self.counter).arg("life").arg("number");
        both.cmd("PEXPIRE").arg(&self.counter).arg(COUNTER_TTL_MS);
        let answers = self.connection.clone().req_packed_commands(&both, 0, 2).await?;
        let answer = answers.into_iter().next().unwrap_or(Value::Nil);
        Ok(from_redis_value(answer.extract_error()?)?)
    }
}

impl std::fmt::Debug for RedisInbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisInbox").field("counter", &self.counter).finish_non_exhaustive()
    }
}

#[async_trait]
impl Inbox for RedisInbox {
    async fn next(&mut self) -> Result<(u64, Envelope), RelayError> {
        loop {
            let payload = self.arrivals.recv().await.ok_or(RelayError::Interrupted)?;
            self.gate.bytes.fetch_sub(payload.len(), Ordering::Relaxed);
            if let Some(numbered) = numbered(&payload) {
                return Ok(numbered);
            }
            // Its number is missing then, and what it told is read from the store.
            warn!(bytes = payload.len(), "an envelope that this version does not understand");
        }
    }

    async fn counter(&self) -> Result<u64, RelayError> {
        let read = timeout(COUNTING, self.read()).await.map_err(unavailable)?;
        // After an unsolicited push the client takes it for the answer, so what it says then is not to be trusted.
        if !self.gate.is_open() {
            return Err(RelayError::Interrupted);
        }
        match read.map_err(unavailable)? {
            (Some(life), number) if life == self.life => Ok(number.unwrap_or(0)),
            _ => Err(RelayError::Interrupted),
        }
    }
}

/// Takes an arrival apart: its number, a space, the envelope.
fn numbered(payload: &[u8]) -> Option<(u64, Envelope)> {
    let space = payload.iter().position(|byte| *byte == b' ')?;
    let number = std::str::from_utf8(&payload[..space]).ok()?.parse().ok()?;
    Some((number, wire::decode(&payload[space + 1..])?))
}

fn unavailable(error: impl std::fmt::Display) -> RelayError {
    RelayError::Unavailable(error.to_string())
}
