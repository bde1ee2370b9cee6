//! A plan as a `ChatCluster`. What the plan does not know keeps the default of the resource, and says so.

use super::costs::UnitCosts;
use super::plan::{Plan, capacity};

/// Seconds of a drain in which connections are asked to move: the deadline less its last fifth and what is waited first.
const MOVING_S: u32 = 230;

/// Memory is asked for in such steps, in MiB.
const MEMORY_STEP_MIB: u32 = 256;

/// Writes the manifest; addresses of engines are placeholders.
pub(super) fn write(plan: &Plan, costs: &UnitCosts) -> String {
    let Plan { gateways, target_connections, partitions, sequencers, .. } = plan;
    let max_connections = capacity(*target_connections);
    let min = (gateways / 4).max(2);
    let max = gateways + gateways.div_ceil(2);
    let step = gateways.div_ceil(20).clamp(4, 100);
    // A gateway is empty before what is left is closed.
    let pace = max_connections.div_ceil(MOVING_S).max(200);
    let memory = mebibytes(plan.gateway_bytes);
    let (gateway_cores, sequencer_cores) = (plan.gateway_cores, plan.sequencer_cores);
    let shards = match plan.redis_shards {
        Some(shards) => format!("shards: {shards}"),
        None => "shards: 3 # the default: not measured".to_owned(),
    };
    let nodes = match plan.cassandra_nodes {
        Some(nodes) => format!("{nodes} nodes"),
        None => "number of nodes: not measured".to_owned(),
    };
    format!(
        r#"# Made by `chatctl size` from unit costs of {date} ({machine}).
# Replace the addresses of the engines; see examples/external/chatcluster.yaml for users, passwords and certificates.
apiVersion: chatcluster.dev/v1alpha1
kind: ChatCluster
metadata:
  name: sized
spec:
  version: "{version}"
  redis:
    managed:
      {shards}
  kafka:
    external:
      bootstrapServers: [kafka-bootstrap.kafka:9092]
    topics:
      partitions: {partitions} # immutable: the most sequencers there can be
      replicationFactor: 3
  cassandra: # {nodes}
    external:
      contactPoints: [cassandra-dc1.cassandra]
      localDatacenter: dc1
    keyspace:
      replication: {{ dc1: 3 }}
  search:
    disabled: {{}} # its cost is not measured
  gateways:
    autoscaling:
      min: {min}
      max: {max} # {gateways} at the peak
      targetConnections: {target_connections}
      scaleUp: {{ maxStep: {step} }}
    maxConnections: {max_connections}
    drain:
      reconnectsPerSecond: {pace}
    podTemplate:
      resources:
        requests: {{ cpu: "{gateway_cores}", memory: {memory}Mi }} # memory of sessions, measured; queues come on top
  workers: # receipts, push and analytics keep their defaults: not measured
    sequencer:
      replicas: {sequencers}
      resources:
        requests: {{ cpu: "{sequencer_cores}" }}
"#,
        date = costs.date,
        machine = costs.machine,
        version = env!("CARGO_PKG_VERSION"),
    )
}

fn mebibytes(bytes: f64) -> u32 {
    let steps = (bytes / (1024.0 * 1024.0) / f64::from(MEMORY_STEP_MIB)).ceil().clamp(1.0, 4096.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and clamped above")]
    let steps = steps as u32;
    steps * MEMORY_STEP_MIB
}

#[cfg(test)]
mod tests {
    use super::super::load::Load;
    use super::super::plan::{Pods, plan};
    use super::*;

    #[test]
    fn every_recommended_manifest_is_one_that_a_cluster_takes() {
        let costs = UnitCosts::measured().unwrap();
        let mut taken = 0;
        for users in [10.0, 1e4, 1e6, 1e8, 5e8, 2e9] {
            for messages_a_day in [0.0, 1e3, 1e6, 1e9, 1e10, 2e10] {
                for spare in [0.0, 0.3, 0.9] {
                    let load = Load {
                        users,
                        online: users / 10.0,
                        messages_a_day,
                        peak: 3.0,
                        mix: "70%x2,30%x200".parse().unwrap(),
                        members_online: 0.5,
                        message_bytes: 200.0,
                    };
                    let pods = Pods { gateway_cores: 2.0, sequencer_cores: 4.0, spare };
                    let Ok(plan) = plan(&load, &costs, &pods) else { continue };
                    let text = write(&plan, &costs);
                    let parsed = operator::manifest::parse(&text);
                    assert!(parsed.is_ok(), "{:?} of {text}", parsed.err());
                    taken += 1;
                }
            }
        }
        assert!(taken > 80, "only {taken} plans");
    }

    #[test]
    fn memory_is_asked_for_in_steps() {
        assert_eq!([0.0, 1.0, 268_435_456.0, 268_435_457.0].map(mebibytes), [256, 256, 256, 512]);
    }
}
