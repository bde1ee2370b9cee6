//! What a cluster is made of: every object as it is sent to the API server.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use operator::{
    build::{Object, Running, build},
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

const MANIFESTS: [(&str, &str); 3] = [
    ("demo", "../examples/chatcluster.yaml"),
    ("ingress", "tests/embedded/ingress.yaml"),
    ("route", "tests/embedded/route.yaml"),
];

#[test]
fn every_object_is_of_its_kind() {
    for (_, path) in MANIFESTS {
        for object in objects(&read(path)) {
            match object.kind() {
                "ConfigMap" => same::<ConfigMap>(&object),
                "Deployment" => same::<Deployment>(&object),
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
                for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                    assert!(container[probe].is_object(), "{} has no {probe}", object.name());
                }
            }
        }
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
