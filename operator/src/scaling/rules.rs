//! What the manifest says about the number of gateways.

use std::time::Duration;

use crate::crd::{AutoscalingMode, Gateways};

/// What decides the number of gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The connections: so many a gateway.
    Connections {
        /// Connections a gateway should hold.
        target: u32,
        /// Least number of gateways.
        min: u32,
        /// Greatest number of gateways.
        max: u32,
    },
    /// Somebody else: this number.
    Replicas(u32),
}

/// The rules of one `ChatCluster`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What decides.
    pub wanted: Wanted,
    /// Connections one gateway takes.
    pub capacity: u32,
    /// Most gateways added at once.
    pub up_step: u32,
    /// Time for which the least number wanted counts.
    pub up_stabilization: Duration,
    /// Most gateways that drain at once.
    pub down_step: u32,
    /// Time for which the greatest number wanted counts.
    pub down_stabilization: Duration,
}

impl Rules {
    /// Reads the rules of a manifest.
    pub fn of(gateways: &Gateways) -> Self {
        let autoscaling = &gateways.autoscaling;
        let wanted = match autoscaling.mode {
            AutoscalingMode::Connections => Wanted::Connections {
                target: autoscaling.target_connections(),
                min: autoscaling.min(),
                max: autoscaling.max(),
            },
            AutoscalingMode::Fixed | AutoscalingMode::External => Wanted::Replicas(gateways.min_replicas()),
        };
        Self {
            wanted,
            capacity: gateways.max_connections(),
            up_step: autoscaling.scale_up.max_step(),
            up_stabilization: autoscaling.scale_up.stabilization(),
            down_step: autoscaling.scale_down.max_step(),
            down_stabilization: autoscaling.scale_down.stabilization(),
        }
    }

    /// Returns the number of gateways wanted for so many connections: `ceil(connections / target)` within the bounds.
    pub fn wanted(&self, connections: u64) -> u32 {
        match self.wanted {
            Wanted::Connections { target, min, max } => {
                let wanted = connections.div_ceil(u64::from(target.max(1)));
                u32::try_from(wanted).unwrap_or(u32::MAX).clamp(min, max.max(min))
            }
            Wanted::Replicas(replicas) => replicas,
        }
    }

    /// Returns the connections that so many gateways take before more are added while one drains: a session that moves
    /// is counted at both ends for a moment, so a tenth above the target is let pass.
    pub(super) fn taken_while_draining(&self, gateways: u64) -> Option<u64> {
        let Wanted::Connections { target, .. } = self.wanted else { return None };
        let each = (u64::from(target) + u64::from(target) / 10).min(u64::from(self.capacity));
        Some(gateways.saturating_mul(each))
    }
}
