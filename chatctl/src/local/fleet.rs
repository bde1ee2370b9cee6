//! The gateways of a local stack: started, listed, drained, stopped, and chosen from for each new connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chat_core::clock::Clock;
use chat_gateway::{DrainRequest, Gateway, Handle, Ports, Running, Status};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::front_door::{self, Load};
use super::report;
use super::settings::Settings;
use crate::control::{GatewayInfo, GatewayState};

/// How long a new gateway may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long a count of connections holds. In between, each connection handed over is added to it: a session counts
/// only after its handshake, and a burst must not go to one gateway as a whole.
const COUNT_HOLDS: Duration = Duration::from_millis(100);

/// How long a drain may outlive its deadline before it is withdrawn, in seconds; the gateway is gone by then.
const LEASE_AFTER_DEADLINE_S: u64 = 60;

/// The gateways.
#[derive(Debug)]
pub(crate) struct Fleet {
    settings: Settings,
    ports: Ports,
    clock: Arc<dyn Clock>,
    members: Mutex<Members>,
    drains: TaskTracker,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<Member>,
    /// Number of the next gateway; none is used twice, so that a name always means the same one.
    next: usize,
    /// Connections handed over so far.
    turn: usize,
}

#[derive(Debug)]
struct Member {
    handle: Handle,
    /// What stops it; taken when its drain begins.
    running: Option<Running>,
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

impl Fleet {
    /// Makes a fleet without gateways.
    pub(crate) fn new(settings: Settings, ports: Ports, clock: Arc<dyn Clock>) -> Self {
        Self { settings, ports, clock, members: Mutex::default(), drains: TaskTracker::new() }
    }

    /// Starts a gateway; returns when it takes connections.
    pub(crate) async fn add(&self) -> anyhow::Result<GatewayInfo> {
        let name = {
            let mut members = self.members();
            members.next += 1;
            format!("gateway-{}", members.next - 1)
        };
        let start = Gateway::start(self.settings.gateway(&name), self.ports.clone(), Arc::clone(&self.clock));
        let running = Box::pin(start).await.with_context(|| format!("{name} cannot start"))?;
        let until = Instant::now() + READY_WITHIN;
        while !running.is_ready() {
            if Instant::now() > until {
                Box::pin(running.shutdown(Duration::ZERO)).await;
                anyhow::bail!(
                    "{name} was not ready after {} s; the log on standard error says why",
                    READY_WITHIN.as_secs()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let member = Member::new(running);
        let info = member.info();
        self.members().list.push(member);
        Ok(info)
    }

    /// Tells of every gateway.
    pub(crate) fn list(&self) -> Vec<GatewayInfo> {
        self.members().list.iter().map(Member::info).collect()
    }

    /// Returns what every gateway says of itself.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.members().list.iter().map(|member| member.handle.status()).collect()
    }

    /// Gives a connection to the gateway it suits best.
    pub(crate) fn hand_over(&self, stream: TcpStream) {
        let mut members = self.members();
        let now = Instant::now();
        let loads: Vec<Load> = members.list.iter_mut().map(|member| member.load(now)).collect();
        members.turn = members.turn.wrapping_add(1);
        // Without any gateway the stack is ending: the connection is closed as it would be a moment later.
        let Some(index) = front_door::choose(&loads, members.turn) else { return };
        let member = &mut members.list[index];
        member.count.connections += 1;
        let handle = member.handle.clone();
        drop(members);
        handle.hand_over(stream);
    }

    /// Begins to move the connections off a gateway, at the manifest's pace; when they are gone it is stopped.
    pub(crate) fn drain(self: &Arc<Self>, name: &str) -> anyhow::Result<GatewayInfo> {
        let mut members = self.members();
        let others = members.list.iter().any(|member| member.handle.name() != name && member.handle.is_ready());
        let Some(member) = members.list.iter_mut().find(|member| member.handle.name() == name) else {
            anyhow::bail!("there is no gateway {name}; `chatctl gateways list` shows those there are");
        };
        let Some(running) = member.running.take_if(|_| others) else {
            // A drain under way is a request fulfilled; the last gateway stays.
            anyhow::ensure!(
                member.running.is_none(),
                "{name} is the only gateway that takes connections; add another first with `chatctl gateways add`"
            );
            return Ok(member.info());
        };
        let pace = self.settings.gateway(name).drain;
        let deadline = Duration::from_secs(pace.deadline_seconds);
        member.handle.drain(DrainRequest {
            deadline_at: self.clock.now().plus_millis(pace.deadline_seconds.saturating_mul(1000)),
            rate: pace.reconnects_per_second,
            lease_s: pace.deadline_seconds + LEASE_AFTER_DEADLINE_S,
        });
        let info = member.info();
        drop(members);
        let (fleet, name) = (Arc::clone(self), name.to_owned());
        self.drains.spawn(async move {
            running.shutdown(deadline).await;
            fleet.members().list.retain(|member| member.handle.name() != name);
        });
        Ok(info)
    }

    /// Stops every gateway at once. Nobody is asked to reconnect first, for there is nowhere to go; clients are told
    /// `restart` and try again after their back-off. Requests under way are finished.
    pub(crate) async fn stop(&self) {
        let now = self.clock.now();
        let members = std::mem::take(&mut self.members().list);
        for member in members {
            if let Some(running) = member.running {
                self.drains.spawn(running.shutdown(Duration::ZERO));
            } else {
                let rate = self.settings.gateway(member.handle.name()).drain.reconnects_per_second;
                member.handle.drain(DrainRequest { deadline_at: now, rate, lease_s: LEASE_AFTER_DEADLINE_S });
            }
        }
        self.drains.close();
        self.drains.wait().await;
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // Nothing panics while it holds the list; if it did, the list would still be whole.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn new(running: Running) -> Self {
        Self {
            handle: running.handle(),
            url: report::url("http", running.public_addr()),
            admin_url: report::url("http", running.admin_addr()),
            count: Count { connections: running.connections(), at: Instant::now() },
            running: Some(running),
        }
    }

    fn load(&mut self, now: Instant) -> Load {
        if now.duration_since(self.count.at) > COUNT_HOLDS {
            self.count = Count { connections: self.handle.connections(), at: now };
        }
        Load { ready: self.handle.is_ready(), connections: self.count.connections }
    }

    fn info(&self) -> GatewayInfo {
        let status = self.handle.status();
        let state = match status {
            _ if status.draining || self.running.is_none() => GatewayState::Draining,
            _ if status.ready => GatewayState::Ready,
            _ => GatewayState::Starting,
        };
        GatewayInfo {
            name: self.handle.name().to_owned(),
            state,
            connections: status.connections,
            url: self.url.clone(),
            admin_url: self.admin_url.clone(),
        }
    }
}
