//! Workers: a Deployment for each role.

use chat_core::config::WorkerRole;
use serde_json::json;

use super::super::{
    Names, Object,
    pod::{Pod, config_volume},
};
use super::{ADMIN_PORT, External, FILE, args, disruption_budget, probes, security, settings};
use crate::build::fingerprint;
use crate::crd;
use crate::validate::ValidatedCluster;

/// What the roles share: settings, and the service account.
const SHARED: &str = "workers";

/// Seconds from SIGTERM to SIGKILL: what is under way is finished, or done again by the next owner.
const GRACE_SECONDS: u64 = 30;

/// A role that a cluster has work for.
pub(in super::super) struct Role<'a> {
    /// Which; its name is its component too.
    pub(in super::super) kind: WorkerRole,
    given: &'a crd::WorkerRole,
}

pub(in super::super) fn roles(cluster: &ValidatedCluster) -> Vec<Role<'_>> {
    let workers = &cluster.spec.workers;
    let all = [
        (true, WorkerRole::Sequencer, &workers.sequencer),
        (true, WorkerRole::Receipts, &workers.receipts),
        (cluster.spec.search_enabled(), WorkerRole::Indexer, &workers.indexer),
        (cluster.spec.push.is_enabled(), WorkerRole::Push, &workers.push),
        (true, WorkerRole::Analytics, &workers.analytics),
    ];
    let wanted = all.into_iter().filter(|(wanted, ..)| *wanted);
    wanted.map(|(_, kind, given)| Role { kind, given }).collect()
}

pub(super) fn objects(names: &Names<'_>, engines: External<'_>) -> Vec<Object> {
    let settings = settings::workers(names, engines);
    let template = &names.0.spec.workers.pod_template;
    let mut objects: Vec<_> = names.service_account(template, SHARED).into_iter().collect();
    objects.push(names.config_map(&names.of(SHARED), SHARED, FILE, &settings.text));
    for Role { kind, given } in roles(names.0) {
        let role = kind.name();
        let mut volumes = vec![config_volume(names.of(SHARED))];
        volumes.extend(settings.volumes());
        let pod = names.pod(&Pod {
            component: role,
            account: SHARED,
            template,
            resources: &given.resources,
            default_resources: ("250m", "512Mi"),
            image: &names.0.images.workers,
            args: args(),
            env: vec![json!({ "name": "CHAT_WORKERS__ROLES", "value": format!("[{role}]") })],
            ports: json!([{ "name": "admin", "containerPort": ADMIN_PORT }]),
            probes: probes(),
            volumes,
            settings: fingerprint(&settings.text),
            grace: GRACE_SECONDS,
            security: security(),
        });
        objects.push(disruption_budget(names, role));
        objects.push(Object::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": names.metadata(&names.of(role), role),
            "spec": {
                "replicas": given.replicas(),
                "revisionHistoryLimit": 3,
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
                "selector": { "matchLabels": names.selector(role) },
                "template": pod,
            },
        })));
    }
    objects
}
