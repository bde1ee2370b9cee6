//! Gateways: a StatefulSet, whose rollout stops at a cursor.

use serde_json::{Value, json};

use super::super::{
    CLIENT_PORT, Names, Object,
    pod::{Pod, config_volume},
};
use super::{ADMIN_PORT, External, FILE, Running, args, disruption_budget, probes, security, settings};
use crate::build::fingerprint;
use crate::crd::Resources;

/// Component of the pods.
pub(in super::super) const COMPONENT: &str = "gateway";

/// Seconds past the deadline of a drain, for what is under way.
const GRACE_SECONDS: u64 = 30;

pub(super) fn objects(names: &Names<'_>, engines: External<'_>, running: &Running) -> Vec<Object> {
    let spec = &names.0.spec.gateways;
    let settings = settings::gateway(names, engines);
    let mut volumes = vec![config_volume(names.of(COMPONENT))];
    volumes.extend(settings.volumes());
    let pod = names.pod(&Pod {
        component: COMPONENT,
        account: COMPONENT,
        template: &spec.pod_template,
        resources: &Resources::default(),
        default_resources: ("500m", "1Gi"),
        image: &names.0.images.gateway,
        args: args(),
        env: vec![name_of_pod()],
        ports: json!([
            { "name": "client", "containerPort": CLIENT_PORT },
            { "name": "admin", "containerPort": ADMIN_PORT },
        ]),
        probes: probes(),
        volumes,
        settings: fingerprint(&settings.text),
        grace: spec.drain.deadline().as_secs() + GRACE_SECONDS,
        security: security(),
    });
    let mut objects: Vec<_> = names.service_account(&spec.pod_template, COMPONENT).into_iter().collect();
    objects.push(names.config_map(&names.of(COMPONENT), COMPONENT, FILE, &settings.text));
    objects.push(names.headless(
        &names.of("gateway-pods"),
        COMPONENT,
        &json!([{ "name": "client", "port": CLIENT_PORT }, { "name": "admin", "port": ADMIN_PORT }]),
    ));
    objects.push(disruption_budget(names, COMPONENT));
    objects.push(Object::new(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": names.metadata(&names.of(COMPONENT), COMPONENT),
        "spec": {
            "replicas": running.gateways,
            "serviceName": names.of("gateway-pods"),
            "podManagementPolicy": "Parallel",
            // A pod that is lost in mid-rollout comes back as it was when its ordinal is below.
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": running.partition } },
            "revisionHistoryLimit": 3,
            "selector": { "matchLabels": names.selector(COMPONENT) },
            "template": pod,
        },
    })));
    objects
}

/// The gateway is called as its pod is.
fn name_of_pod() -> Value {
    json!({ "name": "CHAT_GATEWAY__NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } })
}
