//! The gateways of a local stack: started, listed, drained, stopped, and chosen from for each new connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chat_core::clock::Clock;
use chat_gateway::{Gateway, Handle, Ports, Running, Status};
use operator::scaling;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::member::Member;
use super::front_door::{self, Load};
use super::report::{Event, Report};
use super::settings::Settings;
use crate::control::GatewayInfo;

mod drains;
mod member;

#[cfg(test)]
mod tests;

/// How long a new gateway may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The gateways.
#[derive(Debug)]
pub(crate) struct Fleet {
    settings: Settings,
    ports: Ports,
    clock: Arc<dyn Clock>,
    report: Report,
    members: Mutex<Members>,
    /// Starts and drains under way.
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<Member>,
    /// Number of the next gateway; none is used twice, so that a name always means the same one.
    next: u32,
    /// Connections handed over so far.
    turn: usize,
    /// No gateway comes any more.
    is_stopping: bool,
}

impl Members {
    fn find(&mut self, name: &str) -> Option<&mut Member> {
        self.list.iter_mut().find(|member| member.handle.name() == name)
    }

    /// Returns the gateways as the planner sees them.
    fn seen(&self) -> Vec<scaling::Gateway> {
        self.list.iter().map(Member::seen).collect()
    }
}

/// Returns the name of a gateway.
pub(crate) fn name(ordinal: u32) -> String {
    format!("gateway-{ordinal}")
}

impl Fleet {
    /// Makes a fleet without gateways.
    pub(crate) fn new(settings: Settings, ports: Ports, clock: Arc<dyn Clock>, report: Report) -> Self {
        Self { settings, ports, clock, report, members: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// Starts a gateway; returns when it takes connections.
    pub(crate) async fn add(self: &Arc<Self>) -> anyhow::Result<GatewayInfo> {
        let starting = {
            let mut members = self.members();
            anyhow::ensure!(!members.is_stopping, "no gateway is started any more: the stack is ending");
            let ordinal = members.next;
            members.next += 1;
            // In a task of its own: whoever asks may be dropped meanwhile, and what has begun is then still to be
            // stopped. Spawned under the lock, so that a stop that comes next waits for it.
            let fleet = Arc::clone(self);
            self.tasks.spawn(async move { fleet.start(ordinal).await })
        };
        starting.await.context("the start was given up")?
    }

    async fn start(&self, ordinal: u32) -> anyhow::Result<GatewayInfo> {
        let name = name(ordinal);
        let start = Gateway::start(self.settings.gateway(&name), self.ports.clone(), Arc::clone(&self.clock));
        let running = Box::pin(start).await.with_context(|| format!("{name} cannot start"))?;
        let until = Instant::now() + READY_WITHIN;
        while !running.is_ready() && !self.members().is_stopping && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if !running.is_ready() {
            Box::pin(running.shutdown(Duration::ZERO)).await;
            anyhow::bail!(
                "{name} was not ready within {} s; the log on standard error says why",
                READY_WITHIN.as_secs()
            );
        }
        let member = Member::new(ordinal, running);
        let info = member.info();
        if let Some(late) = self.take_in(member) {
            Box::pin(late.shutdown(Duration::ZERO)).await;
            anyhow::bail!("{name} is not needed any more: the stack is ending");
        }
        self.tell(&Event::Gateway(&info));
        Ok(info)
    }

    /// Takes a gateway in, or gives it back where nobody would stop it any more.
    fn take_in(&self, member: Member) -> Option<Running> {
        let mut members = self.members();
        if members.is_stopping {
            return member.running;
        }
        members.list.push(member);
        None
    }

    /// Tells of every gateway.
    pub(crate) fn list(&self) -> Vec<GatewayInfo> {
        self.members().list.iter().map(Member::info).collect()
    }

    /// Returns the gateways as the planner sees them.
    pub(crate) fn seen(&self) -> Vec<scaling::Gateway> {
        self.members().seen()
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
        let handle: Handle = members.list[index].chosen();
        drop(members);
        handle.hand_over(stream);
    }

    /// Stops every gateway at once. Nobody is asked to reconnect first, for there is nowhere to go; clients are told
    /// `restart` and try again after their back-off. Requests under way are finished.
    pub(crate) async fn stop(&self) {
        let list = {
            let mut members = self.members();
            members.is_stopping = true;
            std::mem::take(&mut members.list)
        };
        // One that has left its drain behind is stopped by that drain's task, and one that is starting by its own: both
        // are waited for.
        for running in list.into_iter().filter_map(|member| member.running) {
            self.tasks.spawn(running.shutdown(Duration::ZERO));
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Tells of an event; one that nobody hears changes nothing.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        if let Err(error) = self.report.tell(event) {
            tracing::warn!(error = format!("{error:#}"), "an event was not told");
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // Nothing panics while it holds the list; if it did, the list would still be whole.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
