//! Sessions across restarts, dead networks, wrong clocks, ends of tokens and drains, on one to four gateways.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::{Clock, SystemClock};
use chat_gateway::Running;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

use crate::broken::MoodyStore;
use crate::harness::*;

async fn gateways(stack: &Stack, count: usize) -> Vec<Running> {
    let mut gateways = Vec::new();
    for n in 0..count {
        gateways.push(stack.gateway(&format!("gw-{n}"), |_| {}).await);
    }
    gateways
}

/// Sends until it is acknowledged.
async fn send(client: &mut Client, chat_id: &str, content: &str) {
    let reply = client.say(&json!({ "chat_id": chat_id }), content).await;
    assert_eq!(reply["type"], "ack", "{reply}");
}

/// Returns the contents of a chat from history, by seq.
async fn history(gateway: &Running, user: &str, chat_id: &str) -> BTreeMap<u64, String> {
    let path = format!("/v1/chats/{chat_id}/messages?after=0&limit=200");
    let page = call(gateway, user, "GET", &path, None).await.body;
    assert_eq!(page["has_more"], false);
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| (item["seq"].as_u64().unwrap(), item["content"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn a_second_boot_of_the_same_name_is_another_gateway() {
    let stack = Stack::start();
    let first = stack.gateway("gw-0", |_| {}).await;
    let chat_id = group(&first, "ann", &["bob", "eve"]).await;
    let mut bob = Client::connect(&first, "bob").await;
    let second = stack.gateway("gw-0", |_| {}).await;
    assert_eq!(first.name(), second.name());
    assert_ne!(first.id(), second.id());
    let mut eve = Client::connect(&second, "eve").await;
    let mut ann = Client::connect(&second, "ann").await;
    send(&mut ann, &chat_id, "to both boots").await;
    assert_eq!(bob.messages(1).await, eve.messages(1).await);

    // The first boot goes without a word to the second; what it left behind must not catch what is for its successor.
    first.shutdown(Duration::ZERO).await;
    assert_eq!(bob.closed().await.code, 4000);
    send(&mut ann, &chat_id, "to nobody of the first").await;
    let mut bob = Client::connect(&second, "bob").await;
    bob.request("sync", json!({ "have": { &chat_id: 2 } })).await;
    send(&mut ann, &chat_id, "live again").await;
    let got = bob.messages(2).await;
    assert_eq!(got, [(3, "to nobody of the first".to_owned()), (4, "live again".to_owned())]);
    assert_eq!(eve.messages(2).await, got);
}

#[tokio::test]
async fn what_was_sent_into_a_dead_network_comes_after_the_next_sync() {
    let stack = Stack::start();
    let gateways = gateways(&stack, 2).await;
    let chat_id = group(&gateways[0], "ann", &["bob"]).await;
    let mut ann = Client::connect(&gateways[1], "ann").await;
    // Open for the kernel, but nobody reads or answers: the network is gone without a word.
    let dead = Client::connect(&gateways[0], "bob").await;
    for n in 0..5 {
        send(&mut ann, &chat_id, &n.to_string()).await;
    }
    let silence = Duration::from_secs(40);
    until_within(silence, "the silence is noticed", || gateways[0].connections() == 0).await;
    let mut bob = Client::connect(&gateways[1], "bob").await;
    let done = bob.request("sync", json!({ "have": { &chat_id: 1 } })).await;
    assert_eq!(done["d"]["recovered"], true);
    let seqs: Vec<u64> = bob.messages(5).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, [2, 3, 4, 5, 6]);
    drop(dead);
}

/// Makes a message id as a device would whose clock is this many hours ahead, or behind.
fn id_of_a_clock(hours: i64) -> String {
    let now = i64::try_from(SystemClock.now().millis() / 1_000).unwrap();
    let seconds = u64::try_from(now + hours * 3_600).unwrap();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)).to_string()
}

#[tokio::test]
async fn devices_with_wrong_clocks_send_in_the_order_of_the_log() {
    let stack = Stack::start();
    let gateways = gateways(&stack, 2).await;
    let chat_id = group(&gateways[0], "ann", &["bob"]).await;
    let mut devices = [Client::connect(&gateways[0], "ann").await, Client::connect(&gateways[1], "ann").await];
    let mut bob = Client::connect(&gateways[1], "bob").await;
    for (hours, is_taken) in [(23, true), (-28 * 24, true), (1, true), (-1, true), (25, false), (-30 * 24, false)] {
        let id = id_of_a_clock(hours);
        let d = json!({ "chat_id": chat_id, "message_id": id, "content": hours.to_string() });
        // The same message from two devices, on two gateways.
        for device in &mut devices {
            let reply = device.request("send", d.clone()).await;
            if is_taken {
                assert_eq!(reply["d"]["message_id"], json!(id), "{hours} hours: {reply}");
            } else {
                let told = (&reply["d"]["code"], &reply["d"]["field"]);
                assert_eq!(told, (&json!("invalid_argument"), &json!("message_id")), "{hours} hours");
            }
        }
    }
    send(&mut devices[0], &chat_id, "end").await;
    let mut last = String::new();
    for (seq, content) in (2_u64..).zip(["23", "-672", "1", "-1", "end"]) {
        let message = bob.push("message").await;
        assert_eq!((&message["seq"], &message["content"]), (&json!(seq), &json!(content)));
        let created_at = message["created_at"].as_str().unwrap().to_owned();
        assert!(created_at >= last, "time is the log's, and never falls");
        last = created_at;
    }
    // The session is told the time by which to make ids.
    let pong = bob.request("ping", json!({})).await;
    assert!(pong["d"]["server_time"].as_str().unwrap() >= last.as_str());
}

/// Opens an event stream and reads it to its end; returns its frames and its last cursor.
async fn stream(gateway: &Running, token: &str, cursor: Option<&str>) -> (Vec<Value>, String) {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("authorization", bearer.as_str()), ("accept", "text/event-stream")];
    headers.extend(cursor.map(|cursor| ("last-event-id", cursor)));
    let answer = http(gateway.public_addr(), "GET", "/v1/events", &headers, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.body.as_str().unwrap();
    let of = |name: &str| text.lines().filter_map(|line| line.strip_prefix(name)).collect::<Vec<_>>();
    let frames = of("data:").into_iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    (frames, of("id:").pop().unwrap_or_default().trim().to_owned())
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn requests_that_are_held_end_with_their_token() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let (short, begun) = (token_for("bob", 3), tokio::time::Instant::now());
    let poll = async |token: &str, query: &str| {
        let bearer = format!("Bearer {token}");
        let path = format!("/v1/events?{query}");
        http(gateway.public_addr(), "GET", &path, &[("authorization", &bearer)], None).await
    };
    let first = poll(&short, "wait=0").await;
    let cursor = first.body["cursor"].as_str().unwrap().to_owned();
    let held = format!("cursor={cursor}&wait=60");
    let ((frames, _), polled) = tokio::join!(stream(&gateway, &short, None), poll(&short, &held));
    assert_eq!(kinds(&frames)[0], "hello");
    assert_eq!((polled.status, &polled.body["recovered"]), (200, &json!(true)), "{polled:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "both ended with the token");
    let refused = poll(&short, &held).await;
    assert_eq!((refused.status, &refused.body["code"]), (401, &json!("token_expired")));
    let cursor = polled.body["cursor"].as_str().unwrap();
    let renewed = poll(&token("bob"), &format!("cursor={cursor}&wait=0")).await;
    assert_eq!(renewed.body["recovered"], true, "a new token goes on from the old one's cursor");
}

#[tokio::test]
async fn requests_that_are_held_move_off_a_gateway_that_drains() {
    let stack = Stack::start();
    let gateways = gateways(&stack, 2).await;
    let [old, new] = &gateways[..] else { unreachable!() };
    let chat_id = group(old, "ann", &["bob"]).await;
    let mut ann = Client::connect(new, "ann").await;
    let mut begun = call(old, "bob", "GET", "/v1/events?wait=0", None).await;
    while begun.body["frames"] != json!([]) {
        let path = format!("/v1/events?wait=0&cursor={}", begun.body["cursor"].as_str().unwrap());
        begun = call(old, "bob", "GET", &path, None).await;
    }
    let held = format!("/v1/events?cursor={}&wait=60", begun.body["cursor"].as_str().unwrap());
    let bob = token("bob");
    let (streamed, polled, ()) = tokio::join!(stream(old, &bob, None), call(old, "bob", "GET", &held, None), async {
        until("both are held", || old.connections() == 2).await;
        let deadline_at = SystemClock.now().plus_millis(60_000);
        old.drain(serde_json::from_value(json!({ "deadline_at": deadline_at, "rate": 100 })).unwrap());
    });
    let (frames, last) = streamed;
    assert_eq!(kinds(&frames).last(), Some(&"reconnect"), "{frames:?}");
    let polled_frames = polled.body["frames"].as_array().unwrap();
    assert_eq!(kinds(polled_frames).last(), Some(&"reconnect"), "{polled:?}");
    assert!(polled.head.contains("connection: close"), "a kept connection would lead back here: {}", polled.head);
    until("nothing is left", || old.connections() == 0).await;
    let refused = call(old, "bob", "GET", &held, None).await;
    assert_eq!((refused.status, &refused.body["code"]), (503, &json!("over_capacity")));

    send(&mut ann, &chat_id, "meanwhile").await;
    let cursor = polled.body["cursor"].as_str().unwrap();
    let seqs = |frames: &[Value]| -> Vec<u64> {
        let messages = frames.iter().filter(|frame| frame["type"] == "message");
        messages.filter_map(|frame| frame["d"]["seq"].as_u64()).filter(|seq| *seq > 1).collect()
    };
    let polled = call(new, "bob", "GET", &format!("/v1/events?cursor={cursor}&wait=10"), None).await;
    assert_eq!(seqs(polled.body["frames"].as_array().unwrap()), [2]);
    let short = token_for("bob", 2);
    let (frames, _) = stream(new, &short, Some(&last)).await;
    assert_eq!(seqs(&frames), [2], "{frames:?}");
}

/// Someone who talks and moves on.
struct Walker {
    name: String,
    client: Client,
    has: BTreeMap<String, u64>,
    got: BTreeMap<String, Vec<(u64, String)>>,
}

impl Walker {
    /// Applies what has come, by the client rule; ahead of it is only what a first sync brings again.
    fn apply(&mut self, message: &Value) {
        let chat_id = message["chat_id"].as_str().unwrap().to_owned();
        let seq = message["seq"].as_u64().unwrap();
        let has = self.has.entry(chat_id.clone()).or_default();
        if seq == *has + 1 {
            *has = seq;
            let content = message["content"].as_str().unwrap().to_owned();
            self.got.entry(chat_id).or_default().push((seq, content));
        }
    }

    /// Leaves without a goodbye, and goes on at another gateway.
    async fn hop(&mut self, gateway: &Running) {
        self.client = Client::connect(gateway, &self.name).await;
        let id = self.client.ask("sync", json!({ "have": self.has })).await;
        loop {
            let frame = self.client.next().await.unwrap();
            if frame["type"] == "message" {
                self.apply(&frame["d"]);
            } else if frame["id"] == id {
                assert_eq!(frame["d"]["recovered"], true, "{frame}");
                return;
            }
        }
    }
}

#[tokio::test]
async fn talk_goes_on_while_everybody_hops_between_two_to_four_gateways() {
    for (count, seed) in [(2, 21), (3, 22), (4, 23)] {
        let mut random = StdRng::seed_from_u64(seed);
        let stack = Stack::start();
        let gateways = gateways(&stack, count).await;
        let names = ["ann", "bob", "cat", "dan", "eve"];
        let chats = [
            group(&gateways[0], "ann", &["bob", "cat", "dan", "eve"]).await,
            group(&gateways[1], "bob", &["ann", "eve"]).await,
        ];
        let mut walkers = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let client = Client::connect(&gateways[n % count], name).await;
            let has = chats.iter().map(|chat_id| (chat_id.clone(), 0)).collect();
            walkers.push(Walker { name: (*name).to_owned(), client, has, got: BTreeMap::new() });
        }
        let mut acked = BTreeMap::new();
        for n in 0..80 {
            let who = random.random_range(0..walkers.len());
            if random.random_bool(0.3) {
                walkers[who].hop(&gateways[random.random_range(0..count)]).await;
            }
            let of_all = walkers[who].name == "cat" || walkers[who].name == "dan" || random.random_bool(0.5);
            let chat_id = &chats[usize::from(!of_all)];
            let content = format!("{n} of {}", walkers[who].name);
            send(&mut walkers[who].client, chat_id, &content).await;
            *acked.entry((chat_id.clone(), content)).or_insert(0) += 1;
        }
        // Everybody comes to rest somewhere, and has what history has; history has what was acknowledged, once.
        for (n, chat_id) in chats.iter().enumerate() {
            let told = acked.keys().filter(|(chat, _)| chat == chat_id).count();
            let end = tokio::time::Instant::now() + Duration::from_secs(10);
            let history = loop {
                let history = history(&gateways[n], "ann", chat_id).await;
                if history.len() > told {
                    break history;
                }
                assert!(tokio::time::Instant::now() < end, "{} of {told} in history", history.len() - 1);
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            assert_eq!(history.keys().copied().collect::<Vec<_>>(), (1..=told as u64 + 1).collect::<Vec<_>>());
            for content in history.values().filter(|content| !content.is_empty()) {
                assert_eq!(acked.get(&(chat_id.clone(), content.clone())), Some(&1), "{content}");
            }
            for walker in &mut walkers {
                if n == 1 && !["ann", "bob", "eve"].contains(&walker.name.as_str()) {
                    assert_eq!(walker.got.get(chat_id), None, "{} is no member", walker.name);
                    continue;
                }
                walker.hop(&gateways[count - 1]).await;
                let got: BTreeMap<_, _> = walker.got[chat_id].iter().cloned().collect();
                assert_eq!((got.len(), &got), (walker.got[chat_id].len(), &history), "{}", walker.name);
            }
        }
    }
}

#[tokio::test]
async fn a_sync_in_parts_brings_each_chat_once_and_lists_what_none_named() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let since = SystemClock.now().to_string();
    let mut chats = Vec::new();
    let mut ann = Client::connect(&gateway, "ann").await;
    for n in 0..7 {
        let chat_id = group(&gateway, "ann", &["bob"]).await;
        for message in 0..n {
            send(&mut ann, &chat_id, &format!("{n}.{message}")).await;
        }
        chats.push(chat_id);
    }
    let sent = 1 + 2 + 3 + 4 + 5 + 6;
    while ann.messages(1).await[0].1 != "6.5" {}
    let mut bob = Client::connect(&gateway, "bob").await;
    // Asked for at once: parts are answered one after the other, in order.
    let mut parts = Vec::new();
    for (part, is_last) in [(0..2, false), (2..4, false), (4..6, true)] {
        let have: BTreeMap<&str, u64> = chats[part].iter().map(|chat_id| (chat_id.as_str(), 1)).collect();
        parts.push(bob.ask("sync", json!({ "have": have, "since": since, "partial": !is_last })).await);
    }
    let (mut got, mut done) = (Vec::new(), Vec::new());
    while done.len() < parts.len() {
        let frame = bob.next().await.unwrap();
        if frame["type"] == "message" {
            got.push(frame["d"]["content"].as_str().unwrap().to_owned());
        } else if parts.contains(&frame["id"].as_u64().unwrap_or_default()) {
            done.push(frame);
        }
    }
    let ids: Vec<u64> = done.iter().map(|frame| frame["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, parts);
    got.sort();
    let expected: Vec<String> = (0..6).flat_map(|n| (0..n).map(move |message| format!("{n}.{message}"))).collect();
    assert_eq!(got, expected);
    assert_eq!(got.len(), sent - 6);
    for frame in &done[..2] {
        assert_eq!(frame["d"]["unlisted"], json!([]), "only the last part knows what none named");
    }
    assert_eq!(done[2]["d"]["unlisted"], json!([{ "chat_id": chats[6], "head_seq": 7, "head_rev": 0 }]));
}

#[tokio::test]
async fn a_reconnect_reads_the_store_three_times_and_once_for_each_active_chat() {
    let mut stack = Stack::start();
    let store = Arc::new(MoodyStore::new(Arc::clone(&stack.ports.store)));
    stack.ports.store = Arc::clone(&store) as _;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut chats = Vec::new();
    for _ in 0..20 {
        chats.push(group(&gateway, "ann", &["bob"]).await);
    }
    let mut ann = Client::connect(&gateway, "ann").await;
    let mut bob = Client::connect(&gateway, "bob").await;
    let have: BTreeMap<&str, u64> = chats.iter().map(|chat_id| (chat_id.as_str(), 1)).collect();
    let since = bob.request("sync", json!({ "have": have })).await["d"]["server_time"].clone();
    drop(bob);
    until("bob is gone", || gateway.connections() == 1).await;
    for active in [0, 1, 5] {
        for chat_id in &chats[..active] {
            send(&mut ann, chat_id, "news").await;
            ann.messages(1).await;
        }
        let before = store.reads();
        let mut bob = Client::connect(&gateway, "bob").await;
        let done = bob.request("sync", json!({ "have": have, "since": since })).await;
        assert_eq!((&done["d"]["recovered"], &done["d"]["more"]), (&json!(true), &json!([])));
        let reads = store.reads() - before;
        println!("store reads of a reconnect with {active} active chats of 20: {reads}");
        assert!(reads <= 3 + active as u64, "{reads} reads with {active} active chats");
    }
}
