//! The admin port of the workers.

use std::fs;

use serde_json::Value;

use crate::http::get;
use crate::process::{Place, Stack, manifest};

#[test]
fn the_workers_show_themselves() {
    let place = Place::new(&manifest());
    let stack = Stack::start(&place, &["--json", "--gateways", "1"]);
    let admin = stack.event("workers")["admin_url"].as_str().expect("an address").to_owned();
    assert!(admin.starts_with("http://127.0.0.1:"), "{admin}");
    stack.event("ready");

    assert_eq!(get(&admin, "/healthz", &[]).body, "ok\n");
    assert_eq!(get(&admin, "/readyz", &[]).body, "ready\n");
    let metrics = get(&admin, "/metrics", &[]);
    for name in ["chat_sequencer_rewinds", "chat_receipts_lag", "chat_indexer_take_seconds"] {
        assert!(metrics.body.contains(name), "{name} is not in {}", metrics.body);
    }

    let token = fs::read_to_string(place.data_dir().join("admin.token")).unwrap();
    let status = get(&admin, "/status", &[&format!("Authorization: Bearer {token}")]);
    assert_eq!(status.status, 200, "{status:?}");
    let status: Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(status["ready"], true, "{status}");
    assert_eq!(status["roles"][0]["role"], "sequencer", "{status}");
    assert_eq!(status["roles"][0]["partitions"].as_array().map(Vec::len), Some(8), "{status}");
}

#[test]
fn the_status_of_the_workers_is_for_who_has_the_token() {
    let place = Place::new(&manifest());
    let stack = Stack::start(&place, &["--json", "--gateways", "1"]);
    let admin = stack.event("workers")["admin_url"].as_str().expect("an address").to_owned();
    for (headers, code) in [
        (&[][..], "unauthenticated"),
        (&["Authorization: Bearer "], "unauthenticated"),
        (&["Authorization: Bearer abc"], "bad_token"),
        (&["Authorization: Basic YTpi"], "unauthenticated"),
    ] {
        let answer = get(&admin, "/status", headers);
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.has("content-type: application/problem+json"), "{answer:?}");
        assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["code"], code, "{headers:?}");
    }
    assert_eq!(get(&admin, "/elsewhere", &[]).status, 404);
}
