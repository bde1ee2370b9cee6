//! How a local stack is at one moment: what the live view shows, and what `--status-every` tells.

use chat_core::clock::Time;
use chat_gateway::Status;
use chat_workers::{Role, RoleStatus};
use operator::scaling::{Plan, Reason};
use serde::Serialize;

use crate::control::GatewayState;

/// One moment of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Snapshot {
    /// Each gateway.
    pub(crate) gateways: Vec<GatewaySnapshot>,
    /// Connections of all of them.
    pub(crate) connections: usize,
    /// Records appended in the last second.
    pub(crate) sends_per_s: u64,
    /// Frames delivered in the last second.
    pub(crate) deliveries_per_s: u64,
    /// Records that each role of the workers has still to take. Rollups are gathered for some seconds before they are
    /// written, and so their lag says nothing and is not here.
    pub(crate) lag: Vec<RoleLag>,
    /// What the planner of gateways said last; absent where it does not decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scaling: Option<Scaling>,
}

/// One gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct GatewaySnapshot {
    /// Its name.
    pub(crate) name: String,
    /// Whether it takes connections.
    pub(crate) state: GatewayState,
    /// Connections it holds.
    pub(crate) connections: usize,
    /// Connections it may hold.
    pub(crate) capacity: usize,
    /// Records appended in the last second.
    pub(crate) sends_per_s: u64,
    /// Frames delivered in the last second.
    pub(crate) deliveries_per_s: u64,
    /// Bytes that wait for slow clients.
    pub(crate) queue_bytes: u64,
    /// Its drain, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drain: Option<DrainSnapshot>,
}

/// The drain of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DrainSnapshot {
    /// Connections at its beginning.
    pub(crate) initial: usize,
    /// Connections asked to move per second.
    pub(crate) reconnects_per_s: u32,
    /// Seconds until nobody may be left.
    pub(crate) left_s: u64,
}

/// How far a role of the workers is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct RoleLag {
    /// The role.
    pub(crate) role: Role,
    /// Records.
    pub(crate) records: u64,
}

/// What the planner of gateways said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Scaling {
    /// Number of gateways to get to.
    pub(crate) desired: u32,
    /// Why, in plain words.
    pub(crate) reason: String,
    /// Whether it is the number there is.
    #[serde(skip)]
    pub(crate) settled: bool,
}

impl Snapshot {
    /// Puts together what the parts say.
    pub(crate) fn new(gateways: &[Status], roles: &[RoleStatus], plan: Option<&Plan>, now: Time) -> Self {
        let lag = |role: &RoleStatus| RoleLag {
            role: role.role,
            records: role.partitions.iter().map(|partition| partition.lag).sum(),
        };
        Self {
            connections: gateways.iter().map(|gateway| gateway.connections).sum(),
            sends_per_s: gateways.iter().map(|gateway| gateway.sends_per_s).sum(),
            deliveries_per_s: gateways.iter().map(|gateway| gateway.deliveries_per_s).sum(),
            gateways: gateways.iter().map(|status| GatewaySnapshot::new(status, now)).collect(),
            lag: roles.iter().filter(|role| role.role != Role::Analytics).map(lag).collect(),
            scaling: plan.map(|plan| Scaling {
                desired: plan.desired,
                reason: plan.reason.to_string(),
                settled: plan.reason == Reason::Settled,
            }),
        }
    }

    /// Returns how many gateways take connections.
    pub(crate) fn ready(&self) -> usize {
        self.gateways.iter().filter(|gateway| gateway.state == GatewayState::Ready).count()
    }

    /// Says how it is in a line.
    pub(crate) fn line(&self) -> String {
        let lag = match self.lag.iter().max_by_key(|lag| lag.records) {
            Some(RoleLag { role, records }) if *records > 0 => format!("lag {records} ({role})"),
            _ => "no lag".to_owned(),
        };
        format!(
            "{}/{} gateways ready · {} connections · {} sends/s · {} deliveries/s · {lag}",
            self.ready(),
            self.gateways.len(),
            self.connections,
            self.sends_per_s,
            self.deliveries_per_s
        )
    }
}

impl GatewaySnapshot {
    fn new(status: &Status, now: Time) -> Self {
        Self {
            name: status.gateway.clone(),
            state: GatewayState::of(status),
            connections: status.connections,
            capacity: status.capacity,
            sends_per_s: status.sends_per_s,
            deliveries_per_s: status.deliveries_per_s,
            queue_bytes: status.queue_bytes,
            drain: status.drain.map(|drain| DrainSnapshot {
                initial: drain.initial,
                reconnects_per_s: drain.rate,
                left_s: drain.deadline_at.millis_since(now).div_ceil(1000),
            }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chat_gateway::{DrainStatus, Formats};
    use chat_workers::status::PartitionStatus;
    use operator::scaling::Step;

    use super::*;

    fn gateway(name: &str, drain: Option<DrainStatus>) -> Status {
        Status {
            gateway: name.into(),
            boot: "b".into(),
            version: "0.1.0".into(),
            formats: Formats { reads: vec![1], writes: 1 },
            ready: drain.is_none(),
            draining: drain.is_some(),
            connections: 70,
            capacity: 100,
            sends_per_s: 20,
            deliveries_per_s: 300,
            queue_bytes: 2048,
            drain,
            engines: Vec::new(),
        }
    }

    fn role(role: Role, lags: [u64; 2]) -> RoleStatus {
        let partition = |(id, lag)| PartitionStatus { id, lag, blocked: None };
        RoleStatus { role, partitions: [0, 1].into_iter().zip(lags).map(partition).collect() }
    }

    /// Makes a snapshot with a gateway that takes connections and one that drains.
    pub(crate) fn two_gateways() -> Snapshot {
        let at = Time::from_millis;
        let drain = DrainStatus { started_at: at(0), deadline_at: at(31_500), initial: 140, remaining: 70, rate: 50 };
        let roles = [role(Role::Sequencer, [0, 1]), role(Role::Push, [2, 3]), role(Role::Analytics, [60, 60])];
        let plan = Plan { desired: 1, step: Step::Keep, reason: Reason::Draining };
        Snapshot::new(&[gateway("gateway-0", None), gateway("gateway-1", Some(drain))], &roles, Some(&plan), at(20_000))
    }

    #[test]
    fn gateways_are_added_up_and_of_the_roles_the_last_is_told() {
        let line = "1/2 gateways ready · 140 connections · 40 sends/s · 600 deliveries/s · lag 5 (push)";
        assert_eq!(two_gateways().line(), line);
        let idle = Snapshot::new(&[], &[role(Role::Sequencer, [0, 0])], None, Time::default());
        assert!(idle.line().ends_with("no lag"));
    }

    #[test]
    fn scripts_get_one_flat_object_a_gateway() {
        let json = serde_json::to_value(two_gateways()).unwrap();
        assert_eq!(json["gateways"][1]["state"], "draining");
        let drain = serde_json::json!({"initial": 140, "reconnects_per_s": 50, "left_s": 12});
        assert_eq!(json["gateways"][1]["drain"], drain);
        assert_eq!(json["scaling"], serde_json::json!({"desired": 1, "reason": "waits for a drain"}));
        assert_eq!(json["lag"][1], serde_json::json!({"role": "push", "records": 5}));
    }
}
