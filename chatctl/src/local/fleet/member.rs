//! One gateway of a local stack.

use std::time::Duration;

use chat_gateway::{Handle, Running};
use operator::scaling::{self, Phase};
use tokio::time::Instant;

use super::drains::Leaving;
use crate::control::{GatewayInfo, GatewayState};
use crate::local::front_door::Load;
use crate::local::report;

/// How long a count of connections holds. In between, each connection handed over is added to it: a session counts
/// only after its handshake, and a burst must not go to one gateway as a whole.
const COUNT_HOLDS: Duration = Duration::from_millis(100);

/// A gateway.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) ordinal: u32,
    pub(super) handle: Handle,
    /// What stops it; taken when it is being stopped.
    pub(super) running: Option<Running>,
    /// Its drain, if there is one.
    pub(super) leaving: Option<Leaving>,
    url: String,
    admin_url: String,
    count: Count,
}

/// Connections of a gateway, as far as they can be known.
#[derive(Debug, Clone, Copy)]
struct Count {
    connections: usize,
    at: Instant,
}

impl Member {
    /// Takes in a gateway that is ready.
    pub(super) fn new(ordinal: u32, running: Running) -> Self {
        Self {
            ordinal,
            handle: running.handle(),
            url: report::url("http", running.public_addr()),
            admin_url: report::url("http", running.admin_addr()),
            count: Count { connections: running.connections(), at: Instant::now() },
            running: Some(running),
            leaving: None,
        }
    }

    /// Says what the front door needs to know.
    pub(super) fn load(&mut self, now: Instant) -> Load {
        if now.duration_since(self.count.at) > COUNT_HOLDS {
            self.count = Count { connections: self.handle.connections(), at: now };
        }
        Load { ready: self.handle.is_ready(), connections: self.count.connections }
    }

    /// Takes one more connection.
    pub(super) fn chosen(&mut self) -> Handle {
        self.count.connections += 1;
        self.handle.clone()
    }

    /// Says what the planner needs to know.
    pub(super) fn seen(&self) -> scaling::Gateway {
        let phase = match &self.leaving {
            Some(leaving) if leaving.asked || self.running.is_none() => Phase::Leaving,
            Some(_) => Phase::Draining,
            None if self.handle.is_ready() => Phase::Ready,
            None => Phase::Starting,
        };
        let connections = u64::try_from(self.handle.connections()).ok();
        scaling::Gateway { ordinal: self.ordinal, phase, connections }
    }

    /// Says what people need to know.
    pub(super) fn info(&self) -> GatewayInfo {
        let status = self.handle.status();
        let state = if self.leaving.is_some() { GatewayState::Draining } else { GatewayState::of(&status) };
        GatewayInfo {
            name: self.handle.name().to_owned(),
            state,
            connections: status.connections,
            url: self.url.clone(),
            admin_url: self.admin_url.clone(),
        }
    }
}
