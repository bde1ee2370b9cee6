//! From a load and unit costs to the number of each part. Pure; every formula is in the documentation of its function.

use serde::Serialize;

use super::costs::{Measured, UnitCosts};
use super::load::{Load, Part};

/// Copies of a row in Cassandra.
pub(super) const COPIES: f64 = 3.0;

/// Rows that a message writes at most: the message, its id, the state of its chat (one a batch).
const ROWS_A_MESSAGE: f64 = 3.0;

/// Seconds between two marks of presence of a session.
const PRESENCE_S: f64 = 20.0;

/// Connections that a gateway is meant to hold, the fewest that keep the number of gateways within bounds first.
const TARGETS: [u32; 6] = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000];

/// Most gateways at the peak: what the resource allows, less room to grow by half.
const MAX_GATEWAYS: u32 = 660;

/// Most partitions that the resource allows.
const MAX_PARTITIONS: u32 = 1024;

/// Most pods of a role that the resource allows.
const MAX_PODS: u32 = 512;

/// Partitions come in such numbers, so that they share out evenly.
const PARTITIONS_STEP: u32 = 16;

/// How pods are cut, and how full they may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pods {
    /// Cores of a gateway.
    pub(super) gateway_cores: f64,
    /// Cores of a sequencer.
    pub(super) sequencer_cores: f64,
    /// Share of anything that stays free at the peak, from 0 to less than 1.
    pub(super) spare: f64,
}

/// What a load needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Plan {
    /// Gateways at the peak.
    pub(super) gateways: u32,
    /// Connections that each is meant to hold.
    pub(super) target_connections: u32,
    /// Cores of each.
    pub(super) gateway_cores: f64,
    /// Memory of each for its sessions when it is as full as it may be, in bytes.
    pub(super) gateway_bytes: f64,
    /// Partitions of the log.
    pub(super) partitions: u32,
    /// Sequencers.
    pub(super) sequencers: u32,
    /// Cores of each.
    pub(super) sequencer_cores: f64,
    /// Redis shards; `None` where their cost was not measured.
    pub(super) redis_shards: Option<u32>,
    /// Cassandra nodes; `None` where their cost was not measured.
    pub(super) cassandra_nodes: Option<u32>,
    /// Each part with its load, what one of it carries, and how full that makes it.
    pub(super) parts: Vec<Sized>,
    /// The part that is full first as the load grows, of those that were measured.
    pub(super) first: String,
    /// How many times the peak of the load it takes to fill it.
    pub(super) grows: f64,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Sized {
    /// What it is.
    pub(super) part: &'static str,
    /// Its load at the peak.
    pub(super) load: f64,
    /// What the load is counted in.
    pub(super) unit: &'static str,
    /// What one of it carries; `None` where it was not measured.
    pub(super) one_carries: Option<f64>,
    /// How many of it are recommended; `None` where it was not measured.
    pub(super) count: Option<u32>,
    /// How full they are at the peak, 1 for full.
    pub(super) full: Option<f64>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum Unplannable {
    /// A cost of our own part is not there.
    #[error("the unit costs do not have {0}, which the plan rests on; measure it with benches/figures.sh")]
    NotMeasured(&'static str),
    /// One cluster cannot hold it.
    #[error("{part} would be {needed}, and one ChatCluster has at most {most}: share the users out over several")]
    TooLarge {
        /// Of what there would be too many.
        part: &'static str,
        /// How many.
        needed: f64,
        /// How many there may be.
        most: u32,
    },
}

/// Plans a load.
pub(super) fn plan(load: &Load, costs: &UnitCosts, pods: &Pods) -> Result<Plan, Unplannable> {
    let own = |cost: &Measured, name| cost.value.ok_or(Unplannable::NotMeasured(name));
    let session_bytes = own(&costs.session_bytes, "session_bytes")?;
    let session = own(&costs.session_cores, "session_cores")?;
    let message = own(&costs.message_core_seconds, "message_core_seconds")?;
    let delivery = own(&costs.delivery_core_seconds, "delivery_core_seconds")?;
    let partition = own(&costs.partition_messages_per_second, "partition_messages_per_second")?;

    let messages = load.messages_per_s();
    let deliveries = messages * load.deliveries_a_message();
    let usable = 1.0 - pods.spare;

    let gateway_work = gateway_cores(load.online, messages, deliveries, session, message, delivery);
    let by_cores = gateway_work / (pods.gateway_cores * usable);
    let target_connections = target(load.online)?;
    let by_connections = load.online / f64::from(target_connections);
    let gateways = count("gateways", by_connections.max(by_cores).max(2.0), MAX_GATEWAYS)?;
    let capacity = f64::from(capacity(target_connections));

    let partitions = count("partitions", messages / (partition * usable), MAX_PARTITIONS)?;
    let partitions = partitions.next_multiple_of(PARTITIONS_STEP);
    let sequencer_work = messages * message;
    let sequencers = count("sequencers", (sequencer_work / (pods.sequencer_cores * usable)).max(2.0), MAX_PODS)?;

    let redis = redis_operations(load, messages, gateways);
    let redis_one = costs.redis_shard_operations_per_second.value;
    // Of two shards neither can outvote the other.
    let redis_shards = redis_one.map(|one| count("Redis shards", (redis / (one * usable)).max(3.0), 64)).transpose()?;
    let rows = messages * ROWS_A_MESSAGE * COPIES;
    let rows_one = costs.cassandra_node_rows_per_second.value;
    let nodes =
        rows_one.map(|one| count("Cassandra nodes", (rows / (one * usable)).max(COPIES), 10_000)).transpose()?;

    let some = |part, load, unit, one, count| sized(part, load, unit, Some(one), Some(count));
    let parts = vec![
        some("gateways, by connections", load.online, "connections", capacity, gateways),
        some("gateways, by cores", gateway_work, "cores", pods.gateway_cores, gateways),
        some("partitions of the log", messages, "messages/s", partition, partitions),
        some("sequencers, by cores", sequencer_work, "cores", pods.sequencer_cores, sequencers),
        sized("Redis shards", redis, "operations/s", redis_one, redis_shards),
        sized("Cassandra nodes", rows, "rows/s", rows_one, nodes),
    ];
    let full = |part: &Sized| part.full.unwrap_or(0.0);
    let first = parts.iter().max_by(|a, b| full(a).total_cmp(&full(b)));
    let (first, grows) = first.map_or(("nothing", f64::INFINITY), |part| (part.part, 1.0 / full(part)));
    Ok(Plan {
        gateways,
        target_connections,
        gateway_cores: pods.gateway_cores,
        gateway_bytes: capacity * session_bytes,
        partitions,
        sequencers,
        sequencer_cores: pods.sequencer_cores,
        redis_shards,
        cassandra_nodes: nodes,
        first: first.to_owned(),
        grows,
        parts,
    })
}

/// Returns the cores that all gateways need: idle sessions, plus the messages they take, plus the deliveries they make.
fn gateway_cores(online: f64, messages: f64, deliveries: f64, session: f64, message: f64, delivery: f64) -> f64 {
    online * session + messages * message + deliveries * delivery
}

/// Returns the operations that Redis sees in a second: for each message one lookup of routes and one envelope to each
/// gateway that has a recipient, never more than there are gateways; and each session's mark of presence.
fn redis_operations(load: &Load, messages: f64, gateways: u32) -> f64 {
    let reached = |part: &Part| part.sessions(load.members_online).min(f64::from(gateways));
    let envelopes: f64 = load.mix.0.iter().map(|part| part.share * reached(part)).sum();
    messages * (1.0 + envelopes) + load.online / PRESENCE_S
}

/// Returns the fewest connections a gateway that keep the number of gateways within bounds.
fn target(online: f64) -> Result<u32, Unplannable> {
    let fits = |target: &u32| online / f64::from(*target) <= f64::from(MAX_GATEWAYS);
    let largest = f64::from(TARGETS[TARGETS.len() - 1]);
    let too_large = Unplannable::TooLarge { part: "gateways", needed: (online / largest).ceil(), most: MAX_GATEWAYS };
    TARGETS.into_iter().find(fits).ok_or(too_large)
}

/// Returns the connections a gateway takes at most: half as many again as it is meant to hold, for when others go.
pub(super) fn capacity(target: u32) -> u32 {
    target + target / 2
}

/// Rounds up to whole ones, at least 1.
fn count(part: &'static str, needed: f64, most: u32) -> Result<u32, Unplannable> {
    let needed = needed.ceil().max(1.0);
    if needed > f64::from(most) {
        return Err(Unplannable::TooLarge { part, needed, most });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within the range of most")]
    Ok(needed as u32)
}

fn sized(part: &'static str, load: f64, unit: &'static str, one: Option<f64>, count: Option<u32>) -> Sized {
    let full = one.zip(count).map(|(one, count)| load / (one * f64::from(count)));
    Sized { part, load, unit, one_carries: one, count, full }
}

#[cfg(test)]
mod tests;
