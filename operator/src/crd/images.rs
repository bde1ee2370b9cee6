//! Where the images of the pods come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{secrets::SecretRef, syntax};

/// Says where images come from. An image is given whole (`registry/name:tag` or `registry/name@sha256:…`) or left out.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Images {
    /// Host, optional port and path put before the default image names, as in `registry.example.com/chat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200), regex(pattern = syntax::REGISTRY))]
    pub registry: Option<String>,

    /// Secrets with credentials for the registry, at most 8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub pull_secrets: Vec<SecretRef>,

    /// When a node asks the registry again. Absent: the default of Kubernetes, which depends on the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,

    /// Image of the gateways. Default: `chat-gateway` of `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320), regex(pattern = syntax::IMAGE))]
    pub gateway: Option<String>,

    /// Image of the workers, which also provisions engines. Default: `chat-workers` of `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320), regex(pattern = syntax::IMAGE))]
    pub workers: Option<String>,

    /// Image of the whole stack in one pod, for `engines.embedded`. Default: `chatctl` of `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320), regex(pattern = syntax::IMAGE))]
    pub local: Option<String>,

    /// Image of managed Redis. Default: the Redis release this operator was tested with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320), regex(pattern = syntax::IMAGE))]
    pub redis: Option<String>,
}

/// Says when a node asks the registry for an image it already has.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Asks at every start of a container.
    Always,
    /// Asks only for an image the node does not have.
    IfNotPresent,
    /// Never asks: the image must be on the node.
    Never,
}
