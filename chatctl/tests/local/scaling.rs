//! The number of gateways follows the connections, and nobody who is connected loses a message by it.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::process::{Place, Stack, eventually, manifest};

/// Ten connections a gateway, up to three gateways, quick to shrink.
fn scaled() -> String {
    manifest()
        + "  gateways:
    autoscaling:
      min: 1
      max: 3
      targetConnections: 10
      scaleDown: {stabilizationSeconds: 2}
    maxConnections: 200
    drain: {deadlineSeconds: 10, reconnectsPerSecond: 50, settleSeconds: 1}
"
}

fn load(place: &Place, url: &str, arguments: &[&str]) -> Child {
    let mut command = place.chatctl(&["load", "--json", "--url", url]);
    command.args(arguments).stdout(Stdio::piped()).spawn().expect("the binary runs")
}

#[test]
fn gateways_follow_the_connections_and_no_message_is_lost() {
    let place = Place::new(&scaled());
    let stack = Stack::start(&place, &["--json", "--status-every", "1s"]);
    let url = stack.event("ready")["url"].as_str().expect("an address").to_owned();

    // The guests fill the first gateway, so the talkers come to the second. The guests leave, the talkers stay.
    let guests = load(&place, &url, &["--users", "16", "--idle", "--duration", "10s"]);
    let rise = stack.event("scaling");
    assert_eq!((&rise["gateways"], &rise["desired"]), (&Value::from(1), &Value::from(2)), "{rise}");
    assert!(rise["reason"].as_str().expect("a reason").contains("more connections"), "{rise}");
    stack.lines_until("gateway-1");
    let talk = ["--users", "10", "--groups", "2x5", "--rate", "40", "--duration", "25s"];
    let talkers = load(&place, &url, &talk);
    stack.lines_until("gateway-2");
    assert!(guests.wait_with_output().expect("guests that end").status.success());

    for gateway in ["gateway-2", "gateway-1"] {
        let draining = stack.event("draining");
        assert_eq!(draining["gateway"], gateway, "one after the other, the last first: {draining}");
        let drained = stack.event("drained");
        assert_eq!((&drained["gateway"], &drained["left"]), (&Value::from(gateway), &Value::from(0)), "{drained}");
        if gateway == "gateway-1" {
            assert_eq!(draining["connections"], 10, "the talkers move: {draining}");
        }
    }
    let status = stack.event("status");
    assert_eq!(status["gateways"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!(status["scaling"]["desired"], 1, "{status}");

    let told = talkers.wait_with_output().expect("talkers that end");
    let ledger = String::from_utf8(told.stdout).expect("text");
    let ledger: Value = serde_json::from_str(ledger.lines().last().expect("a report")).expect("one JSON object");
    for count in ["lost", "duplicated", "misordered", "contradicted"] {
        assert_eq!(ledger[count], 0, "{count} in {ledger}");
    }
    assert_eq!(ledger["acked"], 1000, "{ledger}");
}

#[test]
fn a_number_that_was_asked_for_is_kept() {
    let place = Place::new(&scaled());
    let stack = Stack::start(&place, &["--json", "--gateways", "2", "--status-every", "1s"]);
    stack.event("ready");
    let listed = || place.printed(&["gateways", "list", "--json"]).lines().count();
    // Longer than the stabilization of the manifest, by the stack's own clock.
    for _ in 0..5 {
        let status = stack.event("status");
        assert_eq!(status["scaling"], Value::Null, "nobody decides: {status}");
    }
    assert_eq!(listed(), 2);
}

#[test]
fn a_gateway_that_was_drained_by_hand_is_replaced() {
    let place = Place::new(&scaled().replace("min: 1", "min: 2"));
    let stack = Stack::start(&place, &["--json"]);
    stack.event("ready");
    place.printed(&["gateways", "drain", "gateway-1"]);
    eventually("another takes its place", || {
        let listed = place.printed(&["gateways", "list"]);
        listed.contains("gateway-2  ready") && !listed.contains("gateway-1")
    });
}

#[test]
fn without_a_terminal_a_line_tells_how_it_is() {
    let place = Place::new(&scaled());
    let stack = Stack::start(&place, &["--status-every", "1s"]);
    let lines = stack.lines_until("gateways ready");
    let last = &lines[lines.len() - 1];
    assert_eq!(last, "1/1 gateways ready · 0 connections · 0 sends/s · 0 deliveries/s · no lag");
}
