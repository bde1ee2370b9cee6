//! What is said over the control socket of a local stack: one JSON request on one line, one JSON reply on one line.

use chat_gateway::Status;
use serde::{Deserialize, Serialize};

/// Name of the socket in the data directory.
pub(crate) const SOCKET_FILE: &str = "control.sock";

/// Longest line either side takes, in bytes.
pub(crate) const MAX_LINE_BYTES: u64 = 1024 * 1024;

/// Asks something of a running local stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Tell of every gateway.
    ListGateways,
    /// Start another gateway and put it behind the front door.
    AddGateway,
    /// Move the connections off a gateway and stop it; answered when the drain has begun.
    DrainGateway {
        /// Which.
        name: String,
    },
}

/// Answers a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(crate) enum Reply {
    /// The gateways asked for, or the one that the request changed.
    Gateways {
        /// Them.
        gateways: Vec<GatewayInfo>,
    },
    /// It was not done.
    Refused {
        /// Why, and what to do.
        message: String,
    },
}

/// What a local stack tells of one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GatewayInfo {
    /// Its name.
    pub(crate) name: String,
    /// Whether the front door gives it new connections.
    pub(crate) state: GatewayState,
    /// Connections it holds.
    pub(crate) connections: usize,
    /// Its own address, past the front door.
    pub(crate) url: String,
    /// Its admin port: health, metrics, status.
    pub(crate) admin_url: String,
}

/// Where a gateway is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GatewayState {
    /// Not yet taking connections.
    Starting,
    /// Takes new connections.
    Ready,
    /// Moves its connections off.
    Draining,
}

impl GatewayState {
    /// Reads it from what a gateway says of itself.
    pub(crate) fn of(status: &Status) -> Self {
        if status.draining {
            Self::Draining
        } else if status.ready {
            Self::Ready
        } else {
            Self::Starting
        }
    }

    /// Returns the state in a word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}
