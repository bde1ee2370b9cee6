use super::*;

fn measured(value: f64) -> Measured {
    Measured { value: Some(value), how: String::new() }
}

/// Round costs, so that each formula can be followed by hand.
fn costs() -> UnitCosts {
    UnitCosts {
        date: "2026-01-01".to_owned(),
        machine: "one core".to_owned(),
        source: "a test".to_owned(),
        session_bytes: measured(5_000.0),
        session_cores: measured(1e-5),
        message_core_seconds: measured(1e-4),
        delivery_core_seconds: measured(1e-6),
        partition_messages_per_second: measured(1_000.0),
        redis_shard_operations_per_second: measured(50_000.0),
        cassandra_node_rows_per_second: measured(10_000.0),
    }
}

fn load() -> Load {
    Load {
        users: 10e6,
        online: 1e6,
        messages_a_day: 864e6,
        peak: 2.0,
        mix: "100%x11".parse().unwrap(),
        members_online: 0.5,
        message_bytes: 100.0,
    }
}

const PODS: Pods = Pods { gateway_cores: 2.0, sequencer_cores: 2.0, spare: 0.5 };

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{a} is not {b}");
}

#[test]
fn each_formula_is_followed_by_hand() {
    let plan = plan(&load(), &costs(), &PODS).unwrap();
    // 20 000 messages/s, 6 deliveries each; 1 M sessions.
    let [connections, cores, partitions, sequencers, redis, cassandra] = &plan.parts[..] else { panic!("{plan:?}") };
    close(connections.load, 1e6);
    assert_eq!((plan.target_connections, plan.gateways), (10_000, 100), "1 M connections, 10 000 each");
    close(connections.full.unwrap(), 1e6 / (100.0 * 15_000.0));
    close(cores.load, 10.0 + 2.0 + 0.12);
    close(partitions.load, 20_000.0);
    assert_eq!(plan.partitions, 48, "40 at half their load, in sixteens");
    close(sequencers.load, 2.0);
    assert_eq!(plan.sequencers, 2, "two cores at half their load");
    close(redis.load, 20_000.0 * (1.0 + 6.0) + 50_000.0);
    assert_eq!(plan.redis_shards, Some(8), "190 000 over 25 000");
    close(cassandra.load, 20_000.0 * 3.0 * 3.0);
    assert_eq!(plan.cassandra_nodes, Some(36), "180 000 over 5 000");
    close(plan.gateway_bytes, 15_000.0 * 5_000.0);
}

#[test]
fn what_is_full_first_is_the_fullest() {
    let plan = plan(&load(), &costs(), &PODS).unwrap();
    assert_eq!(plan.first, "gateways, by connections");
    close(plan.grows, 1.5);
}

#[test]
fn many_deliveries_ask_for_gateways_that_connections_do_not() {
    let busy = UnitCosts { delivery_core_seconds: measured(1e-2), ..costs() };
    let plan = plan(&load(), &busy, &PODS).unwrap_err();
    assert_eq!(plan, Unplannable::TooLarge { part: "gateways", needed: 1_212.0, most: 660 });
    let busy = UnitCosts { delivery_core_seconds: measured(1e-3), ..costs() };
    let planned = super::plan(&load(), &busy, &PODS).unwrap();
    assert_eq!(planned.gateways, 132, "12 cores of sessions and messages, 120 of deliveries, one usable core each");
}

#[test]
fn what_was_not_measured_is_not_guessed() {
    let nothing = Measured { value: None, how: "not measured".to_owned() };
    let engines = UnitCosts {
        redis_shard_operations_per_second: nothing.clone(),
        cassandra_node_rows_per_second: nothing.clone(),
        ..costs()
    };
    let plan = plan(&load(), &engines, &PODS).unwrap();
    assert_eq!((plan.redis_shards, plan.cassandra_nodes), (None, None));
    let redis = &plan.parts[4];
    assert_eq!((redis.one_carries, redis.count, redis.full), (None, None, None));
    close(redis.load, 190_000.0);
    let own = UnitCosts { session_bytes: nothing, ..costs() };
    assert_eq!(super::plan(&load(), &own, &PODS), Err(Unplannable::NotMeasured("session_bytes")));
}

#[test]
fn connections_a_gateway_rise_before_gateways_pass_their_bound() {
    assert_eq!(target(0.0), Ok(10_000));
    assert_eq!(target(6.6e6), Ok(10_000));
    assert_eq!(target(6.6e6 + 1.0), Ok(20_000));
    assert_eq!(target(50e6), Ok(100_000));
    assert!(target(1e9).is_err());
}

#[test]
fn a_handful_of_users_still_gets_two_of_each() {
    let few = Load { users: 10.0, online: 5.0, messages_a_day: 100.0, ..load() };
    let plan = plan(&few, &costs(), &PODS).unwrap();
    assert_eq!((plan.gateways, plan.sequencers, plan.partitions), (2, 2, 16));
    assert_eq!((plan.redis_shards, plan.cassandra_nodes), (Some(3), Some(3)));
}

#[test]
fn an_envelope_goes_to_each_gateway_once() {
    let wide = Load { mix: "100%x500".parse().unwrap(), members_online: 1.0, online: 0.0, ..load() };
    close(redis_operations(&wide, 10.0, 4), 10.0 * (1.0 + 4.0));
    close(redis_operations(&wide, 10.0, 1_000), 10.0 * (1.0 + 500.0));
}
