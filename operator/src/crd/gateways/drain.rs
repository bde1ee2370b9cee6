//! How connections leave a gateway before it goes.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::rules;

/// Paces the moving of connections off a gateway.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::settling_fits_deadline()]))]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Seconds a drain may take, 5 to 3600; what is left then is closed, paced, in the last fifth. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 3600))]
    pub deadline_seconds: Option<u32>,

    /// Connections asked to move per second, over the whole cluster, 1 to 100000. The survivors' spare capacity caps it
    /// too. Default: 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub reconnects_per_second: Option<u32>,

    /// Seconds between "not ready" and the first connection asked to move, 0 to 300: what endpoints and load balancers
    /// need to notice. Less than the deadline. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub settle_seconds: Option<u32>,
}

impl Drain {
    /// Returns the time a drain may take.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_seconds.unwrap_or(300).into())
    }

    /// Returns the connections asked to move per second, over the whole cluster.
    pub fn reconnects_per_second(&self) -> u32 {
        self.reconnects_per_second.unwrap_or(200)
    }

    /// Returns the time between "not ready" and the first connection asked to move.
    pub fn settle(&self) -> Duration {
        Duration::from_secs(self.settle_seconds.unwrap_or(10).into())
    }
}
