//! The file of `chat-gateway` and `chat-workers`: one for both, each reads what concerns it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    CassandraConfig, ElasticsearchConfig, GatewayConfig, KafkaConfig, OtlpConfig, PushConfig, RedisConfig, WorkerRole,
};

/// Settings of a process of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessConfig {
    /// The gateway; `chat-gateway` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayConfig>,
    /// The workers; `chat-workers` needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersProcess>,
    /// The engines.
    pub engines: EnginesConfig,
    /// By which vendors members who are not there are told.
    #[serde(default)]
    pub push: PushConfig,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
    /// Where traces go. Absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpConfig>,
    /// What `chat-workers provision` makes.
    #[serde(default)]
    pub provision: ProvisionConfig,
}

/// How the engines are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnginesConfig {
    /// The log.
    pub kafka: KafkaConfig,
    /// The stores.
    pub cassandra: CassandraConfig,
    /// Relay, routes, presence and poll positions.
    pub redis: RedisConfig,
    /// The search index. Absent: nobody can search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<ElasticsearchConfig>,
}

/// What one process of workers needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkersProcess {
    /// Where kubelet, Prometheus and the operator connect; never on a public service.
    pub admin_listen: SocketAddr,
    /// File with the bearer token of `/status`.
    pub admin_token_file: PathBuf,
    /// The roles that run here. A role whose engine is not configured does nothing. Absent: all.
    #[serde(default = "all_roles")]
    pub roles: Vec<WorkerRole>,
}

fn all_roles() -> Vec<WorkerRole> {
    WorkerRole::ALL.to_vec()
}

/// What is logged, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LogConfig {
    /// A level, or several with targets, as in `info,chat_gateway=debug`.
    pub filter: String,
    /// One JSON object a line, or text for people.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info,scylla=error".to_owned(), format: LogFormat::default() }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object.
    #[default]
    Json,
    /// For people.
    Text,
}

/// What `chat-workers provision` makes, or only checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProvisionConfig {
    /// Which cluster the engines' parts belong to; another one is refused them.
    pub owner: String,
    /// The topics.
    pub topics: TopicsConfig,
    /// The keyspace.
    pub keyspace: KeyspaceConfig,
    /// The search index.
    pub index: IndexConfig,
}

impl Default for ProvisionConfig {
    fn default() -> Self {
        Self {
            owner: "chat".to_owned(),
            topics: TopicsConfig::default(),
            keyspace: KeyspaceConfig::default(),
            index: IndexConfig::default(),
        }
    }
}

/// How the topics are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TopicsConfig {
    /// Whether missing ones are made; otherwise all are only checked.
    pub manage: bool,
    /// Copies of each partition.
    pub replication_factor: u16,
    /// How long records are kept, in seconds.
    pub retention_seconds: u64,
}

impl Default for TopicsConfig {
    fn default() -> Self {
        Self { manage: true, replication_factor: 3, retention_seconds: 7 * 24 * 3600 }
    }
}

/// How the keyspace is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KeyspaceConfig {
    /// Whether keyspace and tables are made and migrated; otherwise they are only checked.
    pub manage: bool,
    /// Copies of each row in the local datacenter.
    pub replication: u8,
}

impl Default for KeyspaceConfig {
    fn default() -> Self {
        Self { manage: true, replication: 3 }
    }
}

/// How the search index is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IndexConfig {
    /// Whether template, index and alias are made; otherwise the alias is only checked.
    pub manage: bool,
    /// Primary shards.
    pub shards: u32,
    /// Copies of each shard beside the primary.
    pub replicas: u32,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self { manage: true, shards: 3, replicas: 1 }
    }
}
