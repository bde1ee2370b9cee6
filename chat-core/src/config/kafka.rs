//! How to reach Kafka, and what the topics of one cluster are called there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use super::tls::{ClientCertificate, Tls};

/// Kafka as the message log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaConfig {
    /// Some of its brokers, as `host:port`; the rest is discovered.
    pub bootstrap_servers: Vec<String>,
    /// Stands before the name of every topic and consumer group.
    #[serde(default)]
    pub prefix: String,
    /// Partitions of every topic.
    #[serde(default = "sixty_four")]
    pub partitions: u32,
    /// Life of the log that the positions read from these topics carry, at least; one that was adopted later, with
    /// `chat-workers log adopt`, stands above it.
    #[serde(default = "first")]
    pub epoch: u32,
    /// Name and password. Absent: none, or the client certificate of `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// TLS to the brokers. Absent: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

fn sixty_four() -> u32 {
    64
}

fn first() -> u32 {
    1
}

/// Signs in with a name and a password, each in a mounted file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: SaslMechanism,
    /// The name.
    pub username_file: PathBuf,
    /// The password.
    pub password_file: PathBuf,
}

/// A way to prove a password to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

impl SaslMechanism {
    /// Returns the name that the protocol has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
