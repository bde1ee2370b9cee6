//! What a cluster is made of: every object as it is sent to the API server.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use chat_core::config::ProcessConfig;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use operator::{
    build::{Object, Running, build, unsupported},
    crd::ChatCluster,
    manifest,
    validate::{Apis, References, ValidatedCluster, validate},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

const APIS: Apis = Apis { http_route: true, monitoring: true };

fn read(path: &str) -> ChatCluster {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let mut cluster = manifest::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    cluster.metadata.namespace = Some("chat".to_owned());
    cluster.metadata.uid = Some("6f4c1a54-0000-4000-8000-000000000000".to_owned());
    cluster
}

fn valid(cluster: &ChatCluster) -> ValidatedCluster {
    let references = References { apis: Some(APIS), ..References::default() };
    validate(cluster, &references, &"0.1.0".parse().unwrap()).unwrap()
}

fn objects(cluster: &ChatCluster) -> Vec<Object> {
    let cluster = valid(cluster);
    build(&cluster, &Running::first(&cluster))
}

/// Reads an object as the type of its kind and writes it again: a field that is misspelt or misplaced is lost.
fn same<T: DeserializeOwned + Serialize>(object: &Object) {
    let typed: T = serde_json::from_value(object.manifest().clone())
        .unwrap_or_else(|error| panic!("{} {}: {error}", object.kind(), object.name()));
    assert_eq!(&serde_json::to_value(typed).unwrap(), object.manifest(), "{} {}", object.kind(), object.name());
}

const MANIFESTS: [(&str, &str); 5] = [
    ("demo", "../examples/chatcluster.yaml"),
    ("ingress", "tests/embedded/ingress.yaml"),
    ("route", "tests/embedded/route.yaml"),
    ("plain", "tests/full/plain.yaml"),
    ("secured", "tests/full/secured.yaml"),
];

#[test]
fn every_object_is_of_its_kind() {
    for (_, path) in MANIFESTS {
        for object in objects(&read(path)) {
            match object.kind() {
                "ConfigMap" => same::<ConfigMap>(&object),
                "Deployment" => same::<Deployment>(&object),
                "Job" => same::<Job>(&object),
                "Ingress" => same::<Ingress>(&object),
                "NetworkPolicy" => same::<NetworkPolicy>(&object),
                "PodDisruptionBudget" => same::<PodDisruptionBudget>(&object),
                "Service" => same::<Service>(&object),
                "ServiceAccount" => same::<ServiceAccount>(&object),
                "StatefulSet" => same::<StatefulSet>(&object),
                // These are no part of Kubernetes itself; the snapshots show them.
                "HTTPRoute" | "PrometheusRule" | "ServiceMonitor" => {}
                other => panic!("{other} is not read here"),
            }
        }
    }
}

#[test]
fn objects_are_those_of_the_golden_manifests() {
    for (name, path) in MANIFESTS {
        let text: Vec<String> =
            objects(&read(path)).iter().map(|object| serde_yaml::to_string(object).unwrap()).collect();
        insta::assert_snapshot!(name, text.join("---\n"));
    }
}

#[test]
fn every_object_belongs_to_its_cluster() {
    for (name, path) in MANIFESTS {
        for object in objects(&read(path)) {
            let metadata = &object.manifest()["metadata"];
            assert_eq!(metadata["namespace"], "chat");
            assert_eq!(metadata["labels"]["app.kubernetes.io/instance"], name);
            assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "chat-operator");
            assert_eq!(metadata["ownerReferences"][0]["controller"], true, "{} {}", object.kind(), object.name());
            assert!(object.name().starts_with(name));
        }
    }
}

#[test]
fn every_pod_keeps_to_the_restricted_level() {
    for (_, path) in MANIFESTS {
        for object in objects(&read(path)) {
            let pod = &object.manifest()["spec"]["template"]["spec"];
            let Some(containers) = pod["containers"].as_array() else { continue };
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{}", object.name());
            for container in containers {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false);
                assert_eq!(security["readOnlyRootFilesystem"], true);
                assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
                assert!(container["resources"]["requests"]["memory"].is_string(), "{}", object.name());
                if object.kind() == "Job" {
                    continue;
                }
                for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                    assert!(container[probe].is_object(), "{} has no {probe}", object.name());
                }
            }
        }
    }
}

#[test]
fn the_processes_read_their_settings_as_they_are_rendered() {
    let mut read_by = Vec::new();
    for path in ["tests/full/plain.yaml", "tests/full/secured.yaml"] {
        for object in objects(&read(path)).iter().filter(|object| object.kind() == "ConfigMap") {
            let text = object.manifest()["data"]["chat.yaml"].as_str().unwrap();
            let config: ProcessConfig = serde_yaml::from_str(text).unwrap();
            assert_eq!(serde_yaml::to_string(&config).unwrap(), text);
            read_by.push((config.gateway.is_some(), config.workers.is_some()));
        }
    }
    let each = [(false, false), (false, true), (true, false)];
    assert_eq!(read_by, [each, each].concat());
}

#[test]
fn what_only_gateways_read_restarts_no_worker() {
    let before = read("tests/full/secured.yaml");
    let mut after = before.clone();
    after.spec.gateways.limits.group_members = Some(21);
    let changed = templates(&before).into_iter().zip(templates(&after)).filter(|(before, after)| before != after);
    assert_eq!(changed.map(|((name, _), _)| name).collect::<Vec<_>>(), ["secured-gateway"]);
}

#[test]
fn what_this_release_does_not_run_is_named_by_field() {
    let manifest = include_str!("../../examples/external/chatcluster.yaml");
    let cluster = valid(&manifest::parse(manifest).unwrap());
    let why = unsupported(&cluster).unwrap();
    assert!(why.starts_with("spec.redis.managed:"), "{why}");
    assert!(build(&cluster, &Running::first(&cluster)).is_empty());
    for (_, path) in MANIFESTS {
        assert_eq!(unsupported(&valid(&read(path))), None, "{path}");
    }
}

/// Returns the pod templates, by name.
fn templates(cluster: &ChatCluster) -> Vec<(String, Value)> {
    let objects = objects(cluster);
    let templates = objects.iter().filter(|object| object.manifest()["spec"]["template"].is_object());
    templates.map(|object| (object.name().to_owned(), object.manifest()["spec"]["template"].clone())).collect()
}

#[test]
fn what_does_not_concern_pods_restarts_none() {
    for (_, path) in MANIFESTS {
        let before = read(path);
        let mut after = before.clone();
        after.spec.paused = !before.spec.paused;
        after.spec.gateways.service.port = Some(8443);
        after.spec.network_policy.mode = operator::crd::NetworkPolicyMode::None;
        assert_eq!(templates(&before), templates(&after), "{path}");
    }
}

#[test]
fn a_limit_restarts_what_reads_it() {
    let before = read("../examples/chatcluster.yaml");
    let mut after = before.clone();
    after.spec.gateways.limits.group_members = Some(20);
    assert_ne!(templates(&before), templates(&after));
}
