//! Cassandra: history, members and cursors.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Credentials, Tls};
use crate::crd::{is_default, syntax};

/// Says how to reach Cassandra and which keyspace is used.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cassandra {
    /// Cassandra that exists, 4.1 or newer, or `ScyllaDB`.
    pub external: CassandraServers,

    /// Keyspace of this cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keyspace: Keyspace,
}

/// Says how to reach a Cassandra that exists.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CassandraServers {
    /// Some of its nodes, 1 to 16, as `host` or `host:port`; the rest is discovered.
    #[schemars(length(min = 1, max = 16), inner(length(max = 260), regex(pattern = syntax::HOST_OPTIONAL_PORT)))]
    pub contact_points: Vec<String>,

    /// Data centre that queries go to; quorums are local to it.
    #[schemars(length(min = 1, max = 64))]
    pub local_datacenter: String,

    /// Name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Credentials>,

    /// TLS to the nodes. Absent: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Shapes the keyspace of a cluster.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keyspace {
    /// Name of the keyspace, after `prefix`. Immutable. Default: `chat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = syntax::KEYSPACE))]
    pub name: Option<String>,

    /// Copies of each row, 1 to 9, by data centre, at most 16 of them. Default: the smaller of 3 and the number of nodes
    /// in the local data centre at creation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), transform = copies)]
    pub replication: BTreeMap<String, u32>,

    /// Whether keyspace and tables are created and migrated. `false`: they are checked, and the command is shown.
    /// Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<bool>,
}

impl Keyspace {
    /// Returns the name of the keyspace, without the cluster's prefix.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("chat")
    }

    /// Tells whether keyspace and tables are created and migrated.
    pub fn manage(&self) -> bool {
        self.manage.unwrap_or(true)
    }
}

/// Bounds the copies of a row in one data centre.
fn copies(schema: &mut schemars::Schema) {
    if let Some(copies) = schema.get_mut("additionalProperties").and_then(serde_json::Value::as_object_mut) {
        copies.insert("minimum".to_owned(), 1.into());
        copies.insert("maximum".to_owned(), 9.into());
    }
}
