use chat_core::id::{ChatId, UserId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::*;

#[tokio::test]
async fn a_direct_message_reaches_both_on_any_gateway() {
    let stack = Stack::start();
    let (one, two) = (stack.gateway("gw-0", |_| {}).await, stack.gateway("gw-1", |_| {}).await);
    let mut ann = Client::connect(&one, "ann").await;
    let mut other = Client::connect(&two, "ann").await;
    let mut bob = Client::connect(&two, "bob").await;
    let message_id = Uuid::now_v7().to_string();
    let ack =
        ann.request("send", json!({"to": "bob", "message_id": message_id, "content": "hi", "meta": {"k": 1}})).await;
    let chat_id = ChatId::direct(&UserId::new("ann").unwrap(), &UserId::new("bob").unwrap()).to_string();
    assert_eq!(ack["d"], json!({"chat_id": chat_id, "message_id": message_id}));
    for client in [&mut ann, &mut other, &mut bob] {
        let chat = client.push("chat").await;
        assert_eq!(chat["change"]["kind"], "created");
        let message = client.push("message").await;
        assert_eq!(message["message_id"], message_id.as_str());
        assert_eq!((&message["seq"], &message["content"]), (&json!(1), &json!("hi")));
        assert_eq!(message["meta"], json!({"k": 1}));
    }
    let ack = bob.say(&json!({"chat_id": chat_id}), "ho").await;
    assert_eq!(ack["type"], "ack");
    assert_eq!(ann.messages(1).await, [(2, "ho".to_owned())]);
}

#[tokio::test]
async fn a_retry_is_acknowledged_and_comes_once() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let message_id = Uuid::now_v7().to_string();
    for content in ["first", "second"] {
        let ack = ann.request("send", json!({"to": "bob", "message_id": message_id, "content": content})).await;
        assert_eq!(ack["d"]["message_id"], message_id.as_str());
    }
    ann.say(&json!({"to": "bob"}), "third").await;
    assert_eq!(ann.messages(2).await, [(1, "first".to_owned()), (2, "third".to_owned())]);
}

#[tokio::test]
async fn sends_of_a_session_keep_their_order() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |config| config.limits.sends_per_user.burst = 1_000).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    for n in 0..150 {
        ann.ask("send", json!({"chat_id": chat_id, "content": n.to_string()})).await;
    }
    let expected: Vec<(u64, String)> = (0..150).map(|n| (n + 2, n.to_string())).collect();
    assert_eq!(bob.messages(150).await, expected);
    assert_eq!(ann.messages(150).await, expected);
}

#[tokio::test]
async fn what_a_send_may_not_be_is_named() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut eve = Client::connect(&gateway, "eve").await;
    let old = "01900000-0000-7000-8000-000000000000";
    let cases: Vec<(Value, &str, Value)> = vec![
        (json!({"content": "x"}), "invalid_argument", json!("chat_id")),
        (json!({"content": "x", "to": "bob", "chat_id": chat_id}), "invalid_argument", json!("to")),
        (json!({"content": "x", "to": "ann"}), "invalid_argument", json!("to")),
        (json!({"content": "x", "to": "bob", "message_id": old}), "invalid_argument", json!("message_id")),
        (json!({"content": "x", "to": "bob", "message_id": Uuid::nil()}), "invalid_argument", json!("message_id")),
        (json!({"content": "x", "to": "bob", "content_type": "SYSTEM"}), "invalid_argument", json!("content_type")),
        (json!({"content": "x".repeat(16 * 1024 + 1), "to": "bob"}), "content_too_large", json!("content")),
        (json!({"content": "x", "chat_id": Uuid::now_v7()}), "chat_not_found", Value::Null),
    ];
    for (d, code, field) in cases {
        let refused = ann.request("send", d.clone()).await;
        assert_eq!((&refused["d"]["code"], &refused["d"]["field"]), (&json!(code), &field), "{d}");
    }
    assert_eq!(eve.say(&json!({"chat_id": chat_id}), "x").await["d"]["code"], "chat_not_found");
    ann.send_text(r#"{"type":"send","d":{"content":"x"}}"#).await;
    let push = ann.push("error").await;
    assert_eq!((&push["code"], &push["request"]), (&json!("invalid_argument"), &json!("send")));
}

#[tokio::test]
async fn edits_and_deletes_reach_everyone() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    bob.say(&json!({"chat_id": chat_id}), "frist").await;
    assert_eq!(ann.messages(1).await, [(2, "frist".to_owned())]);
    let edit = json!({"chat_id": chat_id, "seq": 2, "content": "first"});
    assert_eq!(ann.request("edit", edit.clone()).await["d"]["code"], "forbidden");
    assert_eq!(bob.request("edit", edit.clone()).await["d"], json!({"chat_id": chat_id, "seq": 2}));
    let updated = ann.push("message.updated").await;
    assert_eq!((&updated["rev"], &updated["content"]), (&json!(1), &json!("first")));
    // No change: acknowledged, and nothing happens.
    assert_eq!(bob.request("edit", edit).await["type"], "ack");
    let delete = json!({"chat_id": chat_id, "seq": 2});
    assert_eq!(ann.request("delete", delete.clone()).await["type"], "ack");
    let deleted = bob.push("message.deleted").await;
    assert_eq!((&deleted["seq"], &deleted["rev"]), (&json!(2), &json!(2)));
    assert_eq!(ann.request("delete", delete).await["type"], "ack");
    let gone = bob.request("edit", json!({"chat_id": chat_id, "seq": 2, "content": "again"})).await;
    assert_eq!(gone["d"]["code"], "message_not_found");
    let unknown = bob.request("delete", json!({"chat_id": chat_id, "seq": 9})).await;
    assert_eq!(unknown["d"]["code"], "message_not_found");
}

#[tokio::test]
async fn a_send_refused_in_log_order_is_told() {
    let stack = Stack::without_sequencer();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    // Nothing is sequenced yet, so nobody can know that the second record will find no chat.
    let chat_id = Uuid::now_v7().to_string();
    let record = chat_core::record::Record::new(
        chat_id.parse().unwrap(),
        UserId::new("ann").unwrap(),
        Uuid::now_v7(),
        chat_core::record::Op::Send {
            direct: None,
            content_type: chat_core::frame::ContentType::Text,
            content: "x".to_owned(),
            attachment: None,
            meta: None,
        },
    )
    .reply_to(gateway.id().clone());
    let partitions = stack.ports.log.partitions(chat_core::message_log::Topic::Messages);
    let append = chat_core::message_log::Append {
        topic: chat_core::message_log::Topic::Messages,
        partition: chat_core::message_log::partition_of(record.chat_id, partitions),
        key: chat_id.clone().into_bytes().into(),
        payload: record.encode(),
        headers: Vec::new(),
    };
    stack.ports.log.append(append).await.unwrap();
    stack.start_sequencer();
    let rejected = ann.push("message.rejected").await;
    assert_eq!(rejected["message_id"], record.id.to_string());
    assert_eq!((&rejected["chat_id"], &rejected["code"]), (&json!(chat_id), &json!("chat_not_found")));
}

#[tokio::test]
async fn rates_are_per_user() {
    let stack = Stack::start();
    let rate = chat_core::config::Rate::new(1, 3);
    let gateway = stack.gateway("gw-0", |config| config.limits.sends_per_user = rate).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    for _ in 0..3 {
        assert_eq!(ann.say(&json!({"to": "bob"}), "x").await["type"], "ack");
    }
    let refused = ann.say(&json!({"to": "bob"}), "x").await;
    assert_eq!((&refused["d"]["code"], &refused["d"]["temporary"]), (&json!("rate_limited"), &json!(true)));
    assert!(refused["d"]["retry_after_ms"].as_u64().unwrap() > 0);
}
