//! References to Secrets in the cluster's own namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::syntax;

/// Points at a Secret in the namespace of the `ChatCluster`.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub name: String,
}

/// Points at one key of a Secret in the namespace of the `ChatCluster`.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub name: String,

    /// Key inside the Secret. Absent: the key named where the reference is documented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = syntax::KEY))]
    pub key: Option<String>,
}

impl SecretKeyRef {
    /// Returns the key, or `default` where none was given.
    pub fn key_or<'a>(&'a self, default: &'a str) -> &'a str {
        self.key.as_deref().unwrap_or(default)
    }
}
