//! Logs and traces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{secrets::SecretKeyRef, syntax};

/// Says what gateways and workers tell about themselves. Metrics are always on, on the admin port.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Telemetry {
    /// Log filter: a level (`error`, `warn`, `info`, `debug`, `trace`), or several with targets, as in
    /// `info,chat_gateway=debug`. Changed without a restart. Default: `info`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = syntax::LOG_FILTER))]
    pub log_level: Option<String>,

    /// Where traces are sent. Absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Otlp>,
}

impl Telemetry {
    /// Returns the log filter.
    pub fn log_level(&self) -> &str {
        self.log_level.as_deref().unwrap_or("info")
    }
}

/// Names a collector that takes traces by OTLP.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Otlp {
    /// Address of the collector's receiver of OTLP over HTTP, as in `http://collector.observability:4318`; spans go to
    /// `/v1/traces` below it.
    #[schemars(length(max = 2048), regex(pattern = syntax::HTTP_URL))]
    pub endpoint: String,

    /// Headers for the collector: a Secret key with one `name=value` a line. Default key: `headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret_ref: Option<SecretKeyRef>,

    /// Share of messages that are traced, from 0 to 1. Default: 0.01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample_ratio: Option<f64>,
}

impl Otlp {
    /// Returns the share of messages that are traced, from 0 to 1.
    pub fn sample_ratio(&self) -> f64 {
        self.sample_ratio.unwrap_or(0.01)
    }
}
