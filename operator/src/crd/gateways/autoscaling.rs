//! What decides the number of gateways.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::{is_default, rules};

/// Decides the number of gateways, and how fast it follows the connections.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::bounds_in_order()]))]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// `Connections`: the operator follows the connections. `Fixed`: `replicas` says. `External`: an HPA or KEDA writes
    /// `replicas` through the scale subresource.
    #[serde(default)]
    pub mode: AutoscalingMode,

    /// Least number of gateways, 1 to 1000. Default: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min: Option<u32>,

    /// Greatest number of gateways, 1 to 1000. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max: Option<u32>,

    /// Connections a gateway should hold, 10 to 500000. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 500_000))]
    pub target_connections: Option<u32>,

    /// How fast gateways are added.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scale_up: ScaleUp,

    /// How fast gateways are taken away.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scale_down: ScaleDown,
}

impl Autoscaling {
    /// Returns the least number of gateways.
    pub fn min(&self) -> u32 {
        self.min.unwrap_or(2)
    }

    /// Returns the greatest number of gateways.
    pub fn max(&self) -> u32 {
        self.max.unwrap_or(50)
    }

    /// Returns the connections a gateway should hold.
    pub fn target_connections(&self) -> u32 {
        self.target_connections.unwrap_or(10_000)
    }
}

/// Names what decides the number of gateways.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoscalingMode {
    /// The operator, from the connections.
    #[default]
    Connections,
    /// `replicas`, written by people.
    Fixed,
    /// `replicas`, written by another autoscaler.
    External,
}

/// Paces the adding of gateways.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleUp {
    /// Most gateways added at once, 1 to 100. Default: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_step: Option<u32>,

    /// Seconds for which the least number wanted counts, 0 to 3600. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_seconds: Option<u32>,
}

impl ScaleUp {
    /// Returns the most gateways added at once.
    pub fn max_step(&self) -> u32 {
        self.max_step.unwrap_or(4)
    }

    /// Returns the time for which the least number wanted counts.
    pub fn stabilization(&self) -> Duration {
        Duration::from_secs(self.stabilization_seconds.unwrap_or(0).into())
    }
}

/// Paces the taking away of gateways.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// Most gateways drained at once, 1 to 100. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_step: Option<u32>,

    /// Seconds for which the greatest number wanted counts, 0 to 86400. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub stabilization_seconds: Option<u32>,
}

impl ScaleDown {
    /// Returns the most gateways drained at once.
    pub fn max_step(&self) -> u32 {
        self.max_step.unwrap_or(1)
    }

    /// Returns the time for which the greatest number wanted counts.
    pub fn stabilization(&self) -> Duration {
        Duration::from_secs(self.stabilization_seconds.unwrap_or(300).into())
    }
}
