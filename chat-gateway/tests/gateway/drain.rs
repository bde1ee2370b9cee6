use std::time::Duration;

use chat_core::clock::{Clock, SystemClock};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Error;

use crate::harness::*;

fn deadline(seconds: u64) -> String {
    SystemClock.now().plus_millis(seconds * 1000).to_string()
}

async fn admin(gateway: &chat_gateway::Running, method: &str, path: &str, body: Option<&str>) -> Answer {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    http(gateway.admin_addr(), method, path, &headers, body).await
}

#[tokio::test]
async fn a_drain_tells_then_closes_and_can_be_withdrawn() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut obeys = Client::connect(&gateway, "ann").await;
    let mut stays = Client::connect(&gateway, "bob").await;
    let body = json!({"deadline_at": deadline(3), "rate": 100}).to_string();
    let status = admin(&gateway, "POST", "/drain", Some(&body)).await;
    assert_eq!(status.status, 202, "{status:?}");
    assert_eq!((&status.body["draining"], &status.body["drain"]["initial"]), (&json!(true), &json!(2)));
    assert_eq!(http(gateway.admin_addr(), "GET", "/readyz", &[], None).await.status, 503);
    let bearer = format!("Bearer {}", token("eve"));
    match Client::open(gateway.public_addr(), &[("authorization", &bearer)]).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        _ => panic!("a draining gateway took a session"),
    }
    let told = obeys.push("reconnect").await;
    assert_eq!(told["reason"], "drain");
    assert!(told["after_ms"].as_u64().unwrap() <= 1_000);
    drop(obeys);
    stays.push("reconnect").await;
    assert_eq!(stays.closed().await.code, 4001);
    until("all are gone", || gateway.connections() == 0).await;
    let status = admin(&gateway, "DELETE", "/drain", None).await;
    assert_eq!((&status.body["ready"], &status.body["drain"]), (&json!(true), &json!(null)));
    Client::connect(&gateway, "eve").await;
}

#[tokio::test]
async fn a_drain_that_is_not_renewed_ends() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let body = json!({"deadline_at": deadline(300), "rate": 1, "lease_s": 1}).to_string();
    admin(&gateway, "POST", "/drain", Some(&body)).await;
    assert!(!gateway.is_ready());
    until("the lease runs out", || gateway.is_ready()).await;
}

#[tokio::test]
async fn the_admin_port_guards_what_is_not_for_everyone() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let addr = gateway.admin_addr();
    assert_eq!(http(addr, "GET", "/healthz", &[], None).await.status, 200);
    assert_eq!(http(addr, "GET", "/readyz", &[], None).await.status, 200);
    let metrics = http(addr, "GET", "/metrics", &[], None).await;
    assert!(metrics.body.as_str().unwrap().contains("chat_gateway_connections"), "{metrics:?}");
    for (method, path) in [("GET", "/status"), ("POST", "/drain"), ("DELETE", "/drain")] {
        assert_eq!(http(addr, method, path, &[], None).await.status, 401, "{path}");
        let wrong = [("authorization", "Bearer admin-tokem")];
        assert_eq!(http(addr, method, path, &wrong, None).await.status, 401, "{path}");
    }
    let status = admin(&gateway, "GET", "/status", None).await;
    assert_eq!((&status.body["gateway"], &status.body["ready"]), (&json!("gw-0"), &json!(true)));
    assert_eq!(format!("gw-0#{}", status.body["boot"].as_str().unwrap()), gateway.id().as_str());
    assert_eq!((&status.body["capacity"], &status.body["connections"]), (&json!(1_000), &json!(0)));
    assert_eq!(http(gateway.public_addr(), "GET", "/status", &[], None).await.status, 404);
}

#[tokio::test]
async fn a_connection_may_be_handed_over() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = door.local_addr().unwrap();
    let handle = gateway.handle();
    tokio::spawn(async move {
        let (stream, _): (TcpStream, _) = door.accept().await.unwrap();
        handle.hand_over(stream);
    });
    let bearer = format!("Bearer {}", token("ann"));
    let mut client = Client::open(addr, &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(client.push("hello").await["user"], "ann");
}

#[tokio::test]
async fn a_shutdown_moves_clients_off_and_closes_the_ports() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let addr = gateway.public_addr();
    let mut client = Client::connect(&gateway, "ann").await;
    let ended = tokio::spawn(gateway.shutdown(Duration::from_secs(2)));
    client.push("reconnect").await;
    assert_eq!(client.closed().await.code, 4001);
    ended.await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());

    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut client = Client::connect(&gateway, "ann").await;
    let ended = tokio::spawn(gateway.shutdown(Duration::ZERO));
    assert_eq!(client.closed().await, Closed { code: 4000, reason: "restart".to_owned() });
    ended.await.unwrap();
}
