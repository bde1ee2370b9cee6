//! Engines: where the data is.

pub(super) mod cassandra;
pub(super) mod kafka;
pub(super) mod redis;
pub(super) mod search;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    is_default,
    pod_template::PodTemplate,
    secrets::{SecretKeyRef, SecretRef},
};

/// Names engines the operator runs by itself.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Engines {
    /// Quick start: one pod runs the whole stack on embedded engines, with one volume. No failover: for trying it out and
    /// for development. `{}` is enough. Excludes `redis`, `kafka`, `cassandra` and `search.external`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
}

/// Configures the pod that runs the whole stack.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Embedded {
    /// Size of its volume. Default: `10Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Quantity>,

    /// Shape of its pod.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pod_template: PodTemplate,
}

impl Embedded {
    /// Returns the size of the volume.
    pub fn storage(&self) -> Quantity {
        self.storage.clone().unwrap_or_else(|| Quantity("10Gi".to_owned()))
    }
}

/// Points at a name and a password.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Secret with the keys `username` (may be absent for Redis) and `password`. Read again when it changes.
    pub secret_ref: SecretRef,
}

/// Turns on TLS to an engine. `{}` trusts the public authorities.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Authority that signed the engine's certificate. Default key: `ca.crt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,

    /// Certificate shown to the engine: a Secret of type `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<SecretRef>,
}
