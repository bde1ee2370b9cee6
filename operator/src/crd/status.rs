//! What the operator reports.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reports what the operator saw and does. Written by the operator only.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatClusterStatus {
    /// Generation of the spec this status answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Address clients connect to, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,

    /// Values in force where the spec names none: defaults, replication factors found at creation, kinds of engines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64), extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub resolved: BTreeMap<String, serde_json::Value>,

    /// Level of the record formats writers use; it rises when an upgrade is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub format_level: Option<u32>,

    /// External change under way, claimed before it is made, so that no two passes make it twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inflight: Option<Inflight>,

    /// Changes that wait, in plain words, at most 64: for `paused: false`, for a drain, for a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub pending: Vec<String>,

    /// Gateways and their connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateways: Option<GatewayCounts>,

    /// Managed Redis. Absent when Redis is not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisState>,

    /// Topics, schema and index as they were last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provision: Option<ProvisionState>,

    /// Drains under way, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["pod"]))]
    pub drains: Vec<DrainProgress>,

    /// What the scale subresource shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<ScaleState>,

    /// Conditions: `Ready`, `Reconciling`, `Stalled`, `Paused`, and one for each part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Names an external change under way.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inflight {
    /// Kind of change, as in `MoveSlots`.
    #[schemars(length(max = 64))]
    pub kind: String,

    /// What it changes, in plain words.
    #[schemars(length(max = 1024))]
    pub detail: String,

    /// When it was claimed.
    pub started_at: Time,
}

/// Counts gateways and their connections.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayCounts {
    /// Gateways wanted.
    pub desired: u32,

    /// Gateways that accept connections.
    pub ready: u32,

    /// Gateways that are being drained.
    pub draining: u32,

    /// Open client connections, rounded to two digits, at most every 30 s.
    pub connections: u64,
}

/// Reports on managed Redis.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisState {
    /// Shards that hold slots.
    pub shards: u32,

    /// Slots still to be moved.
    pub slots_moving: u32,
}

/// Reports on topics, schema and index.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionState {
    /// Topics that exist as they should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<u32>,

    /// Version of the last migration applied to the keyspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<u32>,

    /// Index that the alias points at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub index: Option<String>,
}

/// Reports on one drain.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainProgress {
    /// Pod that is drained.
    #[schemars(length(max = 253))]
    pub pod: String,

    /// When it began.
    pub started_at: Time,

    /// Connections at its beginning.
    pub initial: u32,

    /// Connections that are left.
    pub remaining: u32,

    /// When what is left is closed.
    pub deadline: Time,
}

/// Holds what the scale subresource shows.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleState {
    /// Gateways that exist.
    pub replicas: u32,

    /// Label selector of their pods.
    #[schemars(length(max = 512))]
    pub selector: String,

    /// Why there are as many, in plain words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}
