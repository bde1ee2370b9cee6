//! Where traces go.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A collector that takes traces by OTLP over HTTP (protobuf), and how many records are followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OtlpConfig {
    /// Address of the collector, as in `http://collector:4318`; spans go to `/v1/traces` below it.
    pub endpoint: String,
    /// Headers for the collector, one `name=value` a line: a mounted file, read at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_file: Option<PathBuf>,
    /// Share of records that are followed, 0 to 1.
    pub sample_ratio: f64,
}
