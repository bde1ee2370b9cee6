//! The manifests a newcomer starts from.

use std::time::Duration;

use operator::{
    crd::{AutoscalingMode, ChatCluster, LimitValues, Rate},
    manifest,
};

fn example(name: &str) -> ChatCluster {
    let path = format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let yaml = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    manifest::parse(&yaml).unwrap_or_else(|problems| panic!("{path}: {problems:#?}"))
}

#[test]
fn six_lines_are_enough() {
    let cluster = manifest::parse(
        "apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  version: 0.1.0
  engines: {embedded: {}}",
    )
    .unwrap();
    let spec = &cluster.spec;
    assert!(spec.is_embedded());
    assert!(spec.search_enabled());
    assert_eq!(spec.retention.messages(), None);
    assert_eq!(spec.partitions(), 64);
    assert_eq!(spec.gateways.autoscaling.mode, AutoscalingMode::Connections);
    assert_eq!(spec.gateways.min_replicas(), 2);
    assert_eq!(spec.gateways.max_connections(), 15_000);
    assert_eq!(spec.gateways.allowed_origins(), ["*"]);
    assert_eq!(spec.gateways.drain.deadline(), Duration::from_mins(5));
    assert_eq!(spec.gateways.limits.resolved(), LimitValues::default());
}

#[test]
fn the_quick_start_is_valid() {
    let cluster = example("chatcluster.yaml");
    assert_eq!(cluster.metadata.name.as_deref(), Some("demo"));
    assert_eq!(cluster.spec.version, "0.1.0");
    assert!(cluster.spec.is_embedded());
    assert_eq!(cluster.spec.gateways.autoscaling.max(), 4);
}

#[test]
fn the_full_cluster_is_valid() {
    let cluster = example("external/chatcluster.yaml");
    assert!(!cluster.spec.is_embedded());
    assert_eq!(cluster.spec.kafka.unwrap().topics.retention(), Duration::from_hours(168));
}

#[test]
fn a_manifest_survives_the_round_trip() {
    for name in ["chatcluster.yaml", "external/chatcluster.yaml"] {
        let cluster = example(name);
        let yaml = serde_yaml::to_string(&cluster).unwrap();
        assert_eq!(manifest::parse(&yaml).unwrap(), cluster, "{name}");
    }
}

#[test]
fn a_burst_is_twice_the_rate_unless_given() {
    let cluster = manifest::parse(
        "apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  version: 0.1.0
  engines: {embedded: {}}
  gateways:
    limits:
      sendsPerUser: {perSecond: 5}
      sendsPerChat: {perSecond: 5, burst: 5}",
    )
    .unwrap();
    let limits = cluster.spec.gateways.limits.resolved();
    assert_eq!(limits.sends_per_user, Rate { per_second: 5, burst: 10 });
    assert_eq!(limits.sends_per_chat, Rate { per_second: 5, burst: 5 });
    assert_eq!(limits.frames_per_session, Rate { per_second: 100, burst: 200 });
}

#[test]
fn nulls_and_a_status_are_taken_as_the_api_server_takes_them() {
    let cluster = manifest::parse(
        "apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo, creationTimestamp: null}
spec:
  version: 0.1.0
  engines: {embedded: {}}
  gateways:
status: {anything: goes}",
    )
    .unwrap();
    assert_eq!(cluster.status, None);
    assert_eq!(cluster.spec.gateways, operator::crd::Gateways::default());
}
