use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn a_peer_sees_ticks_and_the_readers_other_device_too() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    let mut phone = Client::connect(&gateway, "bob").await;
    ann.say(&json!({"to": "bob"}), "one").await;
    ann.say(&json!({"to": "bob"}), "two").await;
    bob.messages(2).await;
    let chat_id = direct("ann", "bob");
    let delivered = bob.request("receipt", json!({"chat_id": chat_id, "delivered": 2})).await;
    assert_eq!((&delivered["type"], &delivered["d"]), (&json!("ack"), &json!({})));
    let expected = json!({"chat_id": chat_id, "user": "bob", "delivered": 2, "read": 0});
    assert_eq!(ann.push("receipt").await, expected);
    // A burst within one tick is one frame.
    for read in [1, 2, 1] {
        bob.request("receipt", json!({"chat_id": chat_id, "read": read})).await;
    }
    let expected = json!({"chat_id": chat_id, "user": "bob", "delivered": 2, "read": 2});
    assert_eq!(ann.push("receipt").await, expected);
    assert_eq!(phone.push("receipt").await, expected);
    let path = format!("/v1/chats/{chat_id}");
    let own = eventually(&gateway, "bob", &path, |chat| chat["read"] == 2).await;
    assert_eq!((&own["unread"], &own["delivered"]), (&json!(0), &json!(2)));
    let other = eventually(&gateway, "ann", &path, |chat| chat["peer"]["read"] == 2).await;
    assert_eq!(other["peer"], json!({"user": "bob", "delivered": 2, "read": 2}));
    assert_eq!(ann.quiet(400).await.iter().filter(|frame| frame["type"] == "receipt").count(), 0);
}

#[tokio::test]
async fn a_receipt_above_the_head_is_cut_and_wrong_ones_are_refused() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |config| config.limits.receipts_per_second = 5).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    let mut eve = Client::connect(&gateway, "eve").await;
    ann.say(&json!({"to": "bob"}), "one").await;
    bob.messages(1).await;
    let chat_id = direct("ann", "bob");
    for (d, code, field) in [
        (json!({"chat_id": chat_id}), "invalid_argument", json!("delivered")),
        (json!({"chat_id": chat_id, "read": 1_u64 << 53}), "invalid_argument", json!("read")),
    ] {
        let refused = bob.request("receipt", d).await;
        assert_eq!((&refused["d"]["code"], &refused["d"]["field"]), (&json!(code), &field));
    }
    let stranger = eve.request("receipt", json!({"chat_id": chat_id, "read": 1})).await;
    assert_eq!(stranger["d"]["code"], "chat_not_found");
    bob.request("receipt", json!({"chat_id": chat_id, "read": 99})).await;
    assert_eq!(ann.push("receipt").await["read"], 1);
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(bob.request("receipt", json!({"chat_id": chat_id, "read": 1})).await["d"]["code"].clone());
    }
    assert!(codes.contains(&json!("rate_limited")), "{codes:?}");
}

#[tokio::test]
async fn a_sender_sees_n_of_m_and_who() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob", "eve", "kim"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    let mut eve = Client::connect(&gateway, "eve").await;
    ann.say(&json!({"chat_id": chat_id}), "hello").await;
    assert_eq!(ann.messages(1).await, [(2, "hello".to_owned())]);
    bob.request("receipt", json!({"chat_id": chat_id, "read": 2})).await;
    eve.request("receipt", json!({"chat_id": chat_id, "delivered": 2})).await;
    loop {
        let summary = ann.push("receipt.summary").await;
        if (summary["read"].as_u64(), summary["delivered"].as_u64()) == (Some(1), Some(2)) {
            assert_eq!((&summary["seq"], &summary["of"]), (&json!(2), &json!(3)));
            break;
        }
    }
    let path = format!("/v1/chats/{chat_id}/messages/2/receipts");
    let all = eventually(&gateway, "ann", &path, |page| page["delivered"] == 2).await;
    let expected = json!([
        {"user": "bob", "status": "READ"},
        {"user": "eve", "status": "DELIVERED"},
        {"user": "kim", "status": "SENT"},
    ]);
    assert_eq!((&all["items"], &all["seq"], &all["read"], &all["of"]), (&expected, &json!(2), &json!(1), &json!(3)));
    let first = call(&gateway, "ann", "GET", &format!("{path}?limit=2"), None).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = call(&gateway, "ann", "GET", &format!("{path}?limit=2&cursor={cursor}"), None).await;
    assert_eq!(rest.body["items"], json!([{"user": "kim", "status": "SENT"}]));
    assert_eq!((rest.body.get("next_cursor"), &rest.body["of"]), (None, &json!(3)));
    let other = call(&gateway, "bob", "GET", &path, None).await;
    assert_eq!((other.status, &other.body["code"]), (403, &json!("forbidden")));
}

#[tokio::test]
async fn sync_tells_receipts_where_they_are_asked_for() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let group_id = group(&gateway, "ann", &["bob", "eve"]).await;
    let chat_id = direct("ann", "bob");
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    ann.say(&json!({"to": "bob"}), "direct").await;
    ann.say(&json!({"chat_id": group_id}), "group").await;
    bob.messages(2).await;
    bob.request("receipt", json!({"chat_id": chat_id, "read": 1})).await;
    bob.request("receipt", json!({"chat_id": group_id, "read": 2})).await;
    ann.push("receipt").await;
    ann.push("receipt.summary").await;
    let mut later = Client::connect(&gateway, "ann").await;
    later.request("sync", json!({"have": {&chat_id: 1, &group_id: 2}, "receipts": true})).await;
    assert_eq!(later.push("receipt").await, json!({"chat_id": chat_id, "user": "bob", "delivered": 1, "read": 1}));
    let summary = json!({"chat_id": group_id, "seq": 2, "delivered": 1, "read": 1, "of": 2});
    assert_eq!(later.push("receipt.summary").await, summary);
    later.request("sync", json!({"have": {&chat_id: 1, &group_id: 2}})).await;
    assert!(later.quiet(100).await.iter().all(|frame| !frame["type"].as_str().unwrap().starts_with("receipt")));
}
