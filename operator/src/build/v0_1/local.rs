//! The whole stack in one pod, for `engines.embedded`: `chatctl local` with a volume.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    CLIENT_PORT, Names, Object,
    pod::{Pod, Probes, SECRETS, Source, Volume, config_volume, secret_volumes},
};
use crate::build::fingerprint;
use crate::crd::{
    ChatCluster, ChatClusterSpec, DeletionPolicy, Embedded, Engines, Gateways, Images, NetworkPolicy, Resources,
    Search, Upgrade, Workers,
};

/// Component of the pod.
pub(super) const COMPONENT: &str = "local";

/// Directory of the volume. The data lies one below, so that it is a directory that the stack made for itself alone.
const VOLUME: &str = "/var/lib/chat";

/// Seconds from SIGTERM to SIGKILL: sessions are asked to move, then the log is closed.
const GRACE_SECONDS: u64 = 60;

pub(super) fn objects(names: &Names<'_>, engine: &Embedded) -> Vec<Object> {
    let name = names.of(COMPONENT);
    let manifest = manifest(names);
    let pod = names.pod(&Pod {
        component: COMPONENT,
        account: COMPONENT,
        template: &engine.pod_template,
        resources: &Resources::default(),
        default_resources: ("250m", "512Mi"),
        image: &names.0.images.local,
        args: json!([
            "local",
            "-f",
            "/etc/chat/chatcluster.yaml",
            "--data-dir",
            format!("{VOLUME}/data"),
            "--secrets",
            SECRETS,
            "--listen",
            "0.0.0.0",
            "--port",
            CLIENT_PORT.to_string(),
            "--json",
        ]),
        env: Vec::new(),
        ports: json!([{ "name": "client", "containerPort": CLIENT_PORT }]),
        probes: probes(),
        volumes: volumes(names),
        settings: fingerprint(&manifest),
        grace: GRACE_SECONDS,
        // The volume belongs to the group, whatever user the image has.
        security: json!({ "fsGroup": 65_532, "fsGroupChangePolicy": "OnRootMismatch" }),
    });
    let mut objects: Vec<_> = names.service_account(&engine.pod_template, COMPONENT).into_iter().collect();
    objects.push(names.config_map(&name, COMPONENT, "chatcluster.yaml", &manifest));
    objects.push(names.headless(
        &names.of("local-pods"),
        COMPONENT,
        &json!([{ "name": "client", "port": CLIENT_PORT }]),
    ));
    objects.push(Object::new(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": names.metadata(&name, COMPONENT),
        "spec": {
            "replicas": 1,
            "serviceName": names.of("local-pods"),
            "revisionHistoryLimit": 3,
            "selector": { "matchLabels": names.selector(COMPONENT) },
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": if names.0.deletes_data { "Delete" } else { "Retain" },
                "whenScaled": "Retain",
            },
            "template": pod,
            "volumeClaimTemplates": [{
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": { "name": "data" },
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": { "requests": { "storage": engine.storage() } },
                },
            }],
        },
    })));
    objects
}

/// The manifest, the data, and each Secret that verifiers and traces name.
fn volumes(names: &Names<'_>) -> Vec<Volume> {
    let mut volumes = vec![
        config_volume(names.of(COMPONENT)),
        Volume { name: "data".into(), path: VOLUME.into(), source: Source::Claim },
    ];
    let verifiers = &names.0.spec.gateways.auth.verifiers;
    let shared = verifiers.iter().filter_map(|verifier| verifier.hs256.as_ref()).map(|key| &key.secret_ref.name);
    let published = verifiers.iter().filter_map(|verifier| verifier.jwks.as_ref());
    let authorities = published.filter_map(|jwks| jwks.ca_secret_ref.as_ref()).map(|authority| &authority.name);
    let traces = names.0.spec.telemetry.otlp.as_ref();
    let headers = traces.and_then(|otlp| otlp.headers_secret_ref.as_ref()).map(|headers| &headers.name);
    let secrets: BTreeSet<String> = shared.chain(authorities).chain(headers).cloned().collect();
    volumes.extend(secret_volumes(&secrets));
    volumes
}

/// Asks the front door, which answers once the log's tail is decided and a gateway takes clients. A start has five
/// minutes, because a log may have to be caught up with.
fn probes() -> Probes {
    let get = json!({ "path": "/v1/asyncapi.json", "port": "client" });
    Probes {
        startup: json!({ "httpGet": get, "periodSeconds": 2, "failureThreshold": 150 }),
        readiness: json!({ "httpGet": get, "periodSeconds": 5, "timeoutSeconds": 2 }),
        liveness: json!({ "httpGet": get, "periodSeconds": 20, "timeoutSeconds": 10 }),
    }
}

/// Returns the manifest that the pod reads: what the stack itself goes by, and nothing of how it is run, so that only a
/// change of the former restarts it.
fn manifest(names: &Names<'_>) -> String {
    let spec = &names.0.spec;
    let gateways = &spec.gateways;
    let own = ChatClusterSpec {
        version: spec.version.clone(),
        retention: spec.retention.clone(),
        telemetry: spec.telemetry.clone(),
        engines: Engines { embedded: Some(Embedded::default()) },
        search: spec.search.clone().filter(|search: &Search| search.disabled.is_some()),
        gateways: Gateways {
            replicas: gateways.replicas,
            autoscaling: gateways.autoscaling.clone(),
            drain: gateways.drain.clone(),
            auth: gateways.auth.clone(),
            max_connections: gateways.max_connections,
            allowed_origins: gateways.allowed_origins.clone(),
            limits: gateways.limits.clone(),
            ..Gateways::default()
        },
        push: spec.push.clone(),
        images: Images::default(),
        prefix: String::new(),
        upgrade: Upgrade::default(),
        redis: None,
        kafka: None,
        cassandra: None,
        workers: Workers::default(),
        network_policy: NetworkPolicy::default(),
        deletion_policy: DeletionPolicy::default(),
        paused: false,
    };
    // A cluster is made of JSON, which YAML can always say.
    serde_yaml::to_string(&ChatCluster::new(&names.0.name, own)).unwrap_or_default()
}
