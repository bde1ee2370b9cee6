//! Moving the connections off a gateway, and its end: the drain protocol that an operator speaks, spoken in process.

use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::Time;
use chat_gateway::{DrainRequest, Running};
use operator::scaling;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Fleet;
use crate::control::GatewayInfo;
use crate::local::report::Event;

/// How often a drain is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often a drain is renewed, at the pace that the others allow just then.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// How long a drain goes on without being renewed, in seconds: what the operator gives it too.
const LEASE_S: u64 = 60;

/// A drain of a member.
#[derive(Debug)]
pub(super) struct Leaving {
    /// Whether a person asked for it, and not the planner.
    pub(super) asked: bool,
    deadline_at: Time,
    _ended: DropGuard,
}

impl Fleet {
    /// Begins to move the connections off a gateway because a person asked, at the manifest's pace; when they are gone
    /// it is stopped.
    pub(crate) fn drain(self: &Arc<Self>, name: &str) -> anyhow::Result<GatewayInfo> {
        self.begin_drain(name, true)
    }

    /// Does the same because fewer gateways are enough; it can be [withdrawn](Self::withdraw).
    pub(crate) fn scale_in(self: &Arc<Self>, name: &str) -> anyhow::Result<GatewayInfo> {
        self.begin_drain(name, false)
    }

    /// Lets a gateway that was to be scaled in take connections again.
    pub(crate) fn withdraw(&self, name: &str) {
        let mut members = self.members();
        let Some(member) = members.find(name) else { return };
        if member.running.is_some() && member.leaving.take_if(|leaving| !leaving.asked).is_some() {
            member.handle.cancel_drain();
            drop(members);
            self.tell(&Event::Withdrawn { gateway: name });
        }
    }

    fn begin_drain(self: &Arc<Self>, name: &str, asked: bool) -> anyhow::Result<GatewayInfo> {
        let pace = self.settings.gateway(name).drain;
        let mut members = self.members();
        let others = members.list.iter().any(|member| member.handle.name() != name && member.handle.is_ready());
        let Some(member) = members.find(name) else {
            anyhow::bail!("there is no gateway {name}; `chatctl gateways list` shows those there are");
        };
        if let Some(leaving) = &mut member.leaving {
            // A drain under way is a request fulfilled.
            leaving.asked |= asked;
            return Ok(member.info());
        }
        anyhow::ensure!(
            others,
            "{name} is the only gateway that takes connections; add another first with `chatctl gateways add`"
        );
        let ended = CancellationToken::new();
        let deadline = Duration::from_secs(pace.deadline_seconds);
        member.leaving = Some(Leaving {
            asked,
            deadline_at: self.clock.now().plus_millis(pace.deadline_seconds.saturating_mul(1000)),
            _ended: ended.clone().drop_guard(),
        });
        drop(members);
        let rate = self.renew(name);
        let mut members = self.members();
        let member = members.find(name);
        let info = member.map(|member| member.info()).ok_or_else(|| anyhow::anyhow!("{name} is gone already"))?;
        drop(members);
        self.tell(&Event::Draining {
            gateway: name,
            connections: info.connections,
            deadline_s: pace.deadline_seconds,
            reconnects_per_s: rate,
        });
        let (fleet, name) = (Arc::clone(self), name.to_owned());
        self.tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = fleet.carry_out(&name, Instant::now() + deadline) => {}
            }
        });
        Ok(info)
    }

    /// Waits until a gateway is empty or its time is up, and stops it.
    async fn carry_out(&self, name: &str, until: Instant) {
        let begun = Instant::now();
        let mut renew_at = begun + RENEW_EVERY;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let running = loop {
            let now = looks.tick().await;
            if now >= renew_at {
                self.renew(name);
                renew_at = now + RENEW_EVERY;
            }
            if let Some(running) = self.take_if_over(name, now >= until) {
                break running;
            }
        };
        let left = running.connections();
        running.shutdown(Duration::ZERO).await;
        self.members().list.retain(|member| member.handle.name() != name);
        let after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.tell(&Event::Drained { gateway: name, left, after_ms });
    }

    /// Asks a draining gateway to go on, at the pace that the others allow now; returns the pace, in connections a
    /// second.
    fn renew(&self, name: &str) -> u32 {
        let config = self.settings.gateway(name);
        let mut members = self.members();
        let capacity = u32::try_from(config.max_connections).unwrap_or(u32::MAX);
        let rate = scaling::pace(config.drain.reconnects_per_second, capacity, &members.seen(), RENEW_EVERY);
        if let Some(member) = members.find(name)
            && let Some(Leaving { deadline_at, .. }) = member.leaving
        {
            member.handle.drain(DrainRequest { deadline_at, rate, lease_s: LEASE_S });
        }
        rate
    }

    fn take_if_over(&self, name: &str, late: bool) -> Option<Running> {
        let mut members = self.members();
        let member = members.find(name)?;
        if late || member.handle.connections() == 0 { member.running.take() } else { None }
    }
}
