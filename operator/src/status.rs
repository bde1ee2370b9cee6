//! From what a pass saw to what `status` says. Pure: what does not change keeps its time.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::Value;

use crate::{
    crd::{ChatClusterStatus, DrainProgress, GatewayCounts, ScaleState},
    reasons::reasons,
    workload::{Trouble, Workload},
};

reasons! {
    /// Says why a condition is as it is. Beside these there are the reasons for which a cluster is refused, and those by
    /// which Kubernetes says why a pod does not start, as `ImagePullBackOff`.
    ConditionReason {
        Serving => "All that is asked for runs and is ready.",
        Starting => "Pods are starting.",
        Provisioning => "The engines are being prepared: topics, keyspace, index.",
        ProvisioningFailed => "The engines could not be prepared; the message says why, and it is tried again.",
        Updating => "Pods are being replaced by those of the manifest as it is now.",
        Settled => "Nothing is under way.",
        Frozen => "`paused` keeps what would change from being changed.",
        NotFrozen => "Changes are made as the manifest changes.",
        Accepted => "The manifest can be carried out.",
        NameTaken => "An object of that name exists and belongs to somebody else.",
        FieldConflict => "Somebody else sets a field that the operator sets too.",
        MissingRBAC => "The operator lacks the right to do it; the message has the command that grants it.",
        RefusedByApiServer => "The API server refuses an object; the message is its own.",
        Unreachable => "The API server did not answer, or only with an error; it is tried again.",
        NotSupported => "This release of the operator does not run what is asked for.",
        Unreadable => "The stored object is not what this operator's definition allows.",
    }
}

/// What keeps a pass from going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// A word of a documented list.
    pub reason: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Whether it goes away without anybody changing something.
    pub passes: bool,
}

/// The gateways, as they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// Their connections, as they are told.
    pub connections: u64,
    /// Gateways that move their connections off.
    pub draining: u32,
    /// How far they are.
    pub drains: Vec<DrainProgress>,
    /// Why there are as many as there are.
    pub reason: String,
}

/// What a pass saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Generation of the manifest.
    pub generation: Option<i64>,
    /// What kept it from going on.
    pub obstacle: Option<Obstacle>,
    /// Whether changes are frozen.
    pub paused: bool,
    /// Changes that wait, in plain words.
    pub pending: Vec<String>,
    /// The workloads; none while the manifest is refused and was never carried out.
    pub workloads: Vec<Workload>,
    /// Why pods do not get ready.
    pub trouble: Option<Trouble>,
    /// Component whose pods take clients.
    pub front: &'static str,
    /// Selector of the pods that take clients.
    pub selector: String,
    /// The gateways, where they are asked.
    pub fleet: Option<Fleet>,
    /// When to look again at the latest, where something is under way that nothing tells of.
    pub again: Option<Duration>,
    /// Address that clients connect to.
    pub url: Option<String>,
    /// Values in force.
    pub resolved: Option<BTreeMap<String, Value>>,
}

/// Returns the status after a pass. What the pass did not see stays as it was.
pub fn status(old: &ChatClusterStatus, observed: &Observed, now: &Time) -> ChatClusterStatus {
    let front = observed.workloads.iter().find(|workload| workload.component == observed.front);
    let fleet = observed.fleet.as_ref();
    let counts = front.map(|front| GatewayCounts {
        desired: count(front.wanted),
        ready: count(front.ready),
        draining: fleet.map_or(0, |fleet| fleet.draining),
        connections: fleet
            .map(|fleet| fleet.connections)
            .or_else(|| old.gateways.as_ref().map(|gateways| gateways.connections))
            .unwrap_or(0),
    });
    let scale = front.map(|front| ScaleState {
        replicas: count(front.wanted),
        selector: observed.selector.clone(),
        reason: fleet.map(|fleet| fleet.reason.clone()),
    });
    ChatClusterStatus {
        observed_generation: observed.generation,
        url: observed.url.clone().or_else(|| old.url.clone()),
        resolved: observed.resolved.clone().unwrap_or_else(|| old.resolved.clone()),
        format_level: old.format_level,
        inflight: old.inflight.clone(),
        pending: observed.pending.iter().take(64).cloned().collect(),
        gateways: counts.or_else(|| old.gateways.clone()),
        redis: old.redis.clone(),
        provision: old.provision.clone(),
        drains: fleet.map_or_else(Vec::new, |fleet| fleet.drains.clone()),
        scale: scale.or_else(|| old.scale.clone()),
        conditions: conditions(old, observed, now),
    }
}

fn conditions(old: &ChatClusterStatus, observed: &Observed, now: &Time) -> Vec<Condition> {
    let (ready, reason, message) = ready(observed);
    let gateways = part(observed, |workload| workload.component == observed.front);
    let frozen = if observed.paused { ConditionReason::Frozen } else { ConditionReason::NotFrozen };
    let stuck = observed.obstacle.as_ref().filter(|obstacle| !obstacle.passes);
    let retried = observed.obstacle.as_ref().filter(|obstacle| obstacle.passes);
    let under_way = (!ready || retried.is_some()) && stuck.is_none() && !observed.paused;
    let (why, what) = match retried {
        Some(obstacle) => (obstacle.reason.clone(), obstacle.message.clone()),
        None => (reason.clone(), message.clone()),
    };
    let mut said = vec![
        ("Ready", ready, reason, message),
        (
            "Reconciling",
            under_way,
            if under_way { why } else { ConditionReason::Settled.name().to_owned() },
            if under_way { what } else { String::new() },
        ),
        (
            "Stalled",
            stuck.is_some(),
            stuck.map_or_else(|| ConditionReason::Accepted.name().to_owned(), |it| it.reason.clone()),
            stuck.map(|it| it.message.clone()).unwrap_or_default(),
        ),
        ("GatewaysReady", gateways.0, gateways.1, gateways.2),
        ("Paused", observed.paused, frozen.name().to_owned(), paused_message(observed)),
    ];
    if observed.workloads.iter().any(is_worker) {
        let (is, reason, message) = part(observed, is_worker);
        said.push(("WorkersReady", is, reason, message));
    }
    said.into_iter()
        .map(|(kind, is, reason, message)| {
            let status = if is { "True" } else { "False" };
            let before = old.conditions.iter().find(|condition| condition.type_ == kind);
            let since = before.filter(|condition| condition.status == status).map(|it| it.last_transition_time.clone());
            Condition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason,
                message,
                observed_generation: observed.generation,
                last_transition_time: since.unwrap_or_else(|| now.clone()),
            }
        })
        .collect()
}

fn is_worker(workload: &Workload) -> bool {
    workload.kind == "Deployment"
}

fn paused_message(observed: &Observed) -> String {
    match observed.pending.len() {
        0 => String::new(),
        1 => "1 change waits; see `pending`".to_owned(),
        changes => format!("{changes} changes wait; see `pending`"),
    }
}

/// Says whether everything serves. Pods may run while the manifest is refused, but they are not what was asked for then.
fn ready(observed: &Observed) -> (bool, String, String) {
    if let Some(obstacle) = observed.obstacle.as_ref().filter(|obstacle| !obstacle.passes) {
        return (false, obstacle.reason.clone(), obstacle.message.clone());
    }
    part(observed, |_| true)
}

fn part(observed: &Observed, of: impl Fn(&Workload) -> bool) -> (bool, String, String) {
    let mut workloads = observed.workloads.iter().filter(|workload| of(workload)).peekable();
    let said = |is, reason: ConditionReason, message: String| (is, reason.name().to_owned(), message);
    if workloads.peek().is_none() {
        return said(false, ConditionReason::Starting, "nothing runs yet".to_owned());
    }
    let Some(behind) = workloads.find(|workload| !workload.is_settled()) else {
        return said(true, ConditionReason::Serving, String::new());
    };
    if let Some(trouble) = &observed.trouble {
        return (false, trouble.reason.clone(), trouble.message.clone());
    }
    let Workload { kind, name, wanted, ready, updated, .. } = behind;
    if kind == "Job" {
        said(false, ConditionReason::Provisioning, format!("Job {name} prepares the engines"))
    } else if ready < wanted {
        said(false, ConditionReason::Starting, format!("{kind} {name}: {ready} of {wanted} pods are ready"))
    } else {
        said(false, ConditionReason::Updating, format!("{kind} {name}: {updated} of {wanted} pods are up to date"))
    }
}

fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
