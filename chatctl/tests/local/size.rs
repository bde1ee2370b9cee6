//! `chatctl size` as its user sees it.

use serde_json::Value;

use crate::process::{Place, Stack};

const LARGE: [&str; 5] = ["size", "--users", "500M", "--messages-a-day", "10B"];

#[test]
fn a_large_load_is_sized_and_what_was_not_measured_says_so() {
    let place = Place::new("");
    let printed = place.printed(&LARGE);
    for text in ["full first: ", "unit costs of 20", "gateways, by connections"] {
        assert!(printed.contains(text), "{text:?} is not in {printed}");
    }
    for part in ["Redis shards", "Cassandra nodes"] {
        let line = printed.lines().find(|line| line.starts_with(part)).expect("a line of the part");
        assert!(line.contains("not measured"), "{line}");
    }
    let json: Value = serde_json::from_str(&place.printed(&[&LARGE[..], &["--json"]].concat())).expect("one object");
    assert_eq!(json["plan"]["redis_shards"], Value::Null, "{json}");
    assert!(json["plan"]["gateways"].as_u64().is_some_and(|gateways| gateways > 100), "{json}");
}

#[test]
fn the_recommended_manifest_runs() {
    let small = ["size", "--users", "1k", "--messages-a-day", "1k", "--manifest"];
    let recommended = Place::new("").printed(&small);
    let place = Place::new(&recommended);
    let stack = Stack::start(&place, &["--json"]);
    assert!(stack.event("ready")["url"].is_string());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new("");
    for (arguments, code) in [
        (&["--mix", "50%x2"][..], 2),
        (&["--peak", "0.5"], 2),
        (&["--online", "9999B"], 2),
        (&["--costs", "absent.json"], 1),
        (&["--costs", "chatcluster.yaml"], 1),
    ] {
        place.refused(&[&LARGE[..], arguments].concat(), code);
    }
}
