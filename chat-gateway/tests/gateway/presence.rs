use std::time::Duration;

use chat_core::relay::lossy::Faults;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::*;

async fn close(mut client: Client) {
    let normal = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1000.into(), reason: "".into() };
    client.socket.close(Some(normal)).await.unwrap();
    client.closed().await;
}

async fn subscribe(client: &mut Client, d: Value) -> Value {
    let reply = client.request("presence.subscribe", d).await;
    assert_eq!(reply["type"], "ack", "{reply}");
    reply["d"]["presence"].clone()
}

#[tokio::test]
async fn followers_hear_who_comes_and_goes_across_gateways() {
    let stack = Stack::with_workers().await;
    let (one, two) = (stack.gateway("gw-0", |_| {}).await, stack.gateway("gw-1", |_| {}).await);
    group(&one, "ann", &["bob"]).await;
    let mut ann = Client::connect(&one, "ann").await;
    let presence = subscribe(&mut ann, json!({"users": ["bob", "eve"]})).await;
    assert_eq!(presence, json!({"bob": {"status": "offline"}, "eve": {"status": "unknown"}}));
    let bob = Client::connect(&two, "bob").await;
    assert_eq!(ann.push("presence").await, json!({"user": "bob", "status": "online"}));
    let phone = Client::connect(&one, "bob").await;
    close(bob).await;
    let asked = call(&one, "ann", "GET", "/v1/presence?users=bob,eve", None).await;
    assert_eq!(asked.body["presence"]["bob"], json!({"status": "online"}), "the phone is still there");
    assert!(ann.quiet(300).await.is_empty());
    close(phone).await;
    let gone = ann.push("presence").await;
    assert_eq!((&gone["user"], &gone["status"]), (&json!("bob"), &json!("offline")));
    assert!(gone["last_seen_at"].is_string());
    let asked = call(&two, "ann", "GET", "/v1/presence?users=bob", None).await;
    assert_eq!(asked.body["presence"]["bob"], json!({"status": "offline", "last_seen_at": gone["last_seen_at"]}));
}

#[tokio::test]
async fn a_lost_connection_is_not_a_goodbye() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let bob = Client::connect(&gateway, "bob").await;
    until_online(&gateway, "bob").await;
    assert_eq!(subscribe(&mut ann, json!({"users": ["bob"]})).await["bob"]["status"], "online");
    drop(bob);
    assert!(ann.quiet(300).await.is_empty());
    let asked = call(&gateway, "ann", "GET", "/v1/presence?users=bob", None).await;
    assert_eq!(asked.body["presence"]["bob"]["status"], "online");
}

async fn until_online(gateway: &chat_gateway::Running, user: &str) {
    let path = format!("/v1/presence?users={user}");
    eventually(gateway, "ann", &path, |body| body["presence"][user]["status"] == "online").await;
}

#[tokio::test]
async fn who_hides_their_last_seen_shows_only_that_they_are_gone() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    group(&gateway, "ann", &["bob"]).await;
    let hidden = call(&gateway, "bob", "PATCH", "/v1/me", Some(json!({"last_seen_visible": false}))).await;
    let me = json!({"user": "bob", "scope": ["read", "write"], "last_seen_visible": false});
    assert_eq!((hidden.status, &hidden.body), (200, &me));
    assert_eq!(call(&gateway, "bob", "GET", "/v1/me", None).await.body, me);
    let mut ann = Client::connect(&gateway, "ann").await;
    let bob = Client::connect(&gateway, "bob").await;
    until_online(&gateway, "bob").await;
    subscribe(&mut ann, json!({"users": ["bob"]})).await;
    close(bob).await;
    assert_eq!(ann.push("presence").await, json!({"user": "bob", "status": "offline"}));
    let asked = call(&gateway, "ann", "GET", "/v1/presence?users=bob", None).await;
    assert_eq!(asked.body["presence"]["bob"], json!({"status": "offline"}));
}

#[tokio::test]
async fn without_a_shared_chat_nothing_is_known_any_more() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    until_online(&gateway, "bob").await;
    subscribe(&mut ann, json!({"users": ["bob"]})).await;
    subscribe(&mut bob, json!({"users": ["ann"]})).await;
    let removed = call(&gateway, "ann", "DELETE", &format!("/v1/chats/{chat_id}/members/bob"), None).await;
    assert_eq!(removed.status, 204);
    assert_eq!(ann.push("presence").await, json!({"user": "bob", "status": "unknown"}));
    assert_eq!(bob.push("presence").await, json!({"user": "ann", "status": "unknown"}));
    close(bob).await;
    assert!(ann.quiet(300).await.iter().all(|frame| frame["type"] != "presence"));
}

#[tokio::test]
async fn subscriptions_end_and_are_limited() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |config| config.limits.presence_subscriptions = 2).await;
    let chat_id = group(&gateway, "ann", &["bob", "eve"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let over = ann.request("presence.subscribe", json!({"users": ["bob", "eve", "kim"]})).await;
    assert_eq!((&over["d"]["code"], &over["d"]["field"]), (&json!("limit_exceeded"), &json!("users")));
    let foreign = ann.request("presence.subscribe", json!({"chats": [direct("bob", "eve")]})).await;
    assert_eq!(foreign["d"]["code"], "chat_not_found");
    subscribe(&mut ann, json!({"users": ["bob", "eve"], "chats": [chat_id]})).await;
    ann.request("presence.unsubscribe", json!({"users": ["bob"]})).await;
    Client::connect(&gateway, "bob").await;
    Client::connect(&gateway, "eve").await;
    assert_eq!(ann.push("presence").await["user"], "eve");
    ann.request("presence.unsubscribe", json!({})).await;
    let mut bob = Client::connect(&gateway, "bob").await;
    bob.request("typing", json!({"chat_id": chat_id, "active": true})).await;
    assert!(ann.quiet(200).await.is_empty());
}

#[tokio::test]
async fn typing_is_seen_by_those_who_look_at_the_chat() {
    let stack = Stack::with_workers().await;
    let (one, two) = (stack.gateway("gw-0", |_| {}).await, stack.gateway("gw-1", |_| {}).await);
    let chat_id = group(&one, "ann", &["bob", "eve"]).await;
    let mut ann = Client::connect(&one, "ann").await;
    let mut bob = Client::connect(&two, "bob").await;
    let mut eve = Client::connect(&two, "eve").await;
    subscribe(&mut ann, json!({"chats": [chat_id]})).await;
    subscribe(&mut bob, json!({"chats": [chat_id]})).await;
    assert_eq!(bob.request("typing", json!({"chat_id": chat_id, "active": true})).await["d"], json!({}));
    assert_eq!(ann.push("typing").await, json!({"chat_id": chat_id, "user": "bob", "active": true}));
    assert!(eve.quiet(200).await.is_empty(), "the chat is not on her screen");
    assert!(bob.quiet(10).await.is_empty(), "nobody sees themselves type");
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(bob.request("typing", json!({"chat_id": chat_id, "active": true})).await["d"]["code"].clone());
    }
    assert!(codes.contains(&json!("rate_limited")), "{codes:?}");
    let stranger = eve.request("typing", json!({"chat_id": direct("ann", "bob"), "active": true})).await;
    assert_eq!(stranger["d"]["code"], "chat_not_found");
}

#[tokio::test]
async fn nobody_types_in_a_large_chat() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let members: Vec<String> = (0..32).map(|n| format!("u{n}")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let chat_id = group(&gateway, "ann", &members).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut u1 = Client::connect(&gateway, "u1").await;
    subscribe(&mut ann, json!({"chats": [chat_id]})).await;
    assert_eq!(u1.request("typing", json!({"chat_id": chat_id, "active": true})).await["type"], "ack");
    assert!(ann.quiet(200).await.is_empty());
}

#[tokio::test]
async fn a_block_whose_frame_was_lost_ends_what_both_see_with_the_next_review() {
    // A review a minute, on each gateway.
    const REVIEWED_WITHIN: Duration = Duration::from_secs(75);
    let stack = Stack::with_workers().await;
    let (one, two) = (stack.gateway("gw-0", |_| {}).await, stack.gateway("gw-1", |_| {}).await);
    group(&one, "ann", &["bob"]).await;
    let (mut ann, mut bob) = (Client::connect(&one, "ann").await, Client::connect(&two, "bob").await);
    subscribe(&mut ann, json!({"users": ["bob"]})).await;
    subscribe(&mut bob, json!({"users": ["ann"]})).await;
    stack.lossy.set_faults(Faults { drop: 1.0, ..Faults::default() });
    assert_eq!(call(&one, "ann", "PUT", "/v1/blocks/bob", None).await.status, 204);
    let end = Instant::now() + REVIEWED_WITHIN;
    let (mut to_ann, mut to_bob) = (Vec::new(), Vec::new());
    let hidden = |user: &str| json!({"user": user, "status": "unknown"});
    while !(to_ann.contains(&hidden("bob")) && to_bob.contains(&hidden("ann"))) {
        assert!(Instant::now() < end, "still to be seen: {to_ann:?}, {to_bob:?}");
        sleep(Duration::from_millis(250)).await;
        // What is answered shows that the session lives, and marks the end of what was told so far.
        to_ann.extend(ann.told("presence").await);
        to_bob.extend(bob.told("presence").await);
    }
}
