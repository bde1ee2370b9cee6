//! A table of wrong manifests: a complete one, broken in one place at a time.

use serde_json::Value;

/// The complete manifest.
pub(crate) const COMPLETE: &str = include_str!("../complete.yaml");

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

/// One wrong manifest.
pub(crate) struct Mutation {
    pub(crate) field: &'static str,
    pub(crate) value: &'static str,
    pub(crate) blamed: &'static str,
}

/// Lists the wrong manifests.
pub(crate) fn mutations() -> Vec<Mutation> {
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
pub(crate) fn break_at(node: &mut Value, path: &str, value: Option<Value>) {
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
