//! Kafka: the log every message goes through.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use crate::crd::{is_default, period::Period, secrets::SecretRef, syntax};

/// Says how to reach Kafka and what its topics look like.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kafka {
    /// Kafka that exists, 3.5 or newer.
    pub external: KafkaServers,

    /// Topics of this cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub topics: Topics,
}

/// Says how to reach a Kafka that exists.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaServers {
    /// Some of its brokers, 1 to 16, as `host:port`; the rest is discovered.
    #[schemars(length(min = 1, max = 16), inner(length(max = 260), regex(pattern = syntax::HOST_PORT)))]
    pub bootstrap_servers: Vec<String>,

    /// Name and password. Absent: none, or the client certificate of `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,

    /// TLS to the brokers. Absent: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Signs in to Kafka with a name and a password.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: SaslMechanism,

    /// Secret with the keys `username` and `password`. Read again when it changes.
    pub secret_ref: SecretRef,
}

/// Names a way to prove a password to Kafka.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaslMechanism {
    /// Sends it as it is: only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Proves it by SCRAM with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Proves it by SCRAM with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Shapes the topics of a cluster.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topics {
    /// Partitions of the message log, 1 to 1024: the most sequencers there can be. Immutable, because a chat stays in its
    /// partition. Default: 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub partitions: Option<u32>,

    /// Copies of each partition, 1 to 9. Default: the smaller of 3 and the number of brokers at creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    pub replication_factor: Option<u32>,

    /// How long the log is kept for consumers that are behind; messages themselves live in Cassandra. Default: `7d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Period>,

    /// Whether topics are created and configured. `false`: they are checked, and the command to create them is shown.
    /// Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<bool>,
}

impl Topics {
    /// Partitions of the message log where the manifest names none.
    pub const PARTITIONS: u32 = 64;

    /// Returns the number of partitions of the message log.
    pub fn partitions(&self) -> u32 {
        self.partitions.unwrap_or(Self::PARTITIONS)
    }

    /// Returns how long the log is kept.
    pub fn retention(&self) -> Duration {
        self.retention.as_ref().map_or(Duration::from_hours(7 * 24), Period::duration)
    }

    /// Tells whether topics are created and configured.
    pub fn manage(&self) -> bool {
        self.manage.unwrap_or(true)
    }
}
