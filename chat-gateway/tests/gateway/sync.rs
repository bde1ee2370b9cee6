use chat_core::clock::{Clock, SystemClock};
use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn a_reconnect_gets_what_it_missed_and_nothing_twice() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    for n in 0..10 {
        ann.say(&json!({"chat_id": chat_id}), &n.to_string()).await;
    }
    ann.messages(10).await;
    ann.request("edit", json!({"chat_id": chat_id, "seq": 3, "content": "edited"})).await;
    ann.push("message.updated").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    let id = bob.ask("sync", json!({"have": {&chat_id: [4, 0]}})).await;
    let mut frames = Vec::new();
    let done = loop {
        let frame = bob.next().await.unwrap();
        if frame["id"] == id {
            break frame;
        }
        frames.push(frame);
    };
    let seqs: Vec<u64> = frames[..7].iter().map(|frame| frame["d"]["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(frames[7]["type"], "message.updated");
    assert_eq!((&frames[7]["d"]["seq"], &frames[7]["d"]["rev"]), (&json!(3), &json!(1)));
    assert_eq!(frames.len(), 8);
    assert_eq!(done["d"]["recovered"], true);
    for list in ["more", "reload", "gone", "unlisted"] {
        assert_eq!(done["d"][list], json!([]), "{list}");
    }
    ann.say(&json!({"chat_id": chat_id}), "live").await;
    assert_eq!(bob.messages(1).await, [(12, "live".to_owned())]);
}

#[tokio::test]
async fn a_limit_leaves_more_and_a_second_sync_takes_it() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    for n in 0..12 {
        ann.say(&json!({"chat_id": chat_id}), &n.to_string()).await;
    }
    ann.messages(12).await;
    let mut bob = Client::connect(&gateway, "bob").await;
    let done = bob.request("sync", json!({"have": {&chat_id: 0}, "limit": 5})).await;
    assert_eq!(done["d"]["more"], json!([{"chat_id": chat_id, "from": 6, "to": 13}]));
    let done = bob.request("sync", json!({"have": {&chat_id: 5}, "limit": 200})).await;
    assert_eq!(done["d"]["more"], json!([]));
    let seqs: Vec<u64> = bob.messages(13).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, (1..=13).collect::<Vec<_>>());
}

#[tokio::test]
async fn chats_are_reloaded_gone_or_unlisted() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let since = SystemClock.now().to_string();
    let ahead = group(&gateway, "ann", &["bob"]).await;
    let left = group(&gateway, "ann", &["bob"]).await;
    let fresh = group(&gateway, "ann", &["bob"]).await;
    let path = format!("/v1/chats/{left}/members/bob");
    assert_eq!(call(&gateway, "bob", "DELETE", &path, None).await.status, 204);
    let unknown = uuid::Uuid::now_v7().to_string();
    let mut bob = Client::connect(&gateway, "bob").await;
    let part = json!({"have": {&ahead: 7, &unknown: 1}, "since": since, "partial": true});
    let done = bob.request("sync", part).await;
    assert_eq!((&done["d"]["recovered"], &done["d"]["reload"]), (&json!(false), &json!([ahead])));
    assert_eq!((&done["d"]["gone"], &done["d"]["unlisted"]), (&json!([unknown]), &json!([])));
    let done = bob.request("sync", json!({"have": {&left: 1}, "since": since})).await;
    assert_eq!(done["d"]["gone"], json!([left]));
    assert_eq!(done["d"]["unlisted"], json!([{"chat_id": fresh, "head_seq": 1, "head_rev": 0}]));
    // What a former member may still see is the message that tells of it.
    assert_eq!(bob.messages(1).await[0].0, 2);
    let mut ann = Client::connect(&gateway, "ann").await;
    ann.say(&json!({"chat_id": ahead}), "on").await;
    assert_eq!(bob.messages(1).await, [(2, "on".to_owned())]);
}

#[tokio::test]
async fn bad_syncs_name_their_field() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut bob = Client::connect(&gateway, "bob").await;
    let many: serde_json::Map<_, _> = (0..1_001).map(|_| (uuid::Uuid::now_v7().to_string(), json!(1))).collect();
    for (d, field) in [
        (json!({"have": many}), "have"),
        (json!({"have": {}, "limit": 0}), "limit"),
        (json!({"have": {}, "limit": 201}), "limit"),
    ] {
        let refused = bob.request("sync", d).await;
        assert_eq!((&refused["d"]["code"], &refused["d"]["field"]), (&json!("invalid_argument"), &json!(field)));
    }
}
