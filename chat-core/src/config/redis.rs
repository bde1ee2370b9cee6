//! How to reach Redis, and what stands before the names of one cluster there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::tls::Tls;

/// Redis for routes, presence, poll positions and the relay: a Redis Cluster, or one Redis without cluster mode, which
/// is found out when it is opened. Version 7 or later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisConfig {
    /// Some of its nodes, as `redis://host:port`, or `rediss://host:port` for TLS; the rest is discovered. No
    /// credentials in here.
    pub urls: Vec<String>,
    /// Stands before every key and channel. No braces in it: they choose the hash slot.
    #[serde(default)]
    pub prefix: String,
    /// Name and password. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<RedisAuth>,
    /// What `rediss://` trusts and shows. Absent: the system's authorities, and no certificate. Nodes are reached as
    /// they announce themselves, so their certificates name that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Signs in with a password, and a name where it is not `default`, each in a mounted file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisAuth {
    /// The name. Absent: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_file: Option<PathBuf>,
    /// The password.
    pub password_file: PathBuf,
}
