//! Settings of one gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{AuthConfig, Limits};

/// What one gateway needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConfig {
    /// The pod's name; with a boot id made at start it is the gateway's identity.
    pub name: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where kubelet, Prometheus and the operator connect; never on the public service.
    pub admin_listen: SocketAddr,
    /// File with the bearer token of `/status` and `/drain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_token_file: Option<PathBuf>,
    /// Connections this gateway takes; beyond it the answer is `over_capacity`.
    pub max_connections: usize,
    /// Origins that browsers may come from; `*` is any.
    pub allowed_origins: Vec<String>,
    /// Attachments may be http too (local mode).
    #[serde(default)]
    pub insecure_attachments: bool,
    /// Whose tokens are taken.
    #[serde(default)]
    pub auth: AuthConfig,
    /// What is bounded.
    #[serde(default)]
    pub limits: Limits,
    /// How connections are moved off.
    #[serde(default)]
    pub drain: DrainConfig,
}

/// How a gateway moves its connections off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DrainConfig {
    /// Seconds from the beginning of a drain to its end.
    pub deadline_seconds: u64,
    /// `reconnect` frames a second.
    pub reconnects_per_second: u32,
    /// Seconds between "not ready" and the first `reconnect`, for endpoints and load balancers to notice.
    pub settle_seconds: u64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { deadline_seconds: 300, reconnects_per_second: 200, settle_seconds: 10 }
    }
}
