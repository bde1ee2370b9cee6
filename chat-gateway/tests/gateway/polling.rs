use chat_core::config::{GatewayConfig, Rate};
use chat_gateway::Running;
use serde_json::{Value, json};

use crate::harness::*;

/// A client that polls, any gateway each time.
struct Poller {
    user: &'static str,
    cursor: String,
}

impl Poller {
    async fn begin(gateway: &Running, user: &'static str) -> Self {
        let answer = call(gateway, user, "GET", "/v1/events?wait=0", None).await;
        assert_eq!((answer.status, &answer.body["recovered"]), (200, &json!(true)), "{answer:?}");
        assert_eq!(answer.body["frames"][0]["type"], "hello");
        assert_eq!(answer.body["frames"][0]["d"]["user"], user);
        Self { user, cursor: answer.body["cursor"].as_str().unwrap().to_owned() }
    }

    /// Asks once, and does not go on.
    async fn look(&self, gateway: &Running, wait: u64) -> Answer {
        let path = format!("/v1/events?cursor={}&wait={wait}", self.cursor);
        let answer = call(gateway, self.user, "GET", &path, None).await;
        assert_eq!((answer.status, &answer.body["recovered"]), (200, &json!(true)), "{answer:?}");
        answer
    }

    async fn poll(&mut self, gateway: &Running, wait: u64) -> Vec<Value> {
        let mut answer = self.look(gateway, wait).await;
        answer.body["cursor"].as_str().unwrap().clone_into(&mut self.cursor);
        serde_json::from_value(answer.body["frames"].take()).unwrap()
    }
}

/// Lets a test send as fast as it can, and read its own echoes later.
fn without_rates(config: &mut GatewayConfig) {
    let rate = Rate::new(100_000, 100_000);
    config.limits.sends_per_user = rate;
    config.limits.sends_per_chat = rate;
    config.limits.frames_per_session = rate;
    config.limits.queue_bytes = 64 * 1024 * 1024;
}

async fn frame(gateway: &Running, user: &str, frame: Value) -> Vec<Value> {
    let mut answer = call(gateway, user, "POST", "/v1/frames", Some(frame)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_value(answer.body["frames"].take()).unwrap()
}

fn send(chat_id: &str, content: &str) -> Value {
    json!({"id": 1, "type": "send", "d": {"chat_id": chat_id, "content": content}})
}

fn seqs(frames: &[Value]) -> Vec<u64> {
    let messages = frames.iter().filter(|frame| frame["type"] == "message");
    messages.map(|frame| frame["d"]["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn polls_go_on_where_they_were_on_any_gateway() {
    let stack = Stack::start();
    let gateways = [stack.gateway("gw-0", |_| {}).await, stack.gateway("gw-1", |_| {}).await];
    let chat_id = group(&gateways[0], "ann", &["bob"]).await;
    let mut bob = Poller::begin(&gateways[0], "bob").await;
    let mut got = Vec::new();
    for n in 0..10 {
        let sent = frame(&gateways[n % 2], "ann", send(&chat_id, &n.to_string())).await;
        assert_eq!(sent[0]["type"], "ack", "{sent:?}");
        let of_bob = bob.poll(&gateways[(n + 1) % 2], 5).await;
        got.extend(seqs(&of_bob));
    }
    while *got.last().unwrap() < 11 {
        got.extend(seqs(&bob.poll(&gateways[0], 5).await));
    }
    // The group's own first message may be of the same moment as the beginning.
    got.retain(|seq| *seq > 1);
    assert_eq!(got, (2..=11).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_held_poll_is_answered_when_a_message_comes() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut bob = Poller::begin(&gateway, "bob").await;
    while !bob.poll(&gateway, 0).await.is_empty() {}
    let (frames, _) = tokio::join!(bob.poll(&gateway, 30), async {
        until("the poll is held", || gateway.connections() == 1).await;
        frame(&gateway, "ann", send(&chat_id, "hello")).await
    });
    assert_eq!(seqs(&frames), [2]);
    assert_eq!(gateway.connections(), 0, "an answered poll takes no place");
}

#[tokio::test]
async fn the_same_cursor_answers_the_same_messages() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut bob = Poller::begin(&gateway, "bob").await;
    while !bob.poll(&gateway, 0).await.is_empty() {}
    for n in 0..3 {
        frame(&gateway, "ann", send(&chat_id, &n.to_string())).await;
    }
    let history = format!("/v1/chats/{chat_id}/messages/4");
    while call(&gateway, "bob", "GET", &history, None).await.status != 200 {}
    for _ in 0..2 {
        let answer = bob.look(&gateway, 5).await;
        assert_eq!(seqs(answer.body["frames"].as_array().unwrap()), [2, 3, 4]);
    }
}

#[tokio::test]
async fn edits_between_polls_come_with_the_next() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut bob = Poller::begin(&gateway, "bob").await;
    frame(&gateway, "ann", send(&chat_id, "helo")).await;
    let mut seen = Vec::new();
    while !seen.contains(&2) {
        seen.extend(seqs(&bob.poll(&gateway, 5).await));
    }
    let edit = json!({"id": 2, "type": "edit", "d": {"chat_id": chat_id, "seq": 2, "content": "hello"}});
    assert_eq!(frame(&gateway, "ann", edit).await[0]["type"], "ack");
    let frames = bob.poll(&gateway, 5).await;
    assert_eq!((&frames[0]["type"], &frames[0]["d"]["rev"]), (&json!("message.updated"), &json!(1)), "{frames:?}");
}

#[tokio::test]
async fn an_answer_has_a_bound_and_the_rest_comes_next() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", without_rates).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut bob = Poller::begin(&gateway, "bob").await;
    let mut ann = Client::connect(&gateway, "ann").await;
    for n in 0..600 {
        ann.ask("send", json!({"chat_id": chat_id, "content": format!("{n} {}", "x".repeat(8_000))})).await;
    }
    ann.messages(600).await;
    let mut got = Vec::new();
    while got.last() != Some(&601) {
        let frames = bob.poll(&gateway, 5).await;
        let bytes: usize = frames.iter().map(|frame| frame.to_string().len()).sum();
        assert!(frames.len() <= 500 && bytes <= 1024 * 1024, "{} frames, {bytes} bytes", frames.len());
        got.extend(seqs(&frames));
    }
    got.retain(|seq| *seq > 1);
    assert_eq!(got, (2..=601).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cursor_that_ran_out_or_is_of_another_begins_anew() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let bob = Poller::begin(&gateway, "bob").await;
    let unknown = "0123456789abcdef0123456789abcdef";
    for (user, cursor) in [("bob", unknown), ("ann", bob.cursor.as_str())] {
        let answer = call(&gateway, user, "GET", &format!("/v1/events?cursor={cursor}"), None).await;
        assert_eq!((answer.status, &answer.body["recovered"]), (200, &json!(false)));
        assert_eq!(answer.body["frames"][0]["type"], "hello");
        assert_ne!(answer.body["cursor"], json!(cursor));
    }
    let long = "0".repeat(1_025);
    for (path, code) in [
        ("/v1/events?cursor=mine".to_owned(), "invalid_cursor"),
        (format!("/v1/events?cursor={long}"), "invalid_cursor"),
        ("/v1/events?wait=61".to_owned(), "invalid_argument"),
        ("/v1/events?presence=a,..".to_owned(), "invalid_argument"),
    ] {
        let answer = call(&gateway, "bob", "GET", &path, None).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!(code)), "{path}");
    }
}

#[tokio::test]
async fn a_posted_sync_brings_its_pushes_before_its_reply() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", without_rates).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    for n in 0..60 {
        ann.ask("send", json!({"chat_id": chat_id, "content": n.to_string()})).await;
    }
    ann.messages(60).await;
    let sync = json!({"id": 7, "type": "sync", "d": {"have": {&chat_id: 1}, "limit": 200}});
    let mut frames = frame(&gateway, "bob", sync).await;
    let reply = frames.pop().unwrap();
    assert_eq!((&reply["id"], &reply["d"]["recovered"], &reply["d"]["more"]), (&json!(7), &json!(true), &json!([])));
    assert_eq!(seqs(&frames), (2..=61).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_posted_sync_that_is_too_large_leaves_more_at_once() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", without_rates).await;
    let chat_id = group(&gateway, "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    for _ in 0..150 {
        ann.ask("send", json!({"chat_id": chat_id, "content": "x".repeat(16_000)})).await;
    }
    ann.messages(150).await;
    let started = tokio::time::Instant::now();
    let (mut have, mut got) = (1, Vec::new());
    while have < 151 {
        let sync = json!({"id": 7, "type": "sync", "d": {"have": {&chat_id: have}, "limit": 200}});
        let mut frames = frame(&gateway, "bob", sync).await;
        let reply = frames.pop().unwrap();
        got.extend(seqs(&frames));
        have = *got.last().unwrap();
        let more = reply["d"]["more"].as_array().unwrap();
        assert!(more.is_empty() || more[0]["from"] == have + 1, "{reply}");
    }
    assert_eq!(got, (2..=151).collect::<Vec<_>>());
    assert!(started.elapsed().as_secs() < 8, "it does not wait for a reader that is not there");
}

#[tokio::test]
async fn frames_that_need_a_session_are_refused() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    for (posted, code) in [
        (json!({"id": 1, "type": "ping"}), "invalid_argument"),
        (json!({"id": 1, "type": "auth", "d": {"token": "x"}}), "invalid_argument"),
        (json!({"id": 1, "type": "presence.subscribe", "d": {"users": ["ann"]}}), "invalid_argument"),
        (json!({"id": 1, "type": "dance"}), "unknown_type"),
        (json!({"id": 1, "type": "send", "d": {}}), "invalid_argument"),
    ] {
        let frames = frame(&gateway, "bob", posted.clone()).await;
        assert_eq!((&frames[0]["id"], &frames[0]["d"]["code"]), (&json!(1), &json!(code)), "{posted}");
    }
    let push = frame(&gateway, "bob", json!({"type": "ping"})).await;
    assert_eq!((&push[0]["type"], &push[0]["d"]["request"]), (&json!("error"), &json!("ping")));
    let headers = [("authorization", format!("Bearer {}", token("bob"))), ("content-type", "text/plain".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = http(gateway.public_addr(), "POST", "/v1/frames", &headers, Some("{}")).await;
    assert_eq!(answer.status, 415);
}
