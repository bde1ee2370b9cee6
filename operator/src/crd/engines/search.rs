//! Elasticsearch: message search.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Credentials, Tls};
use crate::crd::{is_default, rules, syntax};

/// Chooses where messages are searched, if at all. May be turned on and off; turning it on fills the index again.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::one_search(), rules::index_needs_search()]))]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// Elasticsearch that exists, 8.x or newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<SearchServers>,

    /// Search is off; its calls answer `not_enabled`. Written as `disabled: {}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Off>,

    /// Index of this cluster. Only with `external`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub index: Index,
}

/// Marks a part as switched off; it has no fields of its own.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Off {}

/// Says how to reach an Elasticsearch that exists.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchServers {
    /// Its address, as in `https://search.example.com:9200`. No credentials in here.
    #[schemars(length(max = 2048), regex(pattern = syntax::HTTP_URL))]
    pub url: String,

    /// Name and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Credentials>,

    /// TLS for an `https` address. Absent: the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Shapes the index of a cluster.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Primary shards, 1 to 1024. Holds for indices made from now on. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub shards: Option<u32>,

    /// Copies of each shard beside the primary, 0 to 8. Default: 1, or 0 on a single node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 8))]
    pub replicas: Option<u32>,

    /// Whether index, alias and template are created. `false`: they are checked, and the command is shown. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manage: Option<bool>,
}

impl Index {
    /// Returns the number of primary shards.
    pub fn shards(&self) -> u32 {
        self.shards.unwrap_or(3)
    }

    /// Tells whether index, alias and template are created.
    pub fn manage(&self) -> bool {
        self.manage.unwrap_or(true)
    }
}
