//! Gateways: the pods that hold the clients' connections.

pub(super) mod auth;
pub(super) mod autoscaling;
pub(super) mod drain;
pub(super) mod exposure;
pub(super) mod limits;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    auth::Auth,
    autoscaling::Autoscaling,
    drain::Drain,
    exposure::{HttpRoute, Ingress, ServedTls, Service},
    limits::Limits,
};
use super::{is_default, pod_template::PodTemplate, rules, secrets::SecretKeyRef, syntax};

/// Says how many gateways there are, how clients reach them, whom they let in, and what they allow.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [
    rules::replicas_fit_mode(),
    rules::one_route(),
    rules::connections_fit_target(),
]))]
#[serde(rename_all = "camelCase")]
pub struct Gateways {
    /// Number of gateways, 0 to 1000. Given exactly when `autoscaling.mode` is `Fixed` or `External`; `kubectl scale`, an
    /// HPA or KEDA write it. Steps, stabilization and drain hold for it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<u32>,

    /// What decides the number of gateways, and how fast it follows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub autoscaling: Autoscaling,

    /// How connections leave a gateway before it goes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drain: Drain,

    /// Service in front of the gateways.
    #[serde(default, skip_serializing_if = "is_default")]
    pub service: Service,

    /// `HTTPRoute` to the gateways. Excludes `ingress`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,

    /// Ingress to the gateways. Excludes `httpRoute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,

    /// TLS served by the gateways themselves. Absent: plain HTTP, for a proxy that ends TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServedTls>,

    /// Whose tokens are accepted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub auth: Auth,

    /// Connections one gateway takes, 10 to 1000000; beyond it clients are sent to another. At least
    /// `autoscaling.targetConnections`. Default: 1.5 times that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 1_000_000))]
    pub max_connections: Option<u32>,

    /// Web origins that may connect, at most 64, as in `https://app.example.com`; `*` stands alone and allows all.
    /// Requests without an origin (native apps) pass. Default: `["*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 255), regex(pattern = syntax::ORIGIN)))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    #[schemars(extend("x-kubernetes-validations" = [rules::star_stands_alone()]))]
    pub allowed_origins: Vec<String>,

    /// Bearer token of the admin port. Default key: `token`. Absent: Secret NAME-admin is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_token_secret_ref: Option<SecretKeyRef>,

    /// Redis channel that workers publish a delivery to. `Gateway`: one channel a gateway, the cheap way. `User`: one a
    /// user.
    #[serde(default)]
    pub relay: Relay,

    /// What one client, user or chat may do. Rates hold per gateway.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,

    /// Shape of the pods.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pod_template: PodTemplate,
}

impl Gateways {
    /// Returns the connections one gateway takes: `capacity` of its `/status`.
    pub fn max_connections(&self) -> u32 {
        let target = self.autoscaling.target_connections();
        self.max_connections.unwrap_or(target + target / 2)
    }

    /// Returns the web origins that may connect; `*` alone allows all.
    pub fn allowed_origins(&self) -> Vec<String> {
        if self.allowed_origins.is_empty() { vec!["*".to_owned()] } else { self.allowed_origins.clone() }
    }

    /// Returns the least number of gateways: `replicas` where it is given, else the lower bound of autoscaling.
    pub fn min_replicas(&self) -> u32 {
        self.replicas.unwrap_or_else(|| self.autoscaling.min())
    }
}

/// Names what a Redis channel of the relay stands for.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relay {
    /// One channel a gateway.
    #[default]
    Gateway,
    /// One channel a user.
    User,
}
