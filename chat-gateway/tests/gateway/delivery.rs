use chat_core::relay::lossy::Faults;
use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn what_the_relay_loses_comes_from_the_store_in_order() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |config| config.limits.sends_per_user.burst = 1_000).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    bob.request("sync", json!({"have": {&chat_id: 1}})).await;
    stack.lossy.set_faults(Faults::ROUGH);
    for n in 0..120 {
        assert_eq!(ann.say(&json!({"chat_id": chat_id}), &n.to_string()).await["type"], "ack");
    }
    let expected: Vec<(u64, String)> = (0..120).map(|n| (n + 2, n.to_string())).collect();
    assert_eq!(bob.messages(120).await, expected);
    stack.lossy.set_faults(Faults::default());
    ann.say(&json!({"chat_id": chat_id}), "end").await;
    let rest = bob.quiet(500).await;
    let rest: Vec<_> = rest.iter().filter(|frame| frame["type"] == "message").map(|frame| &frame["d"]["seq"]).collect();
    assert_eq!(rest, [&json!(122)]);
}

#[tokio::test]
async fn a_lost_tail_is_found_by_the_counter() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    bob.request("sync", json!({"have": {&chat_id: [1, 0]}})).await;
    stack.lossy.set_faults(Faults { drop: 1.0, ..Faults::default() });
    ann.say(&json!({"chat_id": chat_id}), "lost").await;
    assert_eq!(bob.messages(1).await, [(2, "lost".to_owned())]);
    ann.request("edit", json!({"chat_id": chat_id, "seq": 2, "content": "found"})).await;
    assert_eq!(bob.push("message.updated").await["content"], "found");
}

#[tokio::test]
async fn a_chat_begun_during_a_gap_is_found() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    bob.request("sync", json!({"have": {}})).await;
    stack.lossy.set_faults(Faults { drop: 1.0, ..Faults::default() });
    ann.say(&json!({"to": "bob"}), "you do not know me").await;
    assert_eq!(bob.messages(1).await, [(1, "you do not know me".to_owned())]);
}

#[tokio::test]
async fn a_cut_subscription_and_lost_routes_are_survived() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    bob.request("sync", json!({"have": {&chat_id: 1}})).await;
    stack.lossy.cut_subscriptions();
    ann.say(&json!({"chat_id": chat_id}), "one").await;
    assert_eq!(bob.messages(1).await, [(2, "one".to_owned())]);
    stack.lossy.lose_counters();
    ann.say(&json!({"chat_id": chat_id}), "two").await;
    assert_eq!(bob.messages(1).await, [(3, "two".to_owned())]);
    stack.lossy.lose_routes().await.unwrap();
    stack.lossy.lose_counters();
    ann.say(&json!({"chat_id": chat_id}), "three").await;
    assert_eq!(bob.messages(1).await, [(4, "three".to_owned())]);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_harms_nobody() {
    let stack = Stack::start();
    let gateway = stack
        .gateway("gw-0", |config| {
            config.limits.queue_bytes = 1024 * 1024;
            config.limits.frame_bytes = 1024 * 1024;
            config.limits.content_bytes = 1024 * 1024;
            config.limits.sends_per_user = chat_core::config::Rate::new(10_000, 10_000);
            config.limits.sends_per_chat = chat_core::config::Rate::new(10_000, 10_000);
            config.limits.frames_per_session = chat_core::config::Rate::new(10_000, 10_000);
        })
        .await;
    let chat_id = group(&gateway, "ann", &["bob", "eve"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    let _stuck = Client::connect(&gateway, "eve").await;
    let content = "x".repeat(400_000);
    // The kernel's buffers take up to 36 MiB before the queue begins to fill.
    for _ in 0..120 {
        if gateway.connections() < 3 {
            break;
        }
        ann.say(&json!({"chat_id": chat_id}), &content).await;
        bob.messages(1).await;
    }
    until("the stuck client is closed", || gateway.connections() < 3).await;
    let metrics = http(gateway.admin_addr(), "GET", "/metrics", &[], None).await;
    let text = metrics.body.as_str().unwrap();
    assert!(text.contains("closes_total{code=\"slow_consumer\"} 1"), "{text}");
    assert_eq!(ann.say(&json!({"chat_id": chat_id}), "on").await["type"], "ack");
}

#[tokio::test]
async fn a_removed_member_hears_of_it_and_no_more() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob", "eve"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut eve = Client::connect(&gateway, "eve").await;
    assert_eq!(eve.say(&json!({"chat_id": chat_id}), "hi").await["type"], "ack");
    let path = format!("/v1/chats/{chat_id}/members/eve");
    assert_eq!(call(&gateway, "ann", "DELETE", &path, None).await.status, 204);
    let change = eve.push("chat").await;
    assert_eq!(change["change"]["kind"], "member_removed");
    assert_eq!(eve.say(&json!({"chat_id": chat_id}), "still here").await["d"]["code"], "forbidden");
    ann.say(&json!({"chat_id": chat_id}), "she is gone").await;
    let after = eve.quiet(300).await;
    assert!(!after.iter().any(|frame| frame["d"]["content"] == "she is gone"), "{after:?}");
}
