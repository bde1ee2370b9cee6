//! Workers: the roles behind the log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    is_default,
    pod_template::{PodTemplate, Resources},
};

/// Sizes the workers. Every role runs in its own Deployment from the same image.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// What all worker pods share.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pod_template: PodTemplate,

    /// Gives messages their place in their chat, stores them and fans them out. At most one replica a partition.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sequencer: WorkerRole,

    /// Keeps delivered and read cursors, and sweeps presence that ran out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub receipts: WorkerRole,

    /// Feeds the search index.
    #[serde(default, skip_serializing_if = "is_default")]
    pub indexer: WorkerRole,

    /// Sends push notifications.
    #[serde(default, skip_serializing_if = "is_default")]
    pub push: WorkerRole,

    /// Counts hourly rollups.
    #[serde(default, skip_serializing_if = "is_default")]
    pub analytics: WorkerRole,
}

/// Sizes one role of the workers.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerRole {
    /// Number of pods, 0 to 512; 0 stops the role and lets its backlog grow. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 512))]
    pub replicas: Option<u32>,

    /// CPU and memory of a pod of this role; absent: those of `podTemplate`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
}

impl WorkerRole {
    /// Returns the number of pods.
    pub fn replicas(&self) -> u32 {
        self.replicas.unwrap_or(2)
    }
}
