//! The gateways of a local stack: started, listed, drained, stopped, and chosen from for each new connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chat_core::clock::Clock;
use chat_gateway::{Gateway, Handle, Ports, Status};
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
    drains: TaskTracker,
}

#[derive(Debug, Default)]
struct Members {
    list: Vec<Member>,
    /// Number of the next gateway; none is used twice, so that a name always means the same one.
    next: u32,
    /// Connections handed over so far.
    turn: usize,
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
        Self { settings, ports, clock, report, members: Mutex::default(), drains: TaskTracker::new() }
    }

    /// Starts a gateway; returns when it takes connections.
    pub(crate) async fn add(&self) -> anyhow::Result<GatewayInfo> {
        let ordinal = {
            let mut members = self.members();
            members.next += 1;
            members.next - 1
        };
        let name = name(ordinal);
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
        let member = Member::new(ordinal, running);
        let info = member.info();
        self.members().list.push(member);
        self.tell(&Event::Gateway(&info));
        Ok(info)
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
        let members = std::mem::take(&mut self.members().list);
        // One that has left its drain behind is stopped by that drain's task, which is waited for too.
        for running in members.into_iter().filter_map(|member| member.running) {
            self.drains.spawn(running.shutdown(Duration::ZERO));
        }
        self.drains.close();
        self.drains.wait().await;
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
