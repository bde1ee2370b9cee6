//! The bundled dashboard asks for metrics that there are.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;

use serde_json::Value;

use crate::http::{get, host, post};
use crate::process::{Place, Stack, eventually, manifest};

const DASHBOARD: &str = include_str!("../../../charts/chat-operator/dashboards/chatcluster.json");

/// Returns every text below a value that is the value of this key.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| texts(value, key, found)),
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| texts(value, key, found));
        }
        _ => {}
    }
}

/// Returns the names of metrics in an expression.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.split(move |c| !is_name(c)).filter(|word| word.starts_with("chat_"))
}

/// Returns the series that a text of `OpenMetrics` declares.
fn series(text: &str) -> BTreeSet<String> {
    let declared = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        Some(endings.iter().map(move |ending| format!("{name}{ending}")).collect::<Vec<_>>())
    };
    text.lines().filter_map(declared).flatten().collect()
}

/// Makes something happen of each kind that is counted by a label: until then its counter is not there.
fn bring_about(place: &Place, url: &str) -> TcpStream {
    assert_eq!(get(url, "/v1/me", &[]).status, 401, "an error");
    let load = ["load", "--url", url, "--users", "4", "--rate", "20", "--duration", "1s"];
    let ended = place.run(&load);
    // On a busy machine the generator may be late, which makes a run void and is nothing to this test.
    assert!(matches!(ended.status.code(), Some(0 | 3)), "{ended:?}");

    // A push is due to somebody who is not there.
    let token = format!("Authorization: Bearer {}", place.printed(&["token", "--user", "ann"]).trim());
    let opened = post(url, "/v1/chats", &[&token], r#"{"type":"DIRECT","members":["bob"]}"#);
    let chat: Value = serde_json::from_str(&opened.body).expect("a chat");
    let path = format!("/v1/chats/{}/messages", chat["chat_id"].as_str().expect("an id"));
    assert!(post(url, &path, &[&token], r#"{"content":"hello"}"#).status < 300);

    // A session that does not say who it is is closed.
    let mut socket = TcpStream::connect(host(url)).expect("a server");
    let head = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        host(url)
    );
    socket.write_all(head.as_bytes()).expect("a server");
    socket
}

#[test]
fn every_metric_of_the_dashboard_is_one_that_gateways_or_workers_have() {
    let rest = "  push: {fcm: {serviceAccountSecretRef: {name: fcm}}}\n  gateways: {limits: {authSeconds: 1}}\n";
    let place = Place::new(&(manifest() + rest));
    let stack = Stack::start(&place, &["--json", "--gateways", "1"]);
    let gateway = stack.event("gateway")["admin_url"].as_str().expect("an address").to_owned();
    let workers = stack.event("workers")["admin_url"].as_str().expect("an address").to_owned();
    let url = stack.event("ready")["url"].as_str().expect("an address").to_owned();
    let _socket = bring_about(&place, &url);

    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut asked = Vec::new();
    for key in ["expr", "query", "definition"] {
        texts(&dashboard, key, &mut asked);
    }
    let asked: BTreeSet<&str> = asked.into_iter().flat_map(metrics).collect();
    assert!(asked.len() > 30, "{asked:?}");
    let mut missing = BTreeSet::new();
    eventually("every metric of the dashboard is there", || {
        let mut there = series(&get(&gateway, "/metrics", &[]).body);
        there.extend(series(&get(&workers, "/metrics", &[]).body));
        let now: BTreeSet<&str> = asked.iter().filter(|name| !there.contains(**name)).copied().collect();
        if now != missing {
            eprintln!("missing: {now:?}");
            missing = now;
        }
        missing.is_empty()
    });
}

#[test]
fn every_panel_of_the_dashboard_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        for field in ["title", "description"] {
            assert!(panel[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {panel}");
        }
        assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{panel}");
    }
}
