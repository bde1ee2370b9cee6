use std::sync::Arc;
use std::time::Duration;

use chat_core::message_store::MessageStore;
use chat_gateway::Running;
use serde_json::{Value, json};

use crate::broken::{Mood, MoodyStore};
use crate::harness::*;

const AGE: Duration = Duration::from_hours(1);
const AGE_MS: u64 = 3_600_000;

async fn chat(gateway: &Running, user: &str, chat_id: &str) -> Value {
    call(gateway, user, "GET", &format!("/v1/chats/{chat_id}"), None).await.body
}

fn seqs(frames: &[Value]) -> Vec<u64> {
    let messages = frames.iter().filter(|frame| frame["type"] == "message");
    messages.map(|frame| frame["d"]["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_session_that_missed_what_aged_out_goes_on_and_its_next_sync_says_reload() {
    let (mut stack, clock) = Stack::aging(AGE);
    stack.start_sequencer();
    let sound = stack.gateway("gw-0", |_| {}).await;
    let moody = Arc::new(MoodyStore::new(Arc::clone(&stack.ports.store)));
    stack.ports.store = Arc::clone(&moody) as Arc<dyn MessageStore>;
    let other = stack.gateway("gw-1", |_| {}).await;
    let chat_id = group(&sound, "ann", &["bob"]).await;
    let (mut ann, mut bob) = (Client::connect(&sound, "ann").await, Client::connect(&other, "bob").await);
    bob.request("sync", json!({"have": {&chat_id: [1, 0]}})).await;
    // What the relay loses the gateway cannot read for now; when it can, it has aged out.
    moody.set(Mood::Unavailable);
    stack.lossy.set_faults(chat_core::relay::lossy::Faults { drop: 1.0, ..Default::default() });
    for n in 2..=4 {
        ann.say(&json!({"chat_id": chat_id}), &n.to_string()).await;
        eventually(&sound, "ann", &format!("/v1/chats/{chat_id}"), |chat| chat["head_seq"] == n).await;
    }
    clock.advance_millis(AGE_MS + 1);
    stack.lossy.set_faults(chat_core::relay::lossy::Faults::default());
    moody.set(Mood::Works);
    ann.say(&json!({"chat_id": chat_id}), "five").await;
    assert_eq!(bob.messages(1).await, [(5, "five".to_owned())], "nobody waits for what is gone");
    let synced = bob.request("sync", json!({"have": {&chat_id: [1, 0]}})).await["d"].clone();
    assert_eq!((&synced["reload"], &synced["recovered"]), (&json!([chat_id]), &json!(false)));
    let synced = bob.request("sync", json!({"have": {&chat_id: [4, 0]}})).await["d"].clone();
    assert_eq!((&synced["reload"], &synced["recovered"]), (&json!([]), &json!(true)), "the next one is there");
    ann.say(&json!({"chat_id": chat_id}), "six").await;
    assert_eq!(bob.messages(1).await, [(6, "six".to_owned())]);
}

#[tokio::test]
async fn a_client_before_the_first_seq_is_told_so_in_every_way() {
    let (stack, clock) = Stack::aging(AGE);
    stack.start_sequencer();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    let polled = call(&gateway, "bob", "GET", "/v1/events?wait=0", None).await.body;
    let cursor = polled["cursor"].as_str().unwrap();
    for n in 2..=3 {
        ann.say(&json!({"chat_id": chat_id}), &n.to_string()).await;
    }
    ann.messages(2).await;
    clock.advance_millis(AGE_MS + 1);
    ann.say(&json!({"chat_id": chat_id}), "four").await;
    ann.messages(1).await;

    // A poll goes on with what there is.
    let polled = call(&gateway, "bob", "GET", &format!("/v1/events?cursor={cursor}&wait=1"), None).await;
    let frames: Vec<Value> = serde_json::from_value(polled.body["frames"].clone()).unwrap();
    assert_eq!(seqs(&frames), [4], "{polled:?}");
    let sync = |have: u64| json!({"id": 1, "type": "sync", "d": {"have": {&chat_id: have}}});
    for (have, reload, sent) in [(0, true, vec![]), (2, true, vec![]), (3, false, vec![4]), (4, false, vec![])] {
        let answer = call(&gateway, "bob", "POST", "/v1/frames", Some(sync(have))).await;
        let frames: Vec<Value> = serde_json::from_value(answer.body["frames"].clone()).unwrap();
        let done = &frames.last().unwrap()["d"];
        let expected = if reload { json!([chat_id]) } else { json!([]) };
        assert_eq!((&done["reload"], seqs(&frames)), (&expected, sent), "from {have}");
    }
    let path = format!("/v1/chats/{chat_id}/messages");
    for (query, expected) in [("", vec![4]), ("?after=0", vec![4]), ("?before=4", vec![]), ("?before=3", vec![])] {
        let page = call(&gateway, "bob", "GET", &format!("{path}{query}"), None).await.body;
        let found: Vec<u64> =
            page["items"].as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()).collect();
        assert_eq!((found, &page["has_more"]), (expected, &json!(false)), "{query}");
    }
    assert_eq!(chat(&gateway, "bob", &chat_id).await["first_seq"], 4);

    // When nothing is left, the head is where one goes on.
    clock.advance_millis(AGE_MS + 1);
    let page = call(&gateway, "bob", "GET", &path, None).await.body;
    assert_eq!((&page["items"], &page["head_seq"]), (&json!([]), &json!(4)));
    for (have, reload) in [(3, true), (4, false)] {
        let answer = call(&gateway, "bob", "POST", "/v1/frames", Some(sync(have))).await.body;
        let done = answer["frames"].as_array().unwrap().last().unwrap()["d"].clone();
        assert_eq!(done["reload"] == json!([chat_id]), reload, "from {have}: {done}");
    }
    ann.say(&json!({"chat_id": chat_id}), "five").await;
    ann.messages(1).await;
    assert_eq!(chat(&gateway, "bob", &chat_id).await["first_seq"], 5);
}

#[tokio::test]
async fn what_has_aged_out_is_neither_unread_nor_to_be_changed() {
    let (stack, clock) = Stack::aging(AGE);
    stack.start_sequencer();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    for n in 2..=4 {
        ann.say(&json!({"chat_id": chat_id}), &n.to_string()).await;
    }
    ann.messages(3).await;
    assert_eq!(chat(&gateway, "bob", &chat_id).await["unread"], 4);
    clock.advance_millis(AGE_MS - 10);
    ann.say(&json!({"chat_id": chat_id}), "five").await;
    ann.messages(1).await;
    clock.advance_millis(11);
    let seen = chat(&gateway, "bob", &chat_id).await;
    assert_eq!((&seen["unread"], &seen["first_seq"], &seen["head_seq"]), (&json!(1), &json!(5), &json!(5)));
    for (method, path, body) in [
        ("GET", format!("/v1/chats/{chat_id}/messages/4/receipts"), None),
        ("PATCH", format!("/v1/chats/{chat_id}/messages/4"), Some(json!({"content": "late"}))),
        ("DELETE", format!("/v1/chats/{chat_id}/messages/4"), None),
    ] {
        let refused = call(&gateway, "ann", method, &path, body).await;
        assert_eq!((refused.status, &refused.body["code"]), (404, &json!("message_not_found")), "{method}");
    }
    clock.advance_millis(AGE_MS);
    let seen = chat(&gateway, "bob", &chat_id).await;
    assert_eq!((&seen["unread"], &seen["first_seq"], seen.get("last_message")), (&json!(0), &json!(6), None));
}
