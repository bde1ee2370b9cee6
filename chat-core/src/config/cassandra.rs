//! How to reach Cassandra or ScyllaDB, and what the keyspace of one cluster is called there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Cassandra as the message store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CassandraConfig {
    /// Some of its nodes, as `host:port`; the rest is discovered.
    pub contact_points: Vec<String>,
    /// The keyspace: 1-48 of `a-z0-9_`.
    pub keyspace: String,
    /// The datacenter that reads and writes go to; the same one for every sequencer.
    pub local_datacenter: String,
    /// Age at which messages leave the store, in seconds. Absent or 0: they are kept for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_age_seconds: Option<u64>,
    /// Name and password. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<CassandraAuth>,
    /// TLS to the nodes. Absent: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<CassandraTls>,
}

/// Signs in with a name and a password, each in a mounted file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CassandraAuth {
    /// The name.
    pub username_file: PathBuf,
    /// The password.
    pub password_file: PathBuf,
}

/// TLS to the nodes. Nodes are reached by address, so their certificates name their addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CassandraTls {
    /// The authorities to trust, PEM.
    pub ca_file: PathBuf,
}
