//! The API `chatcluster.dev/v1alpha1`: one kind, `ChatCluster`.
//!
//! Each submodule is one group of fields. Three conventions hold throughout:
//!
//! - A group is a plain struct, absent = default, so `spec.gateways.drain` can be read without unwrapping. A member of a
//!   union, and anything whose presence means something, is an `Option`.
//! - A number is an `Option` with an accessor that knows its default, so a stored object holds what its author wrote and
//!   nothing else. Only switches (enums and flags that rules read) have a default in the schema, and none of them lies on
//!   or inside a member of a union.
//! - Conditions that join several fields are CEL rules, kept together in `rules.rs`.

mod definition;
mod engines;
mod gateways;
mod images;
mod period;
mod pod_template;
mod push;
mod rules;
mod secrets;
mod status;
mod syntax;
mod telemetry;
mod workers;

pub use definition::{FILE_NAME, definition, schema, yaml};
pub use engines::cassandra::{Cassandra, CassandraServers, Keyspace};
pub use engines::kafka::{Kafka, KafkaServers, Sasl, SaslMechanism, Topics};
pub use engines::redis::{ManagedRedis, Redis, RedisServers};
pub use engines::search::{Index, Off, Search, SearchServers};
pub use engines::{Credentials, Embedded, Engines, Tls};
pub use gateways::auth::{Algorithm, Auth, Hs256, Jwks, Verifier};
pub use gateways::autoscaling::{Autoscaling, AutoscalingMode, ScaleDown, ScaleUp};
pub use gateways::drain::Drain;
pub use gateways::exposure::{HttpRoute, Ingress, ParentRef, ServedTls, Service, ServiceType, TrafficPolicy};
pub use gateways::limits::{LimitValues, Limits, Rate, RateLimit};
pub use gateways::{Gateways, Relay};
pub use images::{Images, PullPolicy};
pub use period::{NotAPeriod, Period};
pub use pod_template::{ConfigMapKeyRef, EnvSource, EnvVar, PodTemplate, Resources};
pub use push::{Apns, ApnsEnvironment, Fcm, Push, PushContent};
pub use secrets::{SecretKeyRef, SecretRef};
pub use status::{ChatClusterStatus, DrainProgress, GatewayCounts, Inflight, ProvisionState, RedisState, ScaleState};
pub use telemetry::{Otlp, Telemetry};
pub use workers::{WorkerRole, Workers};

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Describes one chat backend: its version, its engines, and how its gateways and workers run.
#[expect(clippy::duplicated_attributes, reason = "columns of the same type are different columns")]
#[derive(CustomResource, JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "chatcluster.dev",
    version = "v1alpha1",
    kind = "ChatCluster",
    plural = "chatclusters",
    shortname = "cc",
    namespaced,
    derive = "PartialEq",
    doc = "A chat backend: gateways, workers, and the engines they use.",
    status = "ChatClusterStatus",
    scale(
        spec_replicas_path = ".spec.gateways.replicas",
        status_replicas_path = ".status.scale.replicas",
        label_selector_path = ".status.scale.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether every part serves."
    ),
    printcolumn(
        name = "Gateways",
        type_ = "integer",
        json_path = ".status.gateways.ready",
        description = "Gateways that accept connections."
    ),
    printcolumn(
        name = "Connections",
        type_ = "integer",
        json_path = ".status.gateways.connections",
        description = "Open client connections, rounded to two digits."
    ),
    printcolumn(
        name = "Redis",
        type_ = "integer",
        json_path = ".status.redis.shards",
        description = "Redis shards that hold slots; empty when Redis is not managed."
    ),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version", description = "Version asked for."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[schemars(extend("x-kubernetes-validations" = [
    rules::some_engine(),
    rules::redis_given(),
    rules::kafka_given(),
    rules::cassandra_given(),
    rules::search_decided(),
    rules::embedded_stands_alone(),
    rules::sequencers_fit_partitions(),
    rules::prefix_is_kept(),
    rules::engine_kind_is_kept(),
    rules::redis_kind_is_kept(),
    rules::partitions_are_kept(),
    rules::keyspace_is_kept(),
]))]
#[serde(rename_all = "camelCase")]
pub struct ChatClusterSpec {
    /// Version of gateways, workers and migrations, for example `0.1.0`. Operator N runs versions N and N-1. Raising it
    /// starts a rolling upgrade; going back one version works until `chatctl finalize`.
    #[schemars(length(max = 32), regex(pattern = syntax::VERSION))]
    pub version: String,

    /// Where images come from. Absent: the project's own registry, tagged with `version`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub images: Images,

    /// Starts every name in shared engines: Redis keys and channels (not with managed Redis), topics, consumer groups,
    /// keyspace, index. Needed when clusters share an engine. Immutable. Default: empty.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(length(max = 24), regex(pattern = syntax::PREFIX))]
    pub prefix: String,

    /// How long data is kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retention: Retention,

    /// Logs and traces of gateways and workers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub telemetry: Telemetry,

    /// How an upgrade ends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub upgrade: Upgrade,

    /// Engines the operator runs by itself. Either `engines.embedded`, or `redis`, `kafka`, `cassandra` and `search`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub engines: Engines,

    /// Redis: routes, presence and relay between gateways. Its content is rebuildable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,

    /// Kafka: the log every message goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Kafka>,

    /// Cassandra: history, members and cursors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cassandra: Option<Cassandra>,

    /// Message search: an Elasticsearch, or `disabled: {}`. With `engines.embedded` absent means the embedded index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,

    /// Gateways hold the clients' connections.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gateways: Gateways,

    /// Workers order, store, fan out and index messages, and send pushes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub workers: Workers,

    /// Push notifications for members without a session.
    #[serde(default, skip_serializing_if = "is_default")]
    pub push: Push,

    /// Which policies on traffic are made.
    #[serde(default, skip_serializing_if = "is_default")]
    pub network_policy: NetworkPolicy,

    /// What happens to topics, keyspace, index, generated Secrets and volumes when this object is deleted. `Delete` also
    /// needs the annotation `chatcluster.dev/confirm-delete: NAME`.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Freezes changes; health, status and certificates go on. `status.pending` lists what waits.
    #[serde(default)]
    pub paused: bool,
}

impl ChatClusterSpec {
    /// Tells whether one pod runs the whole stack on embedded engines.
    pub const fn is_embedded(&self) -> bool {
        self.engines.embedded.is_some()
    }

    /// Tells whether messages can be searched: everywhere but where `search.disabled` says no.
    pub fn search_enabled(&self) -> bool {
        self.search.as_ref().is_none_or(|search| search.disabled.is_none())
    }

    /// Returns the number of partitions of the message log.
    pub fn partitions(&self) -> u32 {
        self.kafka.as_ref().map_or(Topics::PARTITIONS, |kafka| kafka.topics.partitions())
    }
}

/// Says how long data is kept.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Age at which messages go; clients see it as a rising `first_seq`. `0s` keeps them for ever. Default: `0s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Period>,
}

impl Retention {
    /// Returns the age at which messages go, or `None` to keep them for ever.
    pub fn messages(&self) -> Option<std::time::Duration> {
        self.messages.as_ref().map(Period::duration).filter(|age| !age.is_zero())
    }
}

/// Says how an upgrade ends.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgrade {
    /// Time after which a finished upgrade is final: record formats rise, contract migrations run, and the way back to
    /// the former version closes. Absent: only `chatctl finalize` does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalize_after: Option<Period>,
}

/// Chooses the policies on traffic that are made.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// `Ingress`: who may connect to each component; the admin port only from operator and monitoring. `Full`: also where
    /// each component may connect to. `None`: no policy.
    #[serde(default)]
    pub mode: NetworkPolicyMode,
}

/// Names a set of policies on traffic.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkPolicyMode {
    /// Limits who may connect to each component.
    #[default]
    Ingress,
    /// Limits also where each component may connect to.
    Full,
    /// Makes no policy. Not named `Off`, which YAML 1.1, and so `kubectl`, takes for `false` where it is not quoted.
    None,
}

/// Says what deletion of the object means for the data.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// Keeps topics, keyspace, index, generated Secrets and volumes.
    #[default]
    Retain,
    /// Removes them, once the confirming annotation is there.
    Delete,
}

/// Tells whether a group says nothing beyond its defaults, and so need not be written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
