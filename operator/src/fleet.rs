//! The gateways of a cluster as one pass sees them: pods, and what each says of itself. Pure.
//!
//! That a pod is to go is an annotation on it, with the moment by which nobody may be left: an operator that starts anew
//! goes on with the drain it finds, and a pod without one takes clients.

use chat_core::clock::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scaling::{Gateway, Phase};

/// Annotation of a pod that moves its connections off.
pub const DRAIN: &str = "chatcluster.dev/drain";

/// How long past its deadline a pod that does not answer counts as one that holds connections.
const SILENT_MS: u64 = 10_000;

/// Why a pod is to go, and by when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Why.
    pub reason: String,
    /// When nobody may be left.
    pub deadline_at: Time,
}

/// A pod of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its number.
    pub ordinal: u32,
    /// Version of the object.
    pub version: String,
    /// Where it is reached.
    pub ip: Option<String>,
    /// Whether Kubernetes sends clients to it.
    pub ready: bool,
    /// Whether it is about to end.
    pub ends: bool,
    /// Whether it is to go.
    pub intent: Option<Intent>,
}

impl Pod {
    /// Reads a pod; `None` where its name has no number.
    pub fn of(pod: &Value) -> Option<Self> {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let name = text("/metadata/name")?;
        let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
        let intent = pod["metadata"]["annotations"][DRAIN].as_str();
        Some(Self {
            ordinal: name.rsplit_once('-')?.1.parse().ok()?,
            version: text("/metadata/resourceVersion").unwrap_or_default(),
            ip: text("/status/podIP").filter(|ip| !ip.is_empty()),
            ready: conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True"),
            ends: pod.pointer("/metadata/deletionTimestamp").is_some(),
            intent: intent.and_then(|intent| serde_json::from_str(intent).ok()),
            name,
        })
    }
}

/// What a gateway says of itself: of its `/status`, what is read here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// Takes clients.
    pub ready: bool,
    /// Moves clients off.
    pub draining: bool,
    /// Sessions now.
    pub connections: u64,
    /// The drain under way.
    #[serde(default)]
    pub drain: Option<Drain>,
}

/// A drain, as the gateway sees it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Drain {
    /// When it began.
    pub started_at: Time,
    /// When nobody may be left.
    pub deadline_at: Time,
    /// Sessions at its beginning.
    pub initial: u64,
    /// Sessions now.
    pub remaining: u64,
}

/// A gateway: a pod, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The pod.
    pub pod: Pod,
    /// What it says; `None` where it does not answer.
    pub answer: Option<Answer>,
}

impl Member {
    fn phase(&self) -> Phase {
        match (&self.pod.intent, &self.answer) {
            _ if self.pod.ends => Phase::Leaving,
            (Some(_), _) => Phase::Draining,
            (None, Some(answer)) if answer.ready || answer.draining => Phase::Ready,
            (None, None) if self.pod.ready => Phase::Ready,
            (None, _) => Phase::Starting,
        }
    }

    /// Tells whether nobody is lost when the pod goes.
    fn is_drained(&self, now: Time) -> bool {
        let Some(intent) = &self.pod.intent else { return false };
        match &self.answer {
            Some(answer) => answer.draining && answer.connections == 0,
            None => now.millis_since(intent.deadline_at) > SILENT_MS,
        }
    }
}

/// Returns the gateways as the planner sees them: `replicas` of them, those too that have no pod yet.
pub fn seen(members: &[Member], replicas: u32) -> Vec<Gateway> {
    let of = |ordinal| {
        let member = members.iter().find(|member| member.pod.ordinal == ordinal);
        member.map_or(Gateway { ordinal, phase: Phase::Starting, connections: Some(0) }, |member| Gateway {
            ordinal,
            phase: member.phase(),
            connections: member.answer.as_ref().map(|answer| answer.connections),
        })
    };
    (0..replicas).map(of).collect()
}

/// Returns the number of gateways that is left when the last ones that are drained go. One that is not drained keeps all
/// below it: a StatefulSet removes its last pods.
pub fn left(members: &[Member], replicas: u32, now: Time) -> u32 {
    let is_drained = |ordinal| members.iter().any(|it| it.pod.ordinal == ordinal && it.is_drained(now));
    let last = (0..replicas).rev().find(|ordinal| !is_drained(*ordinal));
    last.map_or(0, |last| last + 1)
}

/// Returns the gateways whose drain was let go of for so long that its deadline is past, and which take clients again:
/// to go on would close all of them at once, so it is begun anew.
pub fn stale(members: &[Member], now: Time) -> Vec<u32> {
    let is = |member: &&Member| {
        let past = member.pod.intent.as_ref().is_some_and(|intent| intent.deadline_at < now);
        past && member.answer.as_ref().is_some_and(|answer| !answer.draining && answer.connections > 0)
    };
    members.iter().filter(is).map(|member| member.pod.ordinal).collect()
}

/// Rounds a number of connections to two digits, so that a status does not change with every client.
pub fn rounded(connections: u64) -> u64 {
    let mut scale: u64 = 1;
    while connections / scale >= 100 {
        scale *= 10;
    }
    (connections + scale / 2) / scale * scale
}

#[cfg(test)]
mod tests;
