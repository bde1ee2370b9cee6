//! Unit costs: what one of something takes, as it was measured.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Costs and where they are from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnitCosts {
    /// Day of the measurement.
    pub(super) date: String,
    /// Machine it was made on.
    pub(super) machine: String,
    /// What made it.
    pub(super) source: String,
    /// Memory of an idle session, in bytes.
    pub(super) session_bytes: Measured,
    /// Processor of an idle session, in cores.
    pub(super) session_cores: Measured,
    /// Processor of a message from its arrival to its last delivery being queued, in seconds of a core.
    pub(super) message_core_seconds: Measured,
    /// Processor of one delivery, in seconds of a core.
    pub(super) delivery_core_seconds: Measured,
    /// Messages a second that one partition of the log carries.
    pub(super) partition_messages_per_second: Measured,
    /// Operations a second that one Redis shard carries.
    pub(super) redis_shard_operations_per_second: Measured,
    /// Rows a second that one Cassandra node takes, copies included.
    pub(super) cassandra_node_rows_per_second: Measured,
}

/// One cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Measured {
    /// The cost; `None` where it was not measured.
    pub(super) value: Option<f64>,
    /// How it was measured.
    pub(super) how: String,
}

impl UnitCosts {
    /// Returns the costs that this version was measured with.
    pub(super) fn measured() -> anyhow::Result<Self> {
        Self::parse(include_str!("../../../benches/unit-costs.json"))
    }

    /// Reads costs; each that is there is more than 0.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let costs: Self = serde_json::from_str(text).context("unit costs are JSON like benches/unit-costs.json")?;
        let all = [
            &costs.session_bytes,
            &costs.session_cores,
            &costs.message_core_seconds,
            &costs.delivery_core_seconds,
            &costs.partition_messages_per_second,
            &costs.redis_shard_operations_per_second,
            &costs.cassandra_node_rows_per_second,
        ];
        let wrong = all.iter().find(|cost| cost.value.is_some_and(|value| !(value.is_finite() && value > 0.0)));
        anyhow::ensure!(wrong.is_none(), "a unit cost is more than 0, or null where it was not measured: {wrong:?}");
        Ok(costs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_costs_of_this_version_are_sound_and_say_where_they_are_from() {
        let costs = UnitCosts::measured().unwrap();
        assert!(costs.date.starts_with("20") && costs.machine.contains("core") && !costs.source.is_empty());
        assert_eq!(costs.session_bytes.value, Some(5683.0));
    }

    #[test]
    fn a_cost_of_nothing_is_refused() {
        let text = include_str!("../../../benches/unit-costs.json").replace("5683", "0");
        assert!(UnitCosts::parse(&text).is_err());
        assert!(UnitCosts::parse("{}").is_err());
    }
}
