//! How to reach Elasticsearch or OpenSearch, and what stands before the names of one cluster there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Elasticsearch, or OpenSearch, as the search index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// Its address, as `http://host:port` or `https://host:port`. No credentials in here.
    pub url: String,
    /// Stands before the names of index, alias and template: lower case.
    #[serde(default)]
    pub prefix: String,
    /// Name and password. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ElasticsearchAuth>,
    /// What `https://` trusts. Absent: the system's authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ElasticsearchTls>,
}

/// Signs in with a name and a password, each in a mounted file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ElasticsearchAuth {
    /// The name.
    pub username_file: PathBuf,
    /// The password.
    pub password_file: PathBuf,
}

/// TLS to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ElasticsearchTls {
    /// The authorities to trust beside the system's, PEM.
    pub ca_file: PathBuf,
}
