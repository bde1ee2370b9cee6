//! The pod that all components share: restricted Pod Security, read-only root, no token, spread over hosts and zones.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Names;
use crate::crd::{EnvVar, PodTemplate, PullPolicy, Resources};

/// What differs between the pods of the components.
pub(super) struct Pod<'a> {
    pub(super) component: &'a str,
    /// Component whose service account it has.
    pub(super) account: &'a str,
    pub(super) template: &'a PodTemplate,
    /// CPU and memory; where the manifest gives none, `default_resources`.
    pub(super) resources: &'a Resources,
    /// CPU and memory that are asked for where the manifest does not say.
    pub(super) default_resources: (&'a str, &'a str),
    pub(super) image: &'a str,
    pub(super) args: Value,
    pub(super) env: Vec<Value>,
    pub(super) ports: Value,
    pub(super) probes: Probes,
    pub(super) volumes: Vec<Volume>,
    /// Hash of the settings that are read at start only; a pod restarts when it changes.
    pub(super) settings: String,
    /// Seconds from SIGTERM to SIGKILL.
    pub(super) grace: u64,
    /// What the pod's own security adds where the manifest says nothing: the user of an image without a numeric one.
    pub(super) security: Value,
}

/// Probes of the main container.
pub(super) struct Probes {
    pub(super) startup: Value,
    pub(super) readiness: Value,
    pub(super) liveness: Value,
}

/// A volume and where it is mounted, read-only unless it is scratch space.
#[derive(Clone)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) source: Source,
}

#[derive(Clone)]
pub(super) enum Source {
    ConfigMap(String),
    Secret(String),
    /// A claim of the StatefulSet.
    Claim,
}

/// Directory of the Secrets, each a directory of its keys.
pub(super) const SECRETS: &str = "/run/secrets/chat";

/// The settings that a process reads.
pub(super) fn config_volume(map: String) -> Volume {
    Volume { name: "config".into(), path: "/etc/chat".into(), source: Source::ConfigMap(map) }
}

/// A volume for each Secret: what changes in it is there without a restart.
pub(super) fn secret_volumes(secrets: &BTreeSet<String>) -> Vec<Volume> {
    let volume = |(number, secret): (usize, &String)| Volume {
        // The name of a Secret may be longer than that of a volume.
        name: format!("secret-{number}"),
        path: format!("{SECRETS}/{secret}"),
        source: Source::Secret(secret.clone()),
    };
    secrets.iter().enumerate().map(volume).collect()
}

impl Names<'_> {
    /// Returns the template of a pod: `metadata` and `spec`.
    pub(super) fn pod(&self, pod: &Pod<'_>) -> Value {
        let template = pod.template;
        let mut labels = json!(template.labels);
        for (label, value) in self.labels(pod.component).as_object().into_iter().flatten() {
            labels[label] = value.clone();
        }
        let mut annotations = json!(template.annotations);
        annotations["chatcluster.dev/settings"] = pod.settings.clone().into();
        json!({
            "metadata": { "labels": labels, "annotations": annotations },
            "spec": {
                "serviceAccountName":
                    template.service_account.clone().unwrap_or_else(|| self.of(pod.account)),
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "securityContext": pod_security(template, &pod.security),
                "terminationGracePeriodSeconds": pod.grace,
                "imagePullSecrets": some(self.0.images.pull_secrets.iter().map(|name| json!({ "name": name })).collect()),
                "nodeSelector": (!template.node_selector.is_empty()).then_some(&template.node_selector),
                "tolerations": (!template.tolerations.is_empty()).then_some(&template.tolerations),
                "affinity": template.affinity,
                "priorityClassName": template.priority_class_name,
                "topologySpreadConstraints": self.spread(template, pod.component),
                "containers": [self.container(pod)],
                "volumes": some(pod.volumes.iter().filter_map(volume).collect()),
            },
        })
    }

    fn container(&self, pod: &Pod<'_>) -> Value {
        let env = pod.env.iter().cloned().chain(pod.template.extra_env.iter().map(variable)).collect();
        let mounts = pod.volumes.iter().map(|volume| {
            let writable = matches!(volume.source, Source::Claim);
            json!({ "name": volume.name, "mountPath": volume.path, "readOnly": (!writable).then_some(true) })
        });
        json!({
            "name": pod.component,
            "image": pod.image,
            "imagePullPolicy": self.0.images.pull_policy.map(pull_policy),
            "args": pod.args,
            "env": some(env),
            "ports": pod.ports,
            "resources": resources(pod),
            "startupProbe": pod.probes.startup,
            "readinessProbe": pod.probes.readiness,
            "livenessProbe": pod.probes.liveness,
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": some(mounts.collect()),
        })
    }

    /// Spreads over hosts and zones where possible; a full zone stops nobody.
    fn spread(&self, template: &PodTemplate, component: &str) -> Value {
        if !template.topology_spread_constraints.is_empty() {
            return json!(template.topology_spread_constraints);
        }
        let over = |key: &str| {
            json!({
                "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": self.selector(component) },
            })
        };
        json!([over("kubernetes.io/hostname"), over("topology.kubernetes.io/zone")])
    }
}

fn pod_security(template: &PodTemplate, more: &Value) -> Value {
    if let Some(given) = &template.security_context {
        return json!(given);
    }
    let mut security = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    for (field, value) in more.as_object().into_iter().flatten() {
        security[field] = value.clone();
    }
    security
}

fn resources(pod: &Pod<'_>) -> Value {
    let template = &pod.template.resources;
    let given = if *pod.resources == Resources::default() { template } else { pod.resources };
    if *given == Resources::default() {
        let (cpu, memory) = pod.default_resources;
        return json!({ "requests": { "cpu": cpu, "memory": memory } });
    }
    json!(given)
}

fn variable(variable: &EnvVar) -> Value {
    let source = variable.value_from.as_ref().map(|source| {
        let secret = source.secret_key_ref.as_ref();
        let secret = secret.map(|it| json!({ "name": it.name, "key": it.key_or("value") }));
        let map = source.config_map_key_ref.as_ref().map(|it| json!({ "name": it.name, "key": it.key }));
        json!({ "secretKeyRef": secret, "configMapKeyRef": map })
    });
    json!({ "name": variable.name, "value": variable.value, "valueFrom": source })
}

fn volume(volume: &Volume) -> Option<Value> {
    let name = &volume.name;
    match &volume.source {
        Source::ConfigMap(map) => Some(json!({ "name": name, "configMap": { "name": map } })),
        // The group of the pod reads it, and nobody else.
        Source::Secret(secret) => {
            Some(json!({ "name": name, "secret": { "secretName": secret, "defaultMode": 0o440 } }))
        }
        Source::Claim => None,
    }
}

fn pull_policy(policy: PullPolicy) -> &'static str {
    match policy {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
    }
}

/// A list, or nothing where it is empty.
fn some(list: Vec<Value>) -> Option<Vec<Value>> {
    (!list.is_empty()).then_some(list)
}
