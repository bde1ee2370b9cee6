use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::harness::*;

#[tokio::test]
async fn hello_comes_first_and_says_what_a_client_needs() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let bearer = format!("bearer.{}", token("ann"));
    let offer = format!("chat.v1.json, {bearer}");
    let mut client = Client::open(gateway.public_addr(), &[("sec-websocket-protocol", &offer)]).await.unwrap();
    let hello = client.next().await.unwrap();
    assert_eq!(hello["type"], "hello");
    assert_eq!(hello["d"]["user"], "ann");
    assert_eq!(hello["d"]["epoch"], "00000000-0000-0000-0000-000000000063");
    assert_eq!(hello["d"]["heartbeat_ms"], 20_000);
    assert_eq!(hello["d"]["max_frame_bytes"], 65_536);
    let pong = client.request("ping", json!({})).await;
    assert_eq!(pong["type"], "pong");
    assert!(pong["d"]["server_time"].is_string());
    assert_eq!(gateway.connections(), 1);
}

#[tokio::test]
async fn a_token_may_come_in_the_first_frame() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut client = Client::open(gateway.public_addr(), &[]).await.unwrap();
    let refused = client.request("send", json!({"to": "bob", "content": "hi"})).await;
    assert_eq!(refused["d"]["code"], "unauthenticated");
    assert_eq!(client.request("ping", json!({})).await["type"], "pong");
    let id = client.ask("auth", json!({"token": token("ann")})).await;
    assert_eq!(client.next().await.unwrap()["type"], "hello");
    let ack = client.next().await.unwrap();
    assert_eq!((&ack["id"], &ack["type"], &ack["d"]["user"]), (&json!(id), &json!("ack"), &json!("ann")));
}

#[tokio::test]
async fn refusals_are_told_by_close_code() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |config| config.limits.auth_seconds = 1).await;
    let addr = gateway.public_addr();
    let exp = 4_000_000_000_u64;
    let cases = [
        ("nonsense".to_owned(), 4500, "bad_token"),
        (token_for("ann", -60), 4006, "token_expired"),
        (token_with(&json!({"sub": "ann", "exp": exp, "scope": "write"})), 4502, "forbidden"),
    ];
    for (token, code, reason) in cases {
        let bearer = format!("Bearer {token}");
        let mut client = Client::open(addr, &[("authorization", &bearer)]).await.unwrap();
        assert_eq!(client.closed().await, Closed { code, reason: reason.to_owned() });
    }
    let mut silent = Client::open(addr, &[]).await.unwrap();
    assert_eq!(silent.closed().await.code, 4007);
    until("places are given back", || gateway.connections() == 0).await;
}

#[tokio::test]
async fn handshakes_that_cannot_be_are_refused_by_status() {
    let stack = Stack::start();
    let gateway = stack
        .gateway("gw-0", |config| {
            config.allowed_origins = vec!["https://app.example".to_owned()];
            config.max_connections = 1;
        })
        .await;
    let addr = gateway.public_addr();
    let bearer = format!("Bearer {}", token("ann"));
    let status = |refused: Result<Client, Error>| match refused {
        Err(Error::Http(response)) => response.status().as_u16(),
        _ => 0,
    };
    assert_eq!(status(Client::open(addr, &[("sec-websocket-protocol", "chat.v2.json")]).await), 400);
    assert_eq!(status(Client::open(addr, &[("origin", "https://evil.example")]).await), 403);
    let _first = Client::open(addr, &[("authorization", &bearer), ("origin", "https://app.example")]).await.unwrap();
    assert_eq!(status(Client::open(addr, &[("authorization", &bearer)]).await), 503);
    let plain = http(addr, "GET", "/v1/ws", &[], None).await;
    assert_eq!((plain.status, &plain.body["code"]), (426, &json!("invalid_argument")));
}

#[tokio::test]
async fn frames_that_are_none_end_a_session() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut client = Client::connect(&gateway, "ann").await;
    client.send_text("{").await;
    assert_eq!(client.push("error").await["code"], "invalid_json");
    client.send_text(r#"{"type":"dance"}"#).await;
    assert_eq!(client.push("error").await["code"], "unknown_type");
    for _ in 0..8 {
        client.send_text("nonsense").await;
    }
    assert_eq!(client.closed().await.code, 4501);

    let mut binary = Client::connect(&gateway, "ann").await;
    futures_util::SinkExt::send(&mut binary.socket, Message::Binary(vec![1].into())).await.unwrap();
    assert_eq!(binary.closed().await.code, 4501);

    let mut large = Client::connect(&gateway, "ann").await;
    large.send_text("x".repeat(65_537)).await;
    assert_eq!(large.closed().await, Closed { code: 4504, reason: "frame_too_large".to_owned() });
}

#[tokio::test]
async fn a_flood_is_refused_then_closed() {
    let stack = Stack::start();
    let rate = chat_core::config::Rate::new(1, 5);
    let gateway = stack.gateway("gw-0", |config| config.limits.frames_per_session = rate).await;
    let mut client = Client::connect(&gateway, "ann").await;
    for _ in 0..11 {
        client.ask("ping", json!({})).await;
    }
    let mut kinds = Vec::new();
    let closed = loop {
        match client.next().await {
            Ok(frame) => kinds.push(frame["type"].as_str().unwrap().to_owned()),
            Err(closed) => break closed,
        }
    };
    assert_eq!(closed.code, 4008);
    assert_eq!(kinds, ["pong", "pong", "pong", "pong", "pong", "error", "error", "error", "error", "error"]);
}

#[tokio::test]
async fn one_session_too_many_closes_the_least_active() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |config| config.limits.sessions_per_user = 2).await;
    let mut first = Client::connect(&gateway, "ann").await;
    let mut second = Client::connect(&gateway, "ann").await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    first.request("ping", json!({})).await;
    let _third = Client::connect(&gateway, "ann").await;
    assert_eq!(second.closed().await.code, 4503);
    assert_eq!(first.request("ping", json!({})).await["type"], "pong");
}

#[tokio::test]
async fn a_session_is_renewed_by_its_own_user_only() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let bearer = format!("Bearer {}", token_for("ann", 30));
    let mut client = Client::open(gateway.public_addr(), &[("authorization", &bearer)]).await.unwrap();
    client.push("hello").await;
    client.push("token.expiring").await;
    let ack = client.request("auth", json!({"token": token("ann")})).await;
    assert_eq!(ack["d"]["user"], "ann");
    let bad = client.request("auth", json!({"token": "nonsense"})).await;
    assert_eq!(bad["d"]["code"], "bad_token");
    client.ask("auth", json!({"token": token("bob")})).await;
    assert_eq!(client.closed().await.code, 4502);
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let bearer = format!("Bearer {}", token_for("ann", 2));
    let mut client = Client::open(gateway.public_addr(), &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(client.closed().await, Closed { code: 4006, reason: "token_expired".to_owned() });
    until("the session is gone", || gateway.connections() == 0).await;
}
