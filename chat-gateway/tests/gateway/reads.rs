//! What a reconnect costs the store.

use std::sync::Arc;

use chat_core::clock::{Clock, ManualClock, SystemClock, Time};
use chat_core::message_log::memory::MemoryLog;
use serde_json::json;
use uuid::Uuid;

use crate::broken::MoodyStore;
use crate::harness::*;

#[tokio::test]
async fn a_reconnect_reads_the_inbox_and_the_chats_that_were_active_since() {
    const HALF_A_DAY_MS: u64 = 12 * 3600 * 1000;
    let now = SystemClock.now();
    let clock = ManualClock::at(Time::from_millis(now.millis() - HALF_A_DAY_MS));
    let mut stack = Stack::without_sequencer();
    stack.ports.log = Arc::new(MemoryLog::new(Arc::new(clock.clone()), 4));
    stack.start_sequencer();
    let store = Arc::new(MoodyStore::new(Arc::clone(&stack.ports.store)));
    stack.ports.store = Arc::clone(&store) as _;
    let gateway = stack.gateway("gw-0", |_| {}).await;

    let mut chats = Vec::new();
    for _ in 0..20 {
        chats.push(group(&gateway, "ann", &["bob"]).await);
    }
    clock.set(now);
    let mut ann = Client::connect(&gateway, "ann").await;
    let active = [&chats[3], &chats[11]];
    for chat_id in active {
        ann.say(&json!({"chat_id": chat_id}), "news").await;
    }
    ann.messages(2).await;

    let mut bob = Client::connect(&gateway, "bob").await;
    let have: serde_json::Map<_, _> = chats.iter().map(|chat_id| (chat_id.clone(), json!([1, 0]))).collect();
    let since = now.to_string();
    let before = store.partitions();
    let done = bob.request("sync", json!({"have": have, "since": since})).await;
    let reads = store.partitions() - before;
    assert_eq!((&done["d"]["recovered"], &done["d"]["unlisted"]), (&json!(true), &json!([])));
    assert_eq!(bob.messages(2).await.len(), 2);
    // The inbox; and of each active chat its state cell, bob's row, and the page of what he missed.
    assert_eq!(reads, 1 + 3 * active.len() as u64, "20 chats named, {} active", active.len());

    // What was quiet is delivered all the same when it is not any longer, and is in order.
    for text in ["awake", "again"] {
        ann.say(&json!({"chat_id": chats[0]}), text).await;
    }
    assert_eq!(bob.messages(2).await, [(2, "awake".to_owned()), (3, "again".to_owned())]);
}

#[tokio::test]
async fn a_chat_that_was_left_is_gone_however_quiet_it_is() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let path = format!("/v1/chats/{chat_id}/members/bob");
    assert_eq!(call(&gateway, "bob", "DELETE", &path, None).await.status, 204);
    let stranger = Uuid::now_v7().to_string();
    let mut bob = Client::connect(&gateway, "bob").await;
    let later = SystemClock.now().plus_millis(24 * 3600 * 1000).to_string();
    let done = bob.request("sync", json!({"have": {&chat_id: 2, &stranger: 1}, "since": later})).await;
    let mut gone: Vec<_> = done["d"]["gone"].as_array().unwrap().clone();
    gone.sort_by_key(ToString::to_string);
    let mut expected = vec![json!(chat_id), json!(stranger)];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(gone, expected);
}
