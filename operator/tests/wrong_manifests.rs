//! A complete manifest, broken in one place at a time: each is refused, with the field and its line.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use operator::manifest;
use serde_json::Value;

const COMPLETE: &str = include_str!("complete.yaml");

/// One wrong manifest a line: the field that is set, `=`, its value (`absent` removes it), and, after `->`, the field
/// that is blamed where it is another one.
const WRONG: &str = "
apiVersion = absent
apiVersion = chatcluster.dev/v1
kind = Deployment
kind = absent
spec = absent
spec = []
metadata = absent
metadata.name = absent
metadata.name = Demo
metadata.name = 1demo
metadata.name = a-name-that-is-longer-than-forty-characters
metadata.names = demo
metadata.labels = [a]
metadata.labels.team = a b -> metadata.labels[team]
metadata.labels.team = 1 -> metadata.labels[team]
metadata.annotations.note = true -> metadata.annotations[note]
specs = {}
spec.version = absent
spec.version = null
spec.version = 1
spec.version = '1.0'
spec.version = v0.1.0
spec.verison = 0.1.0
spec.images.pullPolicy = Sometimes
spec.images.pullSecrets = registry
spec.images.pullSecrets[0] = registry
spec.images.pullSecrets[0].name = Registry
spec.images.gateway = ''
spec.images.workers = 'chat workers'
spec.images.redis = redis@sha256:0123
spec.images.gateways = chat-gateway
spec.prefix = Team
spec.prefix = a-prefix-of-more-than-24-characters
spec.retention = 30d
spec.retention.messages = 30
spec.retention.messages = 1.5h
spec.retention.messages = 1w
spec.retention.messages = -1s
spec.telemetry.logLevel = 'info, debug'
spec.telemetry.otlp.endpoint = absent
spec.telemetry.otlp.endpoint = otel:4318
spec.telemetry.otlp.sampleRatio = 1.5
spec.telemetry.otlp.sampleRatio = -0.1
spec.telemetry.otlp.sampleRatio = half
spec.upgrade.finalizeAfter = soon
spec.engines.embeded = {}
spec.redis.managed.shards = 0
spec.redis.managed.shards = 65
spec.redis.managed.shards = three
spec.redis.managed.replicasPerShard = 5
spec.redis.manged = {}
spec.kafka.external = absent
spec.kafka.external.bootstrapServers = absent
spec.kafka.external.bootstrapServers = []
spec.kafka.external.bootstrapServers = kafka:9092
spec.kafka.external.bootstrapServers[1] = kafka
spec.kafka.external.sasl.mechanism = SCRAM
spec.kafka.external.sasl.mechanism = absent
spec.kafka.external.sasl.secretRef.name = absent
spec.kafka.external.tls.caSecretRef = kafka-ca
spec.kafka.topics.partitions = 1025
spec.kafka.topics.replicationFactor = 0
spec.kafka.topics.retention = 7 days
spec.kafka.topics.manage = maybe
spec.cassandra.external.contactPoints[0] = 'cassandra:port'
spec.cassandra.external.localDatacenter = absent
spec.cassandra.external.localDatacenter = ''
spec.cassandra.keyspace.name = chat-data
spec.cassandra.keyspace.name = a_keyspace_of_more_than_24_characters
spec.cassandra.keyspace.replication.dc1 = 0 -> spec.cassandra.keyspace.replication[dc1]
spec.cassandra.keyspace.replication.dc1 = 10 -> spec.cassandra.keyspace.replication[dc1]
spec.search.external.url = search.example.com
spec.search.external.url = https://user:password@search.example.com
spec.search.external.auth = {}  -> spec.search.external.auth.secretRef
spec.search.index.shards = 0
spec.search.index.replicas = 9
spec.gateways.replicas = 1001
spec.gateways.replicas = -1
spec.gateways.autoscaling.mode = External.
spec.gateways.autoscaling.mode = external
spec.gateways.autoscaling.min = 0
spec.gateways.autoscaling.min = '2'
spec.gateways.autoscaling.max = 1001
spec.gateways.autoscaling.targetConnections = 9
spec.gateways.autoscaling.scaleUp.maxStep = 0
spec.gateways.autoscaling.scaleUp.maxsteps = 1
spec.gateways.autoscaling.scaleDown.stabilizationSeconds = 86401
spec.gateways.drain.deadlineSeconds = 4
spec.gateways.drain.deadlineSeconds = 5m
spec.gateways.drain.reconnectsPerSecond = 0
spec.gateways.drain.settleSeconds = 1.5
spec.gateways.service.type = ExternalName
spec.gateways.service.port = 65536
spec.gateways.service.port = 0
spec.gateways.service.externalTrafficPolicy = Global
spec.gateways.service.sourceRanges[0] = 10.0.0.0
spec.gateways.service.sourceRanges[1] = 10.0.0.0/8
spec.gateways.service.annotations = ''
spec.gateways.ingress.host = absent
spec.gateways.ingress.host = https://chat.example.com
spec.gateways.ingress.classname = nginx
spec.gateways.tls = {} -> spec.gateways.tls.secretName
spec.gateways.auth.verifiers[0].name = absent
spec.gateways.auth.verifiers[0].name = My IdP
spec.gateways.auth.verifiers[1].name = idp -> spec.gateways.auth.verifiers[1]
spec.gateways.auth.verifiers[0].algorithms[0] = none
spec.gateways.auth.verifiers[0].algorithms[1] = RS256
spec.gateways.auth.verifiers[0].leewaySeconds = 301
spec.gateways.auth.verifiers[0].jwks.url = http://id.example.com/keys
spec.gateways.auth.verifiers[1].hs256.secretRef = absent
spec.gateways.auth.verifiers[1].hs256.secret = text
spec.gateways.maxConnections = 1000001
spec.gateways.allowedOrigins[0] = app.example.com
spec.gateways.allowedOrigins[0] = https://app.example.com/path
spec.gateways.allowedOrigins[1] = https://app.example.com
spec.gateways.adminTokenSecretRef.key = a/b
spec.gateways.relay = Users
spec.gateways.limits.frameBytes = 64Ki
spec.gateways.limits.frameBytes = 2097152
spec.gateways.limits.contentBytes = 255
spec.gateways.limits.sendsPerUser = 30
spec.gateways.limits.sendsPerUser.perSecond = absent
spec.gateways.limits.sendsPerChat.perSecond = 0
spec.gateways.limits.sendPerChat = {}
spec.gateways.limits.groupMembers = 501
spec.gateways.limits.queueBytes = 1024
spec.gateways.limits.authSeconds = 0
spec.gateways.podTemplate.labels.team = 1 -> spec.gateways.podTemplate.labels[team]
spec.gateways.podTemplate.resources.requests.cpu = two -> spec.gateways.podTemplate.resources.requests[cpu]
spec.gateways.podTemplate.resources.requests.cpu = 1.5 -> spec.gateways.podTemplate.resources.requests[cpu]
spec.gateways.podTemplate.resources.limit = {}
spec.gateways.podTemplate.tolerations[0].effects = NoSchedule
spec.gateways.podTemplate.affinity.nodesAffinity = {}
spec.gateways.podTemplate.topologySpreadConstraints[0].maxSkew = one
spec.gateways.podTemplate.topologySpreadConstraints[0].topologyKey = absent
spec.gateways.podTemplate.securityContext.runAsNonRoot = 1
spec.gateways.podTemplate.extraEnv[0].name = absent
spec.gateways.podTemplate.extraEnv[0].name = 1TZ
spec.gateways.podTemplate.extraEnv[1].name = TZ -> spec.gateways.podTemplate.extraEnv[1]
spec.workers.sequencer.replicas = 513
spec.workers.sequencers = {}
spec.workers.push.replicas = many
spec.push.content = All
spec.push.apns.keyId = ABC
spec.push.apns.topic = absent
spec.push.apns.environment = Development
spec.push.fcm = {} -> spec.push.fcm.serviceAccountSecretRef
spec.networkPolicy.mode = Off
spec.networkPolicy = Full
spec.deletionPolicy = Keep
spec.paused = 'true'
spec.pause = true
";

struct Mutation {
    field: &'static str,
    value: &'static str,
    blamed: &'static str,
}

fn mutations() -> Vec<Mutation> {
    let lines = WRONG.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (field, rest) = line.split_once(" = ").unwrap();
            let (value, blamed) = rest.split_once(" -> ").unwrap_or((rest, field));
            Mutation { field, value: value.trim(), blamed }
        })
        .collect()
}

/// Sets or removes the field of a mutation, making the mappings around it.
fn break_at(node: &mut Value, path: &str, value: Option<Value>) {
    let (segment, rest) = match path.find(['.', '[']) {
        Some(end) if end > 0 => (&path[..end], path[end..].trim_start_matches('.')),
        _ => (path, ""),
    };
    if let Some(item) = path.strip_prefix('[') {
        let (index, rest) = item.split_once(']').unwrap();
        let item = &mut node[index.parse::<usize>().unwrap()];
        return match rest.strip_prefix('.') {
            Some(rest) => break_at(item, rest, value),
            None => *item = value.unwrap(),
        };
    }
    match (rest.is_empty(), value) {
        (false, value) => break_at(&mut node[segment], rest, value),
        (true, Some(value)) => node[segment] = value,
        (true, None) => {
            node.as_object_mut().unwrap().remove(segment).unwrap();
        }
    }
}

#[test]
fn the_complete_manifest_is_valid_and_names_every_field() {
    let cluster = manifest::parse(COMPLETE).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(cluster.metadata.namespace.as_deref(), Some("chat"));
    assert_eq!(manifest::parse(&serde_yaml::to_string(&cluster).unwrap()).unwrap(), cluster);

    let complete: Value = serde_yaml::from_str(COMPLETE).unwrap();
    // The other members of unions, and Kubernetes' own types.
    let left_out = ["engines", "httpRoute", "disabled", "external", "affinity", "podTemplate", "resources"];
    let mut missing = Vec::new();
    missing_fields(&operator::crd::schema()["properties"]["spec"], &complete["spec"], "spec", &left_out, &mut missing);
    assert!(missing.is_empty(), "complete.yaml lacks {missing:?}");
}

fn missing_fields(schema: &Value, value: &Value, path: &str, left_out: &[&str], missing: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match value.get(name) {
            Some(value) if !left_out.contains(&name.as_str()) => missing_fields(field, value, &path, left_out, missing),
            None if !left_out.contains(&name.as_str()) => missing.push(path),
            _ => {}
        }
    }
}

#[test]
fn there_are_a_hundred_of_them() {
    assert!(mutations().len() >= 100, "{}", mutations().len());
}

#[test]
fn each_is_refused_at_the_right_field() {
    let complete: Value = serde_yaml::from_str(COMPLETE).unwrap();
    let mut surprises = Vec::new();
    for Mutation { field, value, blamed } in mutations() {
        let mut wrong = complete.clone();
        let new = (value != "absent").then(|| serde_yaml::from_str(value).unwrap());
        break_at(&mut wrong, field, new);
        let found = match manifest::parse(&serde_yaml::to_string(&wrong).unwrap()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems,
        };
        let paths: Vec<_> = found.iter().map(|problem| problem.path.as_str()).collect();
        let has_lines = found.iter().all(|problem| problem.line.is_some());
        if paths != [blamed] || !has_lines {
            surprises.push(format!("{field} = {value}: {found:#?}"));
        }
    }
    assert!(surprises.is_empty(), "{} surprises:\n{}", surprises.len(), surprises.join("\n"));
}

#[test]
fn all_problems_are_reported_in_the_order_of_their_lines() {
    let problems = manifest::parse(
        "apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata: {name: demo}
spec:
  verison: 0.1.0
  gateways:
    autoscaling: {min: 5, max: 3}
    drain:
      deadlineSeconds: 5m
  paused: maybe",
    )
    .unwrap_err();
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "line 4: spec.engines: no engine is given: write `engines: {embedded: {}}` for a quick start in one pod, or \
             give all of `redis`, `kafka`, `cassandra` and `search` for a full cluster",
            "line 4: spec.version: is required",
            "line 5: spec.verison: is not a known field; did you mean `version`?",
            "line 7: spec.gateways.autoscaling.min: may not exceed `max` (defaults: min 2, max 50)",
            "line 9: spec.gateways.drain.deadlineSeconds: must be a whole number, is \"5m\"",
            "line 10: spec.paused: must be true or false, is \"maybe\"",
        ]
    );
}

#[test]
fn an_unquoted_off_is_refused_as_kubectl_refuses_it() {
    let spec = |team: &str| COMPLETE.replace("{ team: a }", &format!("{{ team: {team} }}"));
    assert!(manifest::parse(&spec("'off'")).is_ok());
    let problems = manifest::parse(&spec("off")).unwrap_err();
    assert_eq!(problems[0].path, "spec.gateways.podTemplate.labels[team]");
    assert_eq!(problems[0].message, "must be a string, is false: quote it");
}

#[test]
fn what_is_not_one_yaml_document_is_refused() {
    for (yaml, message) in [
        ("", "the manifest is empty"),
        ("# nothing\n", "the manifest is empty"),
        ("a: [", "cannot be read as YAML"),
        ("kind: ChatCluster\nkind: ChatCluster\n", "duplicate"),
        ("a: 1\n---\nb: 2\n", "holds 2 documents"),
        ("1: 2\n", "a key that is not a string"),
        ("a: .nan\n", "not a number"),
        ("a: !secret b\n", "YAML tag"),
        ("[]", "must be a mapping"),
    ] {
        let problems = manifest::parse(yaml).unwrap_err();
        assert!(problems[0].message.contains(message), "{yaml:?}: {problems:?}");
    }
}
