//! What `status` says of a pass.

use super::*;

fn at(seconds: i64) -> Time {
    serde_json::from_value(Value::String(format!("2026-11-24T00:{seconds:02}:00Z"))).unwrap()
}

fn workload(ready: u64) -> Workload {
    Workload {
        kind: "StatefulSet".to_owned(),
        name: "demo-local".to_owned(),
        component: "local".to_owned(),
        wanted: 1,
        ready,
        updated: 1,
        observed: true,
    }
}

fn observed(ready: u64) -> Observed {
    Observed { generation: Some(1), workloads: vec![workload(ready)], front: "local", ..Observed::default() }
}

fn condition<'a>(status: &'a ChatClusterStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == kind).unwrap()
}

/// Condition, status and reason, for those that are true.
fn said(status: &ChatClusterStatus) -> Vec<String> {
    let is = status.conditions.iter().filter(|condition| condition.status == "True");
    is.map(|condition| format!("{} {}", condition.type_, condition.reason)).collect()
}

#[test]
fn a_cluster_goes_from_starting_to_ready() {
    let first = status(&ChatClusterStatus::default(), &observed(0), &at(0));
    assert_eq!(said(&first), ["Reconciling Starting"]);
    assert_eq!(condition(&first, "Ready").message, "StatefulSet demo-local: 0 of 1 pods are ready");
    let then = status(&first, &observed(1), &at(1));
    assert_eq!(said(&then), ["Ready Serving", "GatewaysReady Serving"]);
    assert_eq!(then.gateways.as_ref().unwrap().ready, 1);
}

#[test]
fn a_time_tells_of_the_last_transition_and_an_equal_pass_changes_nothing() {
    let first = status(&ChatClusterStatus::default(), &observed(0), &at(0));
    let again = status(&first, &observed(0), &at(5));
    assert_eq!(again, first);
    let then = status(&again, &observed(1), &at(9));
    assert_eq!(condition(&then, "Ready").last_transition_time, at(9));
    assert_eq!(condition(&then, "Paused").last_transition_time, at(0));
}

#[test]
fn a_refused_manifest_stalls_and_what_runs_is_still_told_of() {
    let obstacle = Obstacle { reason: "SecretNotFound".to_owned(), message: "no".to_owned(), passes: false };
    let refused = Observed { obstacle: Some(obstacle), ..observed(1) };
    let found = status(&ChatClusterStatus::default(), &refused, &at(0));
    assert_eq!(said(&found), ["Stalled SecretNotFound", "GatewaysReady Serving"]);
}

#[test]
fn an_api_server_that_is_away_stalls_nothing() {
    let obstacle = Obstacle { reason: "Unreachable".to_owned(), message: "no".to_owned(), passes: true };
    let found = status(&ChatClusterStatus::default(), &Observed { obstacle: Some(obstacle), ..observed(1) }, &at(0));
    assert_eq!(said(&found), ["Ready Serving", "Reconciling Unreachable", "GatewaysReady Serving"]);
}

#[test]
fn a_pod_s_trouble_is_the_cluster_s_reason() {
    let trouble = Trouble { reason: "ImagePullBackOff".to_owned(), message: "pod demo-local-0: no".to_owned() };
    let found = status(&ChatClusterStatus::default(), &Observed { trouble: Some(trouble), ..observed(0) }, &at(0));
    assert_eq!(condition(&found, "Ready").reason, "ImagePullBackOff");
}

#[test]
fn what_waits_is_listed_and_no_more_than_the_status_holds() {
    let pending = (0..100).map(|change| format!("change {change}")).collect();
    let found = status(&ChatClusterStatus::default(), &Observed { paused: true, pending, ..observed(1) }, &at(0));
    assert_eq!(found.pending.len(), 64);
    assert_eq!(condition(&found, "Paused").message, "100 changes wait; see `pending`");
    assert_eq!(said(&found), ["Ready Serving", "GatewaysReady Serving", "Paused Frozen"]);
}
