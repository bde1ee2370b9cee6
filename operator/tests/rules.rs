//! Every CEL rule: what it lets pass, and what it refuses, at which field.

use std::collections::BTreeSet;

use operator::{crd, crd::ChatCluster, manifest, manifest::Problem};
use serde_json::Value;

const EMBEDDED: &str = "engines: {embedded: {}}";
const REDIS: &str = "redis: {managed: {}}";
const KAFKA: &str = "kafka: {external: {bootstrapServers: ['kafka:9092']}}";
const CASSANDRA: &str = "cassandra: {external: {contactPoints: [cassandra], localDatacenter: dc1}}";
const SEARCH: &str = "search: {disabled: {}}";

/// Fields of a full cluster; what is given replaces the engine of that name.
fn full(engines: &[&str]) -> String {
    let name = |engine: &str| engine.split(':').next().unwrap_or_default().to_owned();
    let defaults = [REDIS, KAFKA, CASSANDRA, SEARCH].map(str::to_owned);
    let kept = defaults.into_iter().filter(|default| !engines.iter().any(|engine| name(engine) == name(default)));
    kept.chain(engines.iter().map(|&engine| engine.to_owned())).collect::<Vec<_>>().join(", ")
}

fn embedded(fields: &str) -> String {
    format!("{EMBEDDED}, {fields}")
}

fn yaml(spec: &str) -> String {
    format!(
        "apiVersion: chatcluster.dev/v1alpha1\nkind: ChatCluster\nmetadata: {{name: demo}}\n\
         spec: {{version: 0.1.0, {spec}}}"
    )
}

fn create(spec: &str) -> Result<ChatCluster, Vec<Problem>> {
    manifest::parse(&yaml(spec))
}

/// Specs the rules let pass on creation.
fn accepted() -> Vec<String> {
    let gateways = |fields: &str| embedded(&format!("gateways: {{{fields}}}"));
    let verifier = |fields: &str| gateways(&format!("auth: {{verifiers: [{{name: a, {fields}}}]}}"));
    vec![
        EMBEDDED.to_owned(),
        full(&[]),
        full(&["redis: {}"]),
        full(&["redis: {external: {urls: ['redis://redis:6379']}}"]),
        full(&["redis: {managed: {shards: 1}}"]),
        full(&["redis: {managed: {shards: 3}}"]),
        full(&["search: {external: {url: 'http://search:9200'}, index: {shards: 1}}"]),
        full(&["workers: {sequencer: {replicas: 64}}"]),
        embedded("search: {disabled: {}}"),
        embedded("workers: {sequencer: {replicas: 64}}"),
        gateways("autoscaling: {mode: Connections}"),
        gateways("replicas: 0, autoscaling: {mode: Fixed}"),
        gateways("replicas: 3, autoscaling: {mode: External}"),
        gateways("autoscaling: {min: 3, max: 3}"),
        gateways("httpRoute: {host: chat.example.com, parentRefs: [{name: public}]}"),
        gateways("ingress: {host: chat.example.com}"),
        gateways("maxConnections: 10000"),
        gateways("maxConnections: 50, autoscaling: {targetConnections: 50}"),
        gateways("allowedOrigins: ['*']"),
        gateways("allowedOrigins: ['https://a.example', 'https://b.example']"),
        gateways("drain: {deadlineSeconds: 11}"),
        gateways("service: {type: NodePort, externalTrafficPolicy: Local}"),
        gateways("service: {type: LoadBalancer, loadBalancerClass: a/b, sourceRanges: [10.0.0.0/8]}"),
        gateways("limits: {frameBytes: 16384}"),
        gateways("limits: {sendsPerUser: {perSecond: 5, burst: 5}}"),
        gateways("podTemplate: {extraEnv: [{name: CHATTY, value: a}]}"),
        gateways("podTemplate: {extraEnv: [{name: A, valueFrom: {secretKeyRef: {name: a}}}]}"),
        verifier("hs256: {secretRef: {name: a}}"),
        verifier("hs256: {secretRef: {name: a}}, algorithms: [HS256]"),
        verifier("jwks: {url: 'https://a.example/keys'}, algorithms: [ES256, EdDSA]"),
    ]
}

/// Specs that break one rule on creation, with the field it blames.
fn refused() -> Vec<(String, &'static str)> {
    let gateways = |fields: &str| embedded(&format!("gateways: {{{fields}}}"));
    let verifier = |fields: &str| gateways(&format!("auth: {{verifiers: [{{name: a, {fields}}}]}}"));
    let env = |fields: &str| gateways(&format!("podTemplate: {{extraEnv: [{{{fields}}}]}}"));
    let without = |engine: &str| full(&[&format!("{engine}: null")]);
    vec![
        ("paused: false".to_owned(), "spec.engines"),
        ("engines: {}".to_owned(), "spec.engines"),
        (SEARCH.to_owned(), "spec.engines"),
        (without("redis"), "spec.redis"),
        (without("kafka"), "spec.kafka"),
        (without("cassandra"), "spec.cassandra"),
        (without("search"), "spec.search"),
        (full(&["search: {}"]), "spec.search"),
        (full(&[EMBEDDED]), "spec.engines.embedded"),
        (embedded(REDIS), "spec.engines.embedded"),
        (embedded(KAFKA), "spec.engines.embedded"),
        (embedded(CASSANDRA), "spec.engines.embedded"),
        (embedded("search: {external: {url: 'http://search:9200'}}"), "spec.engines.embedded"),
        (full(&["workers: {sequencer: {replicas: 65}}"]), "spec.workers.sequencer.replicas"),
        (
            full(&[
                "kafka: {external: {bootstrapServers: ['kafka:9092']}, topics: {partitions: 3}}",
                "workers: {sequencer: {replicas: 4}}",
            ]),
            "spec.workers.sequencer.replicas",
        ),
        (full(&["redis: {managed: {}, external: {urls: ['redis://redis:6379']}}"]), "spec.redis"),
        (full(&["redis: {managed: {shards: 2}}"]), "spec.redis.managed.shards"),
        (full(&["search: {external: {url: 'http://search:9200'}, disabled: {}}"]), "spec.search"),
        (full(&["search: {disabled: {}, index: {shards: 1}}"]), "spec.search.index"),
        (gateways("replicas: 3"), "spec.gateways.replicas"),
        (gateways("replicas: 3, autoscaling: {mode: Connections}"), "spec.gateways.replicas"),
        (gateways("autoscaling: {mode: Fixed}"), "spec.gateways.replicas"),
        (gateways("autoscaling: {mode: External}"), "spec.gateways.replicas"),
        (gateways("autoscaling: {min: 4, max: 3}"), "spec.gateways.autoscaling.min"),
        (gateways("autoscaling: {min: 51}"), "spec.gateways.autoscaling.min"),
        (gateways("autoscaling: {max: 1}"), "spec.gateways.autoscaling.min"),
        (
            gateways("ingress: {host: a.example}, httpRoute: {host: a.example, parentRefs: [{name: public}]}"),
            "spec.gateways",
        ),
        (gateways("maxConnections: 9999"), "spec.gateways.maxConnections"),
        (gateways("maxConnections: 99, autoscaling: {targetConnections: 100}"), "spec.gateways.maxConnections"),
        (gateways("allowedOrigins: ['*', 'https://a.example']"), "spec.gateways.allowedOrigins"),
        (gateways("drain: {deadlineSeconds: 10}"), "spec.gateways.drain.settleSeconds"),
        (gateways("drain: {settleSeconds: 300}"), "spec.gateways.drain.settleSeconds"),
        (gateways("service: {externalTrafficPolicy: Local}"), "spec.gateways.service.externalTrafficPolicy"),
        (gateways("service: {loadBalancerClass: a/b}"), "spec.gateways.service.loadBalancerClass"),
        (gateways("service: {type: NodePort, sourceRanges: [10.0.0.0/8]}"), "spec.gateways.service.sourceRanges"),
        (gateways("limits: {frameBytes: 8192}"), "spec.gateways.limits.contentBytes"),
        (gateways("limits: {contentBytes: 4096, frameBytes: 4096, metaBytes: 4097}"), "spec.gateways.limits.metaBytes"),
        (gateways("limits: {sendsPerUser: {perSecond: 5, burst: 4}}"), "spec.gateways.limits.sendsPerUser.burst"),
        (env("name: CHAT_TOKEN, value: a"), "spec.gateways.podTemplate.extraEnv[0].name"),
        (env("name: A, value: a, valueFrom: {secretKeyRef: {name: a}}"), "spec.gateways.podTemplate.extraEnv[0]"),
        (
            env("name: A, valueFrom: {secretKeyRef: {name: a}, configMapKeyRef: {name: a, key: a}}"),
            "spec.gateways.podTemplate.extraEnv[0].valueFrom",
        ),
        (verifier("issuer: a"), "spec.gateways.auth.verifiers[0]"),
        (
            verifier("hs256: {secretRef: {name: a}}, jwks: {url: 'https://a.example/keys'}"),
            "spec.gateways.auth.verifiers[0]",
        ),
        (verifier("hs256: {secretRef: {name: a}}, algorithms: [RS256]"), "spec.gateways.auth.verifiers[0].algorithms"),
        (
            verifier("jwks: {url: 'https://a.example/keys'}, algorithms: [RS256, HS256]"),
            "spec.gateways.auth.verifiers[0].algorithms",
        ),
    ]
}

/// Changes from one spec to another, with the field that is blamed, or none when the change is allowed.
fn changes() -> Vec<(String, String, Option<&'static str>)> {
    let kafka = |topics: &str| {
        full(&[&format!("kafka: {{external: {{bootstrapServers: ['kafka:9092']}}, topics: {{{topics}}}}}")])
    };
    let cassandra = |keyspace: &str| {
        full(&[&format!(
            "cassandra: {{external: {{contactPoints: [cassandra], localDatacenter: dc1}}, keyspace: {{{keyspace}}}}}"
        )])
    };
    let external_redis = full(&["redis: {external: {urls: ['redis://redis:6379']}}"]);
    let with_search = full(&["search: {external: {url: 'http://search:9200'}}"]);
    let embedded_alone = EMBEDDED.to_owned();
    vec![
        (embedded_alone.clone(), embedded("paused: true"), None),
        (embedded_alone.clone(), embedded("prefix: ''"), None),
        (embedded_alone.clone(), embedded("prefix: a"), Some("spec.prefix")),
        (embedded("prefix: a"), embedded_alone.clone(), Some("spec.prefix")),
        (embedded("prefix: a"), embedded("prefix: b"), Some("spec.prefix")),
        (embedded_alone.clone(), full(&[]), Some("spec.engines")),
        (full(&[]), embedded_alone, Some("spec.engines")),
        (full(&[]), external_redis.clone(), Some("spec.redis")),
        (external_redis, full(&[]), Some("spec.redis")),
        (full(&["redis: {}"]), full(&["redis: {managed: {shards: 5}}"]), None),
        (kafka("partitions: 3"), kafka("partitions: 3, retention: 1d"), None),
        (kafka("partitions: 3"), kafka("partitions: 4"), Some("spec.kafka.topics.partitions")),
        (kafka("partitions: 3"), kafka(""), Some("spec.kafka.topics.partitions")),
        (kafka("partitions: 64"), full(&[]), Some("spec.kafka.topics.partitions")),
        (full(&[]), kafka("partitions: 64"), Some("spec.kafka.topics.partitions")),
        (cassandra("name: a"), cassandra("name: a, replication: {dc1: 3}"), None),
        (cassandra("name: a"), cassandra("name: b"), Some("spec.cassandra.keyspace.name")),
        (cassandra("name: a"), full(&[]), Some("spec.cassandra.keyspace.name")),
        (full(&[]), with_search.clone(), None),
        (with_search, full(&[]), None),
    ]
}

fn paths(result: &Result<ChatCluster, Vec<Problem>>) -> Vec<&str> {
    result.as_ref().err().into_iter().flatten().map(|problem| problem.path.as_str()).collect()
}

#[test]
fn what_the_rules_allow_is_accepted() {
    for spec in accepted() {
        let result = create(&spec);
        assert!(result.is_ok(), "{spec}: {result:#?}");
    }
}

#[test]
fn what_a_rule_forbids_is_refused_at_its_field() {
    for (spec, path) in refused() {
        let result = create(&spec);
        assert_eq!(paths(&result), [path], "{spec}: {result:#?}");
    }
}

#[test]
fn what_may_not_change_is_refused_on_update_only() {
    for (old, new, path) in changes() {
        let old = create(&old).unwrap();
        create(&new).unwrap();
        let result = manifest::parse_update(&old, &yaml(&new));
        let expected: Vec<_> = path.into_iter().collect();
        assert_eq!(paths(&result), expected, "{old:#?}\n{new}: {result:#?}");
    }
}

#[test]
fn a_missing_engine_is_answered_with_both_ways() {
    let problems = create("paused: false").unwrap_err();
    assert!(problems[0].message.contains("engines: {embedded: {}}"), "{problems:?}");
    assert!(problems[0].message.contains("`redis`, `kafka`, `cassandra` and `search`"), "{problems:?}");
}

#[test]
fn every_rule_is_seen_to_refuse() {
    let created = refused().into_iter().filter_map(|(spec, _)| create(&spec).err());
    let changed = changes()
        .into_iter()
        .filter_map(|(old, new, _)| manifest::parse_update(&create(&old).unwrap(), &yaml(&new)).err());
    let seen: BTreeSet<_> = created.chain(changed).flatten().map(|problem| problem.message).collect();
    let mut messages = BTreeSet::new();
    collect_messages(&crd::schema()["properties"]["spec"], &mut messages);
    let unseen: Vec<_> = messages.difference(&seen).collect();
    assert!(unseen.is_empty(), "no case breaks {unseen:#?}");
}

fn collect_messages(schema: &Value, messages: &mut BTreeSet<String>) {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    messages.extend(rules.filter_map(|rule| rule["message"].as_str()).map(str::to_owned));
    let children = schema["properties"].as_object().into_iter().flatten().map(|(_, child)| child);
    for child in children.chain(schema.get("items")).chain(schema.get("additionalProperties")) {
        collect_messages(child, messages);
    }
}
