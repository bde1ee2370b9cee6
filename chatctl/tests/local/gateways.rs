//! `chatctl gateways` on a stack that runs.

use serde_json::Value;

use crate::process::{Place, Stack, eventually, manifest};

fn names(place: &Place) -> Vec<String> {
    let printed = place.printed(&["gateways", "list", "--json"]);
    let gateways = printed.lines().map(|line| serde_json::from_str::<Value>(line).expect("one JSON object a line"));
    gateways.map(|gateway| gateway["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn gateways_come_and_go_while_it_runs() {
    let place = Place::new(&manifest());
    let stack = Stack::start(&place, &["--json", "--gateways", "1"]);
    stack.lines_until(r#""event":"ready""#);

    let said = place.refused(&["gateways", "drain", "gateway-0"], 1);
    assert!(said.contains("only gateway") && said.contains("gateways add"), "{said}");

    let added = place.printed(&["gateways", "add"]);
    assert!(added.starts_with("NAME") && added.contains("gateway-1  ready"), "{added}");
    assert_eq!(names(&place), ["gateway-0", "gateway-1"]);

    let drained = place.printed(&["gateways", "drain", "gateway-0"]);
    assert!(drained.contains("gateway-0  draining"), "{drained}");
    eventually("the drained gateway goes", || names(&place) == ["gateway-1"]);

    let said = place.refused(&["gateways", "drain", "gateway-0"], 1);
    assert!(said.contains("there is no gateway gateway-0"), "{said}");
}
