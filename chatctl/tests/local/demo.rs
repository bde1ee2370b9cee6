//! The demo page: what serves it, whom, and where it is not.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::Value;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::http::{get, get_as, host};
use crate::process::{Place, Stack, manifest};

const POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self' ws:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Starts a stack; returns it with the addresses of its front door and its page.
fn start(place: &Place) -> (Stack, String, String) {
    let stack = Stack::start(place, &["--json", "--gateways", "1"]);
    let ready = stack.event("ready");
    let url = |name: &str| ready[name].as_str().expect("a URL").to_owned();
    let (door, page) = (url("url"), url("demo_url"));
    (stack, door, page)
}

fn tokens(page: &str) -> Vec<(String, String)> {
    let answer: Value = serde_json::from_str(&get(page, "/demo/tokens", &[]).body).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let users = answer["users"].as_array().expect("users");
    users.iter().map(|user| (text(&user["user"]), text(&user["token"]))).collect()
}

#[test]
fn a_browser_on_this_machine_gets_the_page_and_fresh_tokens() {
    let place = Place::new(&manifest());
    let (_stack, door, page) = start(&place);
    assert!(page.starts_with("http://127.0.0.1:"), "{page}");
    for (path, content_type, content) in [
        ("/", "text/html; charset=utf-8", "<title>ChatCluster demo</title>"),
        ("/app.js", "text/javascript", "/demo/tokens"),
        ("/app.css", "text/css", ".panel"),
        ("/demo/tokens", "application/json", "\"ann\""),
    ] {
        let answer = get(&page, path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.contains(content), "{path}: {}", answer.body);
        assert!(answer.has(&format!("content-type: {content_type}")), "{path}: {}", answer.head);
        for header in [POLICY, "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer"] {
            assert!(answer.has(header), "{path} is without {header}: {}", answer.head);
        }
        let kept = if path == "/demo/tokens" { "no-store" } else { "no-cache" };
        assert!(answer.has(&format!("cache-control: {kept}")), "{path}: {}", answer.head);
        assert!(!answer.head.contains("access-control"), "{path}: {}", answer.head);
    }

    let users = tokens(&page);
    assert_eq!(users.iter().map(|(user, _)| user.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    for (user, token) in users {
        for origin in [&door, &page] {
            let me = get(origin, "/v1/me", &[&format!("Authorization: Bearer {token}")]);
            assert_eq!(me.status, 200, "{me:?}");
            assert!(me.body.contains(&user), "{me:?}");
        }
    }
}

#[test]
fn another_name_for_this_machine_is_refused() {
    let place = Place::new(&manifest());
    let (_stack, _, page) = start(&place);
    for name in ["evil.example", "evil.example:80", "0.0.0.0", "127.0.0.1.evil.example", ""] {
        for path in ["/", "/app.js", "/demo/tokens", "/v1/me"] {
            let answer = get_as(name, &page, path, &[]);
            assert_eq!(answer.status, 421, "{name} {path}");
            assert!(answer.has(POLICY) && !answer.body.contains("token"), "{answer:?}");
        }
    }
    assert_eq!(get_as("localhost", &page, "/", &[]).status, 200);
}

#[test]
fn neither_the_front_door_nor_a_gateway_knows_the_page() {
    let place = Place::new(&manifest());
    let stack = Stack::start(&place, &["--json", "--gateways", "1"]);
    let gateway = stack.event("gateway")["url"].as_str().expect("a URL").to_owned();
    let door = stack.event("ready")["url"].as_str().expect("a URL").to_owned();
    for url in [door, gateway] {
        for path in ["/", "/app.js", "/app.css", "/demo/tokens"] {
            assert_eq!(get(&url, path, &[]).status, 404, "{url}{path}");
        }
    }
}

#[test]
fn where_other_machines_come_in_there_is_no_page() {
    let place = Place::new(&manifest());
    let stack = Stack::start(&place, &["--json", "--gateways", "1", "--listen", "0.0.0.0"]);
    assert_eq!(stack.event("ready")["demo_url"], Value::Null);
    let arguments = ["local", "-f", "chatcluster.yaml", "--port", "0", "--listen", "0.0.0.0", "--demo-port", "0"];
    let said = place.refused(&arguments, 2);
    assert!(said.contains("--demo-port"), "{said}");
}

#[test]
fn a_client_that_says_nothing_keeps_nobody_from_the_page() {
    let place = Place::new(&manifest());
    let (_stack, _, page) = start(&place);
    let silent = || {
        let mut stream = TcpStream::connect(host(&page)).expect("a server");
        stream.write_all(b"GET / HT").expect("a server");
        stream
    };
    let _silent: Vec<TcpStream> = (0..100).map(|_| silent()).collect();
    assert_eq!(get(&page, "/", &[]).status, 200);
}

#[test]
fn the_page_is_no_other_origin_whatever_the_manifest_allows() {
    let place = Place::new(&(manifest() + "  gateways: {allowedOrigins: ['https://app.example.com']}\n"));
    let (_stack, door, page) = start(&place);
    let (_, token) = tokens(&page).remove(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connects = |origin: &str| {
        let url = format!("ws://{}/v1/ws", host(&page));
        let mut request = url.into_client_request().unwrap();
        let header = |text: &str| HeaderValue::from_str(text).unwrap();
        request.headers_mut().insert("origin", header(origin));
        request.headers_mut().insert("sec-websocket-protocol", header(&format!("chat.v1.json, bearer.{token}")));
        runtime.block_on(connect_async(request)).is_ok()
    };
    assert!(connects(page.trim_end_matches('/')));
    assert!(!connects(&door), "the front door is of another origin");
    assert!(!connects("https://evil.example"));
}
