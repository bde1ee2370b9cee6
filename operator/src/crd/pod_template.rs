//! What a manifest may say about pods.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Affinity, PodSecurityContext, Toleration, TopologySpreadConstraint},
    apimachinery::pkg::api::resource::Quantity,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{is_default, rules, secrets::SecretKeyRef, syntax};

/// Shapes the pods of a component. Names, ports, probes, volumes and the container's own security stay the operator's.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// Labels added to the pods, at most 32. Those of the operator win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), transform = label_values)]
    pub labels: BTreeMap<String, String>,

    /// Annotations added to the pods, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), transform = annotation_values)]
    pub annotations: BTreeMap<String, String>,

    /// CPU and memory of the main container. Absent: a size the component was measured with.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,

    /// Labels a node must have, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), transform = label_values)]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes the pods put up with, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,

    /// Nodes and pods to be near to or far from. Absent: far from pods of the same component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,

    /// How the pods spread over hosts and zones, at most 8. Absent: over both, where possible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,

    /// Class that says which pods go first when a node is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub priority_class_name: Option<String>,

    /// `ServiceAccount` of the pods. No token is mounted. Absent: one made for the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub service_account: Option<String>,

    /// Security of the pod. Absent: what Pod Security level "restricted" asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurityContext>,

    /// Environment variables added to the main container, at most 64. Names that start with `CHAT_` are the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub extra_env: Vec<EnvVar>,
}

/// Reserves CPU and memory for a container, and caps what it uses.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What a node must have free, by resource (`cpu`, `memory`), at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,

    /// What the container may use, by resource, at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
}

/// Sets one environment variable, by value or from another object.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::value_or_source()]))]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable; not `CHAT_…`.
    #[schemars(length(max = 128), regex(pattern = syntax::ENV_NAME))]
    #[schemars(extend("x-kubernetes-validations" = [rules::no_chat_variable()]))]
    pub name: String,

    /// Its value, at most 4096 characters. Absent: empty, or that of `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,

    /// Where its value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// Says where the value of an environment variable comes from.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::one_source()]))]
#[serde(rename_all = "camelCase")]
pub struct EnvSource {
    /// Key of a Secret; `key` absent: `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,

    /// Key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ConfigMapKeyRef>,
}

/// Points at one key of a ConfigMap in the namespace of the `ChatCluster`.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub name: String,

    /// Key inside the ConfigMap.
    #[schemars(length(max = 253), regex(pattern = syntax::KEY))]
    pub key: String,
}

/// Bounds the values of a map of labels.
pub(super) fn label_values(schema: &mut schemars::Schema) {
    bound_values(schema, 63);
}

/// Bounds the values of a map of annotations.
pub(super) fn annotation_values(schema: &mut schemars::Schema) {
    bound_values(schema, 4096);
}

fn bound_values(schema: &mut schemars::Schema, max_length: u32) {
    if let Some(values) = schema.get_mut("additionalProperties").and_then(serde_json::Value::as_object_mut) {
        values.insert("maxLength".to_owned(), max_length.into());
    }
}
