//! The connection that commands share, and its repair.
//!
//! The client follows slots and reconnects to nodes that drop it. What it does not notice is a node that says nothing:
//! its commands run out of time, and where a replica has taken over nobody tells it. So a command that ran out of time
//! has all connections made anew, from the nodes of the settings and what they know.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, ConnectionLike, MultiplexedConnection};
use ::redis::cluster_async::ClusterConnection;
use ::redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use ::redis::{
    Cmd, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value, cmd, from_redis_value, pipe,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::nodes::{Nodes, classify};
use super::{OPENING, OpenError};
use crate::config::RedisConfig;

/// Least time between two repairs.
const REPAIR_EVERY: Duration = Duration::from_secs(2);

/// No push of the server is wanted.
type NoPushes = fn(::redis::PushInfo) -> Result<(), ()>;

/// Shares a connection, and replaces it where it has gone silent.
pub(crate) struct Link {
    config: RedisConfig,
    connection: RwLock<Connection>,
    repair: Mutex<Repair>,
}

#[derive(Default)]
struct Repair {
    is_running: bool,
    not_before: Option<Instant>,
}

#[derive(Clone)]
enum Connection {
    Cluster(ClusterConnection),
    Single { connection: MultiplexedConnection, node: Box<ConnectionInfo> },
}

/// Where a command goes.
#[derive(Debug)]
pub(super) enum Target {
    /// To the node that serves its key, as far as is known.
    Slot,
    /// To the node that another one named.
    Node {
        host: String,
        port: u16,
        /// The node does not own the slot yet.
        is_asking: bool,
    },
}

impl Target {
    /// Returns where a node sends a command that it does not take.
    pub(super) fn of(redirect: &RedisError) -> Self {
        let is_asking = redirect.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        match redirect_address(redirect) {
            Some((host, port)) => Self::Node { host, port, is_asking },
            None => Self::Slot,
        }
    }
}

/// Returns the node that a `MOVED` or `ASK` names.
fn redirect_address(redirect: &RedisError) -> Option<(String, u16)> {
    let (host, port) = redirect.redirect_node()?.0.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

impl Link {
    pub(super) async fn open(config: RedisConfig) -> Result<Self, OpenError> {
        let connection = RwLock::new(Connection::open(&config).await?);
        Ok(Self { config, connection, repair: Mutex::default() })
    }

    fn connection(&self) -> Connection {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a command once.
    pub(super) async fn send(self: &Arc<Self>, command: &Cmd, target: &Target) -> Result<Value, RedisError> {
        let connection = self.connection();
        let is_single = matches!(connection, Connection::Single { .. });
        let answer = connection.send(command, target).await.and_then(Value::extract_error);
        // A cluster's connections that are dropped are made anew by the client.
        if answer.as_ref().is_err_and(|error| error.is_timeout() || is_single && error.is_io_error()) {
            self.repair();
        }
        answer
    }

    /// Makes all connections anew beside the old ones, and takes them if that succeeds.
    pub(super) fn repair(self: &Arc<Self>) {
        {
            let mut repair = self.repair.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if repair.is_running || repair.not_before.is_some_and(|moment| now < moment) {
                return;
            }
            *repair = Repair { is_running: true, not_before: Some(now + REPAIR_EVERY) };
        }
        let link = Arc::clone(self);
        tokio::spawn(async move {
            match timeout(OPENING, Box::pin(Connection::open(&link.config))).await {
                Ok(Ok(connection)) => {
                    info!("connected to Redis anew");
                    *link.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
                }
                Ok(Err(error)) => warn!(%error, "failed to connect to Redis anew"),
                Err(error) => warn!(%error, "failed to connect to Redis anew"),
            }
            link.repair.lock().unwrap_or_else(PoisonError::into_inner).is_running = false;
        });
    }

    /// Subscribes to a sharded channel, on a connection of its own to the node that serves it.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        channel: &str,
        pushed: impl AsyncPushSender + Clone,
    ) -> Result<MultiplexedConnection, RedisError> {
        let nodes = Nodes::read(&self.config).await;
        let nodes = nodes.map_err(|error| failed("settings", error.to_string()))?;
        let mut node = self.owner(&nodes, channel).await?;
        // A node that does not serve the channel names the one that does. During a migration they may disagree.
        for _ in 0..3 {
            let mut connection = nodes.connect(node, Some(pushed.clone())).await?;
            let answer = connection.send_packed_command(cmd("SSUBSCRIBE").arg(channel)).await;
            match answer.and_then(Value::extract_error) {
                Ok(_) => return Ok(connection),
                Err(error) => match redirect_address(&error) {
                    Some((host, port)) => node = nodes.at(host, port),
                    None => return Err(error),
                },
            }
        }
        Err(failed("no node serves the channel", channel.to_owned()))
    }

    /// Returns the node that serves a channel, as one of the nodes knows it.
    async fn owner(self: &Arc<Self>, nodes: &Nodes, channel: &str) -> Result<ConnectionInfo, RedisError> {
        if let Connection::Single { node, .. } = self.connection() {
            return Ok(*node);
        }
        let slot = self.of_any_node::<u64>(cmd("CLUSTER").arg("KEYSLOT").arg(channel)).await?;
        let slots = self.of_any_node::<Value>(cmd("CLUSTER").arg("SLOTS")).await?;
        let (host, port) =
            owner(&slots, slot).ok_or_else(|| failed("no node serves the slot of", channel.to_owned()))?;
        Ok(nodes.at(host, port))
    }

    async fn of_any_node<T: FromRedisValue>(self: &Arc<Self>, command: &Cmd) -> Result<T, RedisError> {
        Ok(from_redis_value(self.send(command, &Target::Slot).await?)?)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("urls", &self.config.urls).finish_non_exhaustive()
    }
}

impl Connection {
    /// Asks the first node that answers what it is, and connects accordingly.
    async fn open(config: &RedisConfig) -> Result<Self, OpenError> {
        let nodes = Nodes::read(config).await?;
        let (connection, node, is_cluster) = first_that_answers(&nodes).await?;
        if is_cluster {
            Ok(Self::Cluster(nodes.connect_all().await.map_err(|error| classify(&error))?))
        } else {
            Ok(Self::Single { connection, node: Box::new(node) })
        }
    }

    async fn send(self, command: &Cmd, target: &Target) -> Result<Value, RedisError> {
        match (self, target) {
            (Self::Single { mut connection, .. }, _) => connection.send_packed_command(command).await,
            (Self::Cluster(mut connection), Target::Slot) => connection.req_packed_command(command).await,
            (Self::Cluster(mut connection), Target::Node { host, port, is_asking }) => {
                let node = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                if *is_asking {
                    // In one write: the word holds for the next command of the connection, whosever that is.
                    let mut both = pipe();
                    both.cmd("ASKING").add_command(command.clone());
                    let answers = connection.route_pipeline(both, 0, 2, node).await?;
                    answers.into_iter().nth(1).ok_or_else(|| failed("no answer", String::new()))
                } else {
                    connection.route_command(command.clone(), RoutingInfo::SingleNode(node)).await
                }
            }
        }
    }
}

/// Connects to all nodes of the settings at once, and takes the first. Fails as the last one did.
async fn first_that_answers(nodes: &Nodes) -> Result<(MultiplexedConnection, ConnectionInfo, bool), OpenError> {
    let attempts = nodes.seeds().iter().map(|node| async move {
        let connecting = nodes.connect(node.clone(), None::<NoPushes>);
        let mut connection = connecting.await.map_err(|error| classify(&error))?;
        let hello = connection.send_packed_command(&cmd("HELLO")).await.and_then(Value::extract_error);
        let hello = hello.map_err(|error| classify(&error))?;
        Ok((connection, node.clone(), is_cluster(hello)?))
    });
    let mut attempts: FuturesUnordered<_> = attempts.collect();
    let mut outcome = Err(OpenError::Config("urls: none".to_owned()));
    while let Some(attempt) = attempts.next().await {
        outcome = attempt;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Reads from a node's greeting whether it is part of a cluster.
fn is_cluster(hello: Value) -> Result<bool, OpenError> {
    let unclear = |error: &dyn fmt::Display| OpenError::Unavailable(format!("an unclear greeting: {error}"));
    let Value::Map(fields) = hello else { return Err(unclear(&"no map")) };
    let text = |name: &str| {
        let field =
            fields.iter().find(|(field, _)| matches!(field, Value::BulkString(text) if text == name.as_bytes()));
        let value = field.map_or(Value::Nil, |(_, value)| value.clone());
        from_redis_value::<String>(value).map_err(|error| unclear(&error))
    };
    let version = text("version")?;
    match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(7..) => Ok(text("mode")? == "cluster"),
        _ => Err(OpenError::TooOld(version)),
    }
}

/// Finds the primary of a slot in the answer to `CLUSTER SLOTS`: `[first, last, [host, port, …], …]` a range.
fn owner(slots: &Value, slot: u64) -> Option<(String, u16)> {
    let Value::Array(ranges) = slots else { return None };
    ranges.iter().find_map(|range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else { return None };
        let serves = u64::try_from(*first).ok()? <= slot && slot <= u64::try_from(*last).ok()?;
        let [Value::BulkString(host), Value::Int(port), ..] = primary.as_slice() else { return None };
        (serves && !host.is_empty()).then_some(())?;
        Some((String::from_utf8(host.clone()).ok()?, u16::try_from(*port).ok()?))
    })
}

fn failed(what: &'static str, detail: String) -> RedisError {
    RedisError::from((ErrorKind::Client, what, detail))
}
