//! Gateways and workers beside engines that somebody else runs.

mod engines;
mod gateways;
mod provision;
mod settings;
mod workers;

use serde_json::{Value, json};

use super::{Names, Object, exposure, pod::Probes};
use crate::crd::RedisServers;
use crate::validate::{Engines, RedisChoice};

pub(super) use engines::CASSANDRA_PORT;
pub(super) use gateways::COMPONENT as GATEWAY;
pub(super) use provision::COMPONENT as PROVISION;
pub(super) use workers::roles;

use super::super::Running;

/// Port of probes, metrics, `/status` and `/drain`; on no Service that clients reach.
pub(in super::super) const ADMIN_PORT: u16 = 8081;

/// File of the settings, in the ConfigMap of a component.
const FILE: &str = "chat.yaml";

/// Engines that somebody else runs, Redis too.
#[derive(Clone, Copy)]
pub(super) struct External<'a> {
    pub(super) all: &'a Engines,
    pub(super) redis: &'a RedisServers,
}

impl<'a> External<'a> {
    pub(super) fn of(all: &'a Engines) -> Option<Self> {
        match &all.redis {
            RedisChoice::External(redis) => Some(Self { all, redis }),
            RedisChoice::Managed(_) => None,
        }
    }
}

/// The objects, in the order in which they are applied: what engines need first, then who reads the log, then who fills
/// it.
pub(super) fn objects(names: &Names<'_>, engines: External<'_>, running: &Running) -> Vec<Object> {
    let mut objects = provision::objects(names, engines);
    objects.extend(workers::objects(names, engines));
    objects.extend(gateways::objects(names, engines, running));
    objects.extend(exposure::objects(names, GATEWAY));
    objects
}

/// The command line of a process: its settings.
fn args() -> Value {
    json!(["-c", format!("/etc/chat/{FILE}")])
}

/// A process that waits for its engines is alive, and not ready.
fn probes() -> Probes {
    let get = |path: &str| json!({ "path": path, "port": "admin" });
    Probes {
        startup: json!({ "httpGet": get("/healthz"), "periodSeconds": 2, "failureThreshold": 30 }),
        readiness: json!({ "httpGet": get("/readyz"), "periodSeconds": 5, "timeoutSeconds": 2 }),
        liveness: json!({ "httpGet": get("/healthz"), "periodSeconds": 20, "timeoutSeconds": 10 }),
    }
}

/// Files of Secrets belong to the group, whatever user the image has.
fn security() -> Value {
    json!({ "fsGroup": 65_532, "fsGroupChangePolicy": "OnRootMismatch" })
}

/// At most one pod of a component goes at a time when nodes are drained; one that is not ready may always go.
fn disruption_budget(names: &Names<'_>, component: &str) -> Object {
    Object::new(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": names.metadata(&names.of(component), component),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": { "matchLabels": names.selector(component) },
        },
    }))
}
