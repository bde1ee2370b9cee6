//! From a manifest and what it refers to, to a cluster that can be built. Pure.
//!
//! The API server has checked each field and the rules of the definition; what is left is what needs more than the
//! object itself: this operator's version, Secrets, optional APIs, the size of the engines. The rules that keep data
//! safe are checked again, because the definition in a cluster may be older than the operator.

mod cluster;
mod fault;
mod lint;
mod references;
mod version;

pub use cluster::{Copies, Engines, RedisChoice, ResolvedImages, Stack, ValidatedCluster};
pub use fault::{Fault, FaultReason, LintReason, Warning};
pub use lint::lint;
pub use references::{Apis, References, SecretUse, secrets};
pub use version::{NotAVersion, Version};

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use crate::crd::{ChatCluster, ChatClusterSpec, DeletionPolicy, Images, Redis};

/// Annotation that confirms that deletion may remove the data; its value is the cluster's name.
pub const CONFIRM_DELETE: &str = "chatcluster.dev/confirm-delete";

/// Redis release of managed shards: the one this version was tested with.
const REDIS_IMAGE: &str = "redis:8.2";

/// Most copies that are made of data where the manifest does not say.
const MOST_COPIES: u32 = 3;

/// Checks a cluster; `own` is the version of the operator.
///
/// # Errors
///
/// Everything that is wrong with it; never empty.
pub fn validate(cluster: &ChatCluster, references: &References, own: &Version) -> Result<ValidatedCluster, Vec<Fault>> {
    let spec = &cluster.spec;
    let mut faults = Vec::new();
    let version = version(spec, own, &mut faults);
    let stack = stack(spec, &mut faults);
    let copies = copies(spec, references, &mut faults);
    replicas(spec, &mut faults);
    addresses(spec, &mut faults);
    apis(spec, references, &mut faults);
    references::check(spec, references, &mut faults);
    let (Some(version), Some(stack), true) = (version, stack, faults.is_empty()) else { return Err(faults) };

    let metadata = &cluster.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let confirmed = metadata.annotations.as_ref().and_then(|all| all.get(CONFIRM_DELETE)) == Some(&name);
    Ok(ValidatedCluster {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        images: images(&spec.images, &version),
        version,
        stack,
        apis: references.apis.unwrap_or(Apis { http_route: true, monitoring: false }),
        deletes_data: spec.deletion_policy == DeletionPolicy::Delete && confirmed,
        copies,
        spec: spec.clone(),
        name,
    })
}

fn version(spec: &ChatClusterSpec, own: &Version, faults: &mut Vec<Fault>) -> Option<Version> {
    let refused = match spec.version.parse::<Version>() {
        Ok(version) if own.runs(&version) => return Some(version),
        Ok(_) => format!("operator {own} runs its own minor version and the one before, not {}", spec.version),
        Err(error) => error.to_string(),
    };
    faults.push(Fault::new("spec.version", FaultReason::UnsupportedVersion, refused));
    None
}

fn stack(spec: &ChatClusterSpec, faults: &mut Vec<Fault>) -> Option<Stack> {
    if let Some(embedded) = &spec.engines.embedded {
        return Some(Stack::Embedded(Box::new(embedded.clone())));
    }
    let mut missing = |given: bool, engine: &str| {
        if !given {
            let message = format!("a full cluster needs {engine}; `engines: {{embedded: {{}}}}` needs none");
            faults.push(Fault::new(format!("spec.{engine}"), FaultReason::EngineMissing, message));
        }
    };
    let search = spec.search.as_ref().filter(|search| search.external.is_some() || search.disabled.is_some());
    missing(spec.redis.is_some(), "redis");
    missing(spec.kafka.is_some(), "kafka");
    missing(spec.cassandra.is_some(), "cassandra");
    missing(search.is_some(), "search");
    let (redis, kafka, cassandra, search) =
        (spec.redis.as_ref()?, spec.kafka.as_ref()?, spec.cassandra.as_ref()?, search?);
    Some(Stack::Full(Box::new(Engines {
        redis: redis_choice(redis, faults),
        kafka: kafka.clone(),
        cassandra: cassandra.clone(),
        search: search.external.as_ref().map(|servers| (servers.clone(), search.index.clone())),
    })))
}

fn redis_choice(redis: &Redis, faults: &mut Vec<Fault>) -> RedisChoice {
    if let Some(servers) = &redis.external {
        return RedisChoice::External(servers.clone());
    }
    let managed = redis.managed.clone().unwrap_or_default();
    if managed.shards() == 2 {
        let message = "must be 1, or 3 and more: of two shards neither can outvote the other when one fails";
        faults.push(Fault::new("spec.redis.managed.shards", FaultReason::ShardsCannotVote, message));
    }
    RedisChoice::Managed(Box::new(managed))
}

/// Settles copies: the manifest's, else those decided at creation, else as many as the engine has nodes for.
fn copies(spec: &ChatClusterSpec, references: &References, faults: &mut Vec<Fault>) -> Copies {
    let kept = |key: &str| references.kept.get(key);
    let number = |key: &str| kept(key).and_then(serde_json::Value::as_u64).and_then(|it| u32::try_from(it).ok());
    let most = |nodes: u32| nodes.clamp(1, MOST_COPIES);
    let mut enough = |path: &str, wanted: Option<u32>, nodes: Option<u32>, what: &str| {
        if let (Some(wanted), Some(nodes)) = (wanted, nodes)
            && wanted > nodes
        {
            let message = format!("{wanted} copies need as many {what}, and there are {nodes}");
            faults.push(Fault::new(path, FaultReason::TooManyReplicas, message));
        }
    };

    let topics = spec.kafka.as_ref().and_then(|kafka| kafka.topics.replication_factor);
    enough("spec.kafka.topics.replicationFactor", topics, references.brokers, "brokers");
    let mut keyspace = BTreeMap::new();
    if let Some(cassandra) = &spec.cassandra {
        let local = &cassandra.external.local_datacenter;
        let path = format!("spec.cassandra.keyspace.replication[{local}]");
        let wanted = cassandra.keyspace.replication.get(local).copied();
        enough(&path, wanted, references.cassandra_nodes, "nodes in that data centre");
        keyspace.clone_from(&cassandra.keyspace.replication);
        if keyspace.is_empty() {
            let decided = kept("cassandra.keyspace.replication").cloned();
            keyspace = decided.and_then(|it| serde_json::from_value(it).ok()).unwrap_or_default();
        }
        if let (true, Some(nodes)) = (keyspace.is_empty(), references.cassandra_nodes) {
            keyspace.insert(local.clone(), most(nodes));
        }
    }
    let index = spec.search.as_ref().and_then(|search| search.index.replicas);
    let on_nodes = |nodes: u32| u32::from(nodes > 1);
    Copies {
        topics: topics.or_else(|| number("kafka.topics.replicationFactor")).or_else(|| references.brokers.map(most)),
        keyspace,
        index: index.or_else(|| number("search.index.replicas")).or_else(|| references.search_nodes.map(on_nodes)),
    }
}

fn replicas(spec: &ChatClusterSpec, faults: &mut Vec<Fault>) {
    if let Some(sequencers) = spec.workers.sequencer.replicas
        && sequencers > spec.partitions()
        && !spec.is_embedded()
    {
        let message = format!("a partition has one sequencer, and there are {} partitions", spec.partitions());
        faults.push(Fault::new("spec.workers.sequencer.replicas", FaultReason::TooManyReplicas, message));
    }
}

/// Checks what the patterns of the definition let pass: ports past 65535 and ranges wider than their address.
fn addresses(spec: &ChatClusterSpec, faults: &mut Vec<Fault>) {
    let mut port = |path: String, address: &str| {
        let digits = address.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'));
        if let Some(digits) = digits.map(|digits| digits.trim_end_matches('/'))
            && digits.parse::<NonZeroU16>().is_err()
        {
            let message = format!("{address} has no port between 1 and 65535");
            faults.push(Fault::new(path, FaultReason::InvalidAddress, message));
        }
    };
    if let Some(kafka) = &spec.kafka {
        for (index, server) in kafka.external.bootstrap_servers.iter().enumerate() {
            port(format!("spec.kafka.external.bootstrapServers[{index}]"), server);
        }
    }
    if let Some(cassandra) = &spec.cassandra {
        for (index, point) in cassandra.external.contact_points.iter().enumerate() {
            port(format!("spec.cassandra.external.contactPoints[{index}]"), point);
        }
    }
    for (index, range) in spec.gateways.service.source_ranges.iter().enumerate() {
        if !is_range(range) {
            let message = format!("{range} is not an address range, as in 10.0.0.0/8");
            let path = format!("spec.gateways.service.sourceRanges[{index}]");
            faults.push(Fault::new(path, FaultReason::InvalidAddress, message));
        }
    }
}

fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn apis(spec: &ChatClusterSpec, references: &References, faults: &mut Vec<Fault>) {
    if spec.gateways.http_route.is_some() && references.apis.is_some_and(|apis| !apis.http_route) {
        let message = "this Kubernetes cluster has no HTTPRoute: install the Gateway API, or use `ingress`";
        faults.push(Fault::new("spec.gateways.httpRoute", FaultReason::ApiNotInstalled, message));
    }
}

fn images(images: &Images, version: &Version) -> ResolvedImages {
    let under = |name: &str| match &images.registry {
        Some(registry) => format!("{registry}/{name}"),
        None => name.to_owned(),
    };
    let ours =
        |given: &Option<String>, name: &str| given.clone().unwrap_or_else(|| under(&format!("{name}:{version}")));
    ResolvedImages {
        gateway: ours(&images.gateway, "chat-gateway"),
        workers: ours(&images.workers, "chat-workers"),
        local: ours(&images.local, "chatctl"),
        redis: images.redis.clone().unwrap_or_else(|| under(REDIS_IMAGE)),
        pull_policy: images.pull_policy,
        pull_secrets: images.pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
    }
}
