//! What is refused beyond the definition, what is warned of, and which values are in force.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::collections::BTreeMap;

use operator::{
    crd::ChatCluster,
    manifest,
    validate::{Apis, References, ValidatedCluster, Version, lint, secrets, validate},
};
use serde_json::{Value, json};

const FULL: &str = "
apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: prod, namespace: chat}
spec:
  version: 0.1.0
  redis: {managed: {}}
  kafka: {external: {bootstrapServers: ['kafka:9092']}}
  cassandra: {external: {contactPoints: [cassandra], localDatacenter: dc1}}
  search: {disabled: {}}
";

const EMBEDDED: &str = "
apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec: {version: 0.1.0, engines: {embedded: {}}}
";

fn own() -> Version {
    "0.1.0".parse().unwrap()
}

/// Merges a value at a dotted path into a manifest; the definition takes the result.
fn with(base: &str, changes: &[(&str, Value)]) -> ChatCluster {
    let mut document: Value = serde_yaml::from_str(base).unwrap();
    for (path, value) in changes {
        let place = path.split('.').fold(&mut document["spec"], |node, field| &mut node[field]);
        *place = value.clone();
    }
    manifest::parse(&serde_yaml::to_string(&document).unwrap()).unwrap()
}

fn valid(cluster: &ChatCluster, references: &References) -> ValidatedCluster {
    validate(cluster, references, &own()).unwrap()
}

fn faults(cluster: &ChatCluster, references: &References) -> Vec<String> {
    let found = validate(cluster, references, &own()).unwrap_err();
    found.iter().map(|fault| format!("{} {}", fault.path, fault.reason)).collect()
}

#[test]
fn offline_nothing_that_is_referred_to_is_missed() {
    let complete = manifest::parse(include_str!("complete.yaml")).unwrap();
    let cluster = valid(&complete, &References::default());
    assert_eq!(cluster.keyspace(), "team_a_chat");
}

#[test]
fn what_the_definition_cannot_see_is_refused_with_field_and_reason() {
    let cases: [(&str, Value, &str); 7] = [
        ("version", json!("0.3.0"), "spec.version UnsupportedVersion"),
        ("version", json!("1.0.0"), "spec.version UnsupportedVersion"),
        (
            "kafka.external.bootstrapServers",
            json!(["kafka:9092", "kafka:70000"]),
            "spec.kafka.external.bootstrapServers[1] InvalidAddress",
        ),
        (
            "cassandra.external.contactPoints",
            json!(["[fd00::1]", "cassandra:0"]),
            "spec.cassandra.external.contactPoints[1] InvalidAddress",
        ),
        (
            "gateways.service",
            json!({"type": "LoadBalancer", "sourceRanges": ["10.0.0.0/8", "10.0.0.0/33"]}),
            "spec.gateways.service.sourceRanges[1] InvalidAddress",
        ),
        ("kafka.topics", json!({"replicationFactor": 5}), "spec.kafka.topics.replicationFactor TooManyReplicas"),
        (
            "cassandra.keyspace",
            json!({"replication": {"dc1": 4}}),
            "spec.cassandra.keyspace.replication[dc1] TooManyReplicas",
        ),
    ];
    let references = References { brokers: Some(3), cassandra_nodes: Some(3), ..References::default() };
    for (path, value, expected) in cases {
        assert_eq!(faults(&with(FULL, &[(path, value)]), &references), [expected], "{path}");
    }
}

#[test]
fn an_older_definition_does_not_weaken_the_rules_that_keep_data_safe() {
    let mut cluster = with(FULL, &[]);
    let spec = &mut cluster.spec;
    spec.redis = serde_json::from_value(json!({"managed": {"shards": 2}})).unwrap();
    spec.workers.sequencer.replicas = Some(65);
    assert_eq!(
        faults(&cluster, &References::default()),
        ["spec.redis.managed.shards ShardsCannotVote", "spec.workers.sequencer.replicas TooManyReplicas"]
    );
    let mut bare = with(EMBEDDED, &[]);
    bare.spec.engines.embedded = None;
    let missing = ["redis", "kafka", "cassandra", "search"].map(|engine| format!("spec.{engine} EngineMissing"));
    assert_eq!(faults(&bare, &References::default()), missing);
}

#[test]
fn a_route_needs_its_api() {
    let route = json!({"host": "chat.example.com", "parentRefs": [{"name": "public"}]});
    let cluster = with(FULL, &[("gateways.httpRoute", route)]);
    let without = References { apis: Some(Apis::default()), ..References::default() };
    assert_eq!(faults(&cluster, &without), ["spec.gateways.httpRoute ApiNotInstalled"]);
    let with_it = References { apis: Some(Apis { http_route: true, monitoring: true }), ..without };
    assert!(valid(&cluster, &with_it).apis.monitoring);
}

#[test]
fn secrets_are_looked_for_with_their_keys_and_lengths() {
    let cluster = with(
        FULL,
        &[
            ("cassandra.external.auth", json!({"secretRef": {"name": "cassandra"}})),
            ("gateways.auth.verifiers", json!([{"name": "a", "hs256": {"secretRef": {"name": "jwt", "key": "k"}}}])),
            ("gateways.tls", json!({"secretName": "tls"})),
        ],
    );
    let names: Vec<_> = secrets(&cluster.spec).into_iter().map(|secret| secret.name).collect();
    assert_eq!(names, ["cassandra", "tls", "jwt"]);

    let look = |entries: Value| {
        let secrets: BTreeMap<String, BTreeMap<String, usize>> = serde_json::from_value(entries).unwrap();
        References { secrets: Some(secrets), ..References::default() }
    };
    let nothing = look(json!({}));
    assert_eq!(
        faults(&cluster, &nothing),
        [
            "spec.cassandra.external.auth.secretRef SecretNotFound",
            "spec.gateways.tls.secretName SecretNotFound",
            "spec.gateways.auth.verifiers[0].hs256.secretRef SecretNotFound",
        ]
    );
    let poor = look(json!({"cassandra": {"username": 4}, "tls": {"tls.crt": 9, "tls.key": 9}, "jwt": {"k": 31}}));
    assert_eq!(
        faults(&cluster, &poor),
        [
            "spec.cassandra.external.auth.secretRef SecretKeyNotFound",
            "spec.gateways.auth.verifiers[0].hs256.secretRef SecretTooShort",
        ]
    );
    let good = json!({
        "cassandra": {"username": 4, "password": 9}, "tls": {"tls.crt": 9, "tls.key": 9}, "jwt": {"k": 32},
    });
    valid(&cluster, &look(good));
}

#[test]
fn copies_are_the_manifest_s_else_those_of_creation_else_as_the_engine_has_nodes() {
    let cluster = with(FULL, &[]);
    assert_eq!(valid(&cluster, &References::default()).copies.topics, None);
    for (nodes, expected) in [(1, 1), (2, 2), (3, 3), (9, 3)] {
        let references = References { brokers: Some(nodes), cassandra_nodes: Some(nodes), ..References::default() };
        let found = valid(&cluster, &references);
        assert_eq!(found.copies.topics, Some(expected), "{nodes} brokers");
        assert_eq!(found.copies.keyspace, BTreeMap::from([("dc1".to_owned(), expected)]), "{nodes} nodes");

        // More nodes later change nothing: what was decided at creation is kept.
        let later = References { brokers: Some(9), cassandra_nodes: Some(9), kept: found.resolved(), ..references };
        assert_eq!(valid(&cluster, &later).copies, found.copies);
    }
    let references = References { brokers: Some(9), ..References::default() };
    let given = with(FULL, &[("kafka.topics", json!({"replicationFactor": 5}))]);
    assert_eq!(valid(&given, &references).copies.topics, Some(5));
}

#[test]
fn images_come_from_the_registry_that_is_named() {
    let images = valid(&with(FULL, &[]), &References::default()).images;
    assert_eq!((images.gateway.as_str(), images.redis.as_str()), ("chat-gateway:0.1.0", "redis:8.2"));
    let given =
        json!({"registry": "registry.example.com/chat", "workers": "mine@sha256:".to_owned() + &"0".repeat(64)});
    let images = valid(&with(FULL, &[("images", given)]), &References::default()).images;
    assert_eq!(images.gateway, "registry.example.com/chat/chat-gateway:0.1.0");
    assert_eq!(images.redis, "registry.example.com/chat/redis:8.2");
    assert!(images.workers.starts_with("mine@sha256:"));
}

#[test]
fn what_may_surprise_is_told_with_field_and_reason() {
    let cases: [(&str, &str, Value, &[&str]); 14] = [
        (FULL, "prefix", json!("a"), &[]),
        (FULL, "gateways.maxConnections", json!(100_000), &["spec.gateways.drain DrainTooShort"]),
        (FULL, "gateways.drain", json!({"deadlineSeconds": 60}), &["spec.gateways.drain DrainTooShort"]),
        (FULL, "kafka.topics", json!({"partitions": 1}), &["spec.workers.sequencer.replicas IdleSequencers"]),
        (FULL, "gateways.autoscaling", json!({"min": 1}), &["spec.gateways.autoscaling.min NoFailover"]),
        (
            FULL,
            "gateways",
            json!({"replicas": 3, "autoscaling": {"mode": "Fixed", "max": 2}}),
            &["spec.gateways.autoscaling HasNoEffect"],
        ),
        (
            FULL,
            "redis",
            json!({"managed": {"replicasPerShard": 0}}),
            &["spec.redis.managed.replicasPerShard NoFailover"],
        ),
        (
            FULL,
            "cassandra.external.auth",
            json!({"secretRef": {"name": "a"}}),
            &["spec.cassandra.external.auth PlainPassword"],
        ),
        (
            FULL,
            "kafka.external.sasl",
            json!({"mechanism": "PLAIN", "secretRef": {"name": "a"}}),
            &["spec.kafka.external.sasl PlainPassword"],
        ),
        (
            FULL,
            "images",
            json!({"gateway": "registry.example.com:5000/chat-gateway", "workers": "workers:latest"}),
            &["spec.images.gateway MutableImage", "spec.images.workers MutableImage"],
        ),
        (
            FULL,
            "workers",
            json!({"push": {"replicas": 3}, "sequencer": {"replicas": 1}}),
            &["spec.workers.sequencer.replicas NoFailover", "spec.workers.push HasNoEffect"],
        ),
        (FULL, "deletionPolicy", json!("Delete"), &["spec.deletionPolicy NotConfirmed"]),
        (FULL, "gateways.service", json!({"type": "LoadBalancer"}), &["spec.gateways.service PlainPassword"]),
        (EMBEDDED, "workers", json!({"indexer": {"replicas": 3}}), &["spec.workers HasNoEffect"]),
    ];
    for (base, path, value, expected) in cases {
        let cluster = valid(&with(base, &[(path, value)]), &References::default());
        let found: Vec<_> =
            lint(&cluster).iter().map(|warning| format!("{} {}", warning.path, warning.reason)).collect();
        assert_eq!(found, expected, "{path}");
    }
}

#[test]
fn deletion_of_data_needs_the_policy_and_the_annotation() {
    for (policy, confirmed, expected) in
        [("Retain", "prod", false), ("Delete", "other", false), ("Delete", "prod", true)]
    {
        let mut cluster = with(FULL, &[("deletionPolicy", json!(policy))]);
        cluster.metadata.annotations =
            Some(BTreeMap::from([("chatcluster.dev/confirm-delete".to_owned(), confirmed.to_owned())]));
        assert_eq!(valid(&cluster, &References::default()).deletes_data, expected, "{policy}, {confirmed}");
    }
}

#[test]
fn values_in_force_are_shown_and_fit_the_status() {
    let references = References { brokers: Some(3), cassandra_nodes: Some(3), ..References::default() };
    for base in [FULL, EMBEDDED, include_str!("complete.yaml")] {
        let cluster = valid(&with(base, &[]), &references);
        assert!(cluster.resolved().len() <= 64);
        insta::assert_json_snapshot!(format!("resolved-{}", cluster.name), cluster.resolved());
    }
}
