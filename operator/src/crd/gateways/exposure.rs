//! How clients reach the gateways.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::{pod_template::annotation_values, rules, syntax};

/// Shapes the Service in front of the gateways.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    rules::traffic_policy_fits_type(),
    rules::class_fits_type(),
    rules::ranges_fit_type(),
]))]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Who can reach it: `ClusterIP` the cluster, `NodePort` those who reach a node, `LoadBalancer` the outside.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,

    /// Port of the Service, 1 to 65535. Default: 80, or 443 with `tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,

    /// Annotations of the Service, at most 32: load balancers are configured by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), transform = annotation_values)]
    pub annotations: BTreeMap<String, String>,

    /// `Local` keeps the client's address and spares a hop. Only with `NodePort` and `LoadBalancer`. Absent: `Cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<TrafficPolicy>,

    /// Class of the load balancer. Only with `LoadBalancer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,

    /// Address ranges that may connect, at most 64, as in `10.0.0.0/8`. Only with `LoadBalancer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 64), regex(pattern = syntax::CIDR)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub source_ranges: Vec<String>,
}

/// Names who can reach a Service.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// The cluster.
    #[default]
    ClusterIP,
    /// Those who reach a node.
    NodePort,
    /// The outside.
    LoadBalancer,
}

/// Names the nodes that take traffic from outside.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// All nodes, by a second hop.
    #[default]
    Cluster,
    /// Only nodes with a gateway.
    Local,
}

/// Shapes an `HTTPRoute` (Gateway API) to the gateways; its request timeout is off, for long connections.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// Host name clients use.
    #[schemars(length(max = 253), regex(pattern = syntax::HOST))]
    pub host: String,

    /// Gateways of the Gateway API it attaches to, 1 to 8.
    #[schemars(length(min = 1, max = 8))]
    pub parent_refs: Vec<ParentRef>,

    /// Annotations of the `HTTPRoute`, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), transform = annotation_values)]
    pub annotations: BTreeMap<String, String>,
}

/// Points at a Gateway of the Gateway API.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub name: String,

    /// Namespace of the Gateway. Absent: that of the `ChatCluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = syntax::NAME))]
    pub namespace: Option<String>,

    /// Listener of the Gateway. Absent: all that match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub section_name: Option<String>,
}

/// Shapes an Ingress to the gateways.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// Host name clients use.
    #[schemars(length(max = 253), regex(pattern = syntax::HOST))]
    pub host: String,

    /// Class of the controller. Absent: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub class_name: Option<String>,

    /// Secret with the certificate the controller serves. Absent: plain HTTP, or the controller's own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub tls_secret_name: Option<String>,

    /// Annotations of the Ingress, at most 32: controllers are configured by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), transform = annotation_values)]
    pub annotations: BTreeMap<String, String>,
}

/// Names the certificate the gateways serve.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServedTls {
    /// Secret of type `kubernetes.io/tls`; a renewed certificate is served without a restart.
    #[schemars(length(max = 253), regex(pattern = syntax::NAME))]
    pub secret_name: String,
}
