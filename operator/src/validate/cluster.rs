//! A cluster that was checked: names and choices are settled, so that what is built of it cannot fail.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{references::Apis, version::Version};
use crate::crd::{
    Cassandra, ChatClusterSpec, Embedded, Index, Kafka, ManagedRedis, PullPolicy, RedisServers, SearchServers,
};

/// Holds a cluster that was checked. Where the manifest is silent, the accessors of `spec` know the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedCluster {
    /// Name of the cluster; names of its objects start with it.
    pub name: String,
    /// Namespace; empty where a manifest does not say.
    pub namespace: String,
    /// Identity of the object in its API server; empty where it has none yet.
    pub uid: String,
    /// Version of gateways and workers.
    pub version: Version,
    /// Where images come from.
    pub images: ResolvedImages,
    /// Where the data is.
    pub stack: Stack,
    /// Optional APIs of the Kubernetes cluster.
    pub apis: Apis,
    /// Whether deletion removes data: policy and annotation both say so.
    pub deletes_data: bool,
    /// Copies, where they are known: by the manifest, or decided at creation.
    pub copies: Copies,
    /// The manifest.
    pub spec: ChatClusterSpec,
}

/// Names the images of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedImages {
    /// Of the gateways.
    pub gateway: String,
    /// Of the workers.
    pub workers: String,
    /// Of the whole stack in one pod.
    pub local: String,
    /// Of managed Redis.
    pub redis: String,
    /// When a node asks the registry again.
    pub pull_policy: Option<PullPolicy>,
    /// Secrets with credentials for the registry.
    pub pull_secrets: Vec<String>,
}

/// Says where the data of a cluster is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stack {
    /// One pod runs everything on embedded engines.
    Embedded(Box<Embedded>),
    /// Gateways, workers and engines are apart.
    Full(Box<Engines>),
}

/// Says how the engines of a full cluster are reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Engines {
    /// Redis.
    pub redis: RedisChoice,
    /// Kafka.
    pub kafka: Kafka,
    /// Cassandra.
    pub cassandra: Cassandra,
    /// Elasticsearch and its index; `None` where search is off.
    pub search: Option<(SearchServers, Index)>,
}

/// Says who runs Redis.
#[derive(Clone, Debug, PartialEq)]
pub enum RedisChoice {
    /// The operator.
    Managed(Box<ManagedRedis>),
    /// Somebody else.
    External(RedisServers),
}

/// Holds how often data is copied, where that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Copies of a Kafka partition.
    pub topics: Option<u32>,
    /// Copies of a Cassandra row, by data centre.
    pub keyspace: BTreeMap<String, u32>,
    /// Copies of an index shard beside the primary.
    pub index: Option<u32>,
}

impl ValidatedCluster {
    /// Returns the number of managed Redis shards, or 0 where Redis is not managed.
    pub fn redis_shards(&self) -> u32 {
        match &self.stack {
            Stack::Full(engines) => match &engines.redis {
                RedisChoice::Managed(redis) => redis.shards(),
                RedisChoice::External(_) => 0,
            },
            Stack::Embedded(_) => 0,
        }
    }

    /// Returns the values in force where the manifest may be silent: what `status.resolved` shows.
    pub fn resolved(&self) -> BTreeMap<String, Value> {
        let mut values = BTreeMap::new();
        let mut set = |key: &str, value: Value| values.insert(key.to_owned(), value);
        let spec = &self.spec;
        let gateways = &spec.gateways;
        set("gateways.maxConnections", json!(gateways.max_connections()));
        set("gateways.allowedOrigins", json!(gateways.allowed_origins()));
        set("gateways.service.port", json!(self.service_port()));
        set("telemetry.logLevel", json!(spec.telemetry.log_level()));
        let Stack::Full(engines) = &self.stack else {
            set("engines", json!("embedded"));
            set("images.local", json!(self.images.local));
            return values;
        };
        set("engines", json!("full"));
        set("images.gateway", json!(self.images.gateway));
        set("images.workers", json!(self.images.workers));
        set("gateways.autoscaling.mode", json!(gateways.autoscaling.mode));
        if gateways.replicas.is_none() {
            set("gateways.autoscaling.min", json!(gateways.autoscaling.min()));
            set("gateways.autoscaling.max", json!(gateways.autoscaling.max()));
            set("gateways.autoscaling.targetConnections", json!(gateways.autoscaling.target_connections()));
        }
        set("gateways.drain.deadlineSeconds", json!(gateways.drain.deadline().as_secs()));
        set("gateways.drain.reconnectsPerSecond", json!(gateways.drain.reconnects_per_second()));
        match &engines.redis {
            RedisChoice::Managed(redis) => {
                set("redis", json!("managed"));
                set("redis.managed.shards", json!(redis.shards()));
                set("redis.managed.replicasPerShard", json!(redis.replicas_per_shard()));
                set("images.redis", json!(self.images.redis));
            }
            RedisChoice::External(_) => {
                set("redis", json!("external"));
            }
        }
        set("kafka.topics.partitions", json!(engines.kafka.topics.partitions()));
        if let Some(copies) = self.copies.topics {
            set("kafka.topics.replicationFactor", json!(copies));
        }
        set("cassandra.keyspace.name", json!(self.keyspace()));
        if !self.copies.keyspace.is_empty() {
            set("cassandra.keyspace.replication", json!(self.copies.keyspace));
        }
        set("search", json!(if engines.search.is_some() { "external" } else { "disabled" }));
        if let Some((_, index)) = &engines.search {
            set("search.index.shards", json!(index.shards()));
            if let Some(copies) = self.copies.index {
                set("search.index.replicas", json!(copies));
            }
        }
        values
    }

    /// Returns the Secret and the key of the admin ports' token; where the manifest names none, one is generated.
    pub fn admin_token(&self) -> (String, String) {
        match &self.spec.gateways.admin_token_secret_ref {
            Some(token) => (token.name.clone(), token.key_or("token").to_owned()),
            None => (format!("{}-admin", self.name), "token".to_owned()),
        }
    }

    /// Returns the generated Secret with the key of tokens, where the manifest names no verifier.
    pub fn token_key(&self) -> Option<String> {
        self.spec.gateways.auth.verifiers.is_empty().then(|| format!("{}-jwt", self.name))
    }

    /// Lists the Secrets that are generated where they are not there, each with its key.
    pub fn generated(&self) -> Vec<(String, &'static str)> {
        let Stack::Full(_) = self.stack else { return Vec::new() };
        let admin = self.spec.gateways.admin_token_secret_ref.is_none().then(|| (self.admin_token().0, "token"));
        admin.into_iter().chain(self.token_key().map(|secret| (secret, "key"))).collect()
    }

    /// Returns the port of the Service in front of the gateways.
    pub fn service_port(&self) -> u16 {
        let gateways = &self.spec.gateways;
        gateways.service.port.unwrap_or_else(|| if gateways.tls.is_some() { 443 } else { 80 })
    }

    /// Returns the name of the keyspace, prefix included. A keyspace takes no hyphen; the prefix's become underscores.
    pub fn keyspace(&self) -> String {
        let name = self.spec.cassandra.as_ref().map_or("chat", |cassandra| cassandra.keyspace.name());
        format!("{}{name}", self.spec.prefix.replace('-', "_"))
    }
}
