//! Hostile input by a seeded generator: frames, bodies, paths, cursors and tokens against the real router. Every answer
//! is one of the protocol's, the gateway lives, and what others say to each other is not touched.
//!
//! `FUZZ_SEED` and `FUZZ_SECONDS` make a longer run, or another one; a failure names its seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use chat_core::codes::{CloseCode, ErrorCode};
use chat_core::config::{GatewayConfig, Rate};
use chat_gateway::Running;
use futures_util::SinkExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::harness::*;

/// Cases of a short run, of each kind.
const CASES: u64 = 600;

fn seed() -> u64 {
    std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4)
}

/// Runs cases for as long as was asked, each with a generator of its own; prints how many there were.
async fn run(what: &str, mut case: impl AsyncFnMut(u64, StdRng)) {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let first = seed().wrapping_mul(1_000_000_007);
    let mut count = 0;
    while end.map_or(count < CASES, |end| Instant::now() < end) {
        let seed = first.wrapping_add(count);
        case(seed, StdRng::seed_from_u64(seed)).await;
        count += 1;
    }
    eprintln!("{what}: {count} cases from seed {first}");
}

fn text(random: &mut StdRng) -> String {
    let parts = ["", "a", "..", "%2e", "\u{0}", "\u{202e}", "é", "👍", "'; DROP", "${x}", "\\", "\"", "\n", "anna"];
    let count = *[0, 1, 2, 3, 40, 600].choose(random).unwrap();
    (0..count).map(|_| *parts.choose(random).unwrap()).collect()
}

/// Makes any JSON value, the edges of numbers and of nesting among them.
fn value(random: &mut StdRng) -> Value {
    match random.random_range(0..16) {
        0 => Value::Null,
        1 => random.random_bool(0.5).into(),
        2 => random.random_range(-3..3_i64).into(),
        3 => (9_007_199_254_740_991_u64 + random.random_range(0..2)).into(),
        4 => u64::MAX.into(),
        5 => i64::MIN.into(),
        6 => json!(1e300),
        7 => json!(0.5),
        8 => Uuid::from_u128(random.random()).to_string().into(),
        9 => json!("2026-11-24T02:19:00.123Z"),
        10 => (0..random.random_range(1..40)).fold(json!(1), |inner, _| json!([inner])),
        11 => (0..random.random_range(1..20)).fold(json!({}), |inner, _| json!({ "d": inner })),
        12 => (0..random.random_range(0..1_200)).map(|n| json!(n)).collect(),
        _ => text(random).into(),
    }
}

/// Changes one place in a value: replaces it, drops it, or adds to it.
fn spoil(random: &mut StdRng, at: &mut Value) {
    let is_here = random.random_bool(0.25);
    match at {
        Value::Object(fields) if !is_here && !fields.is_empty() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = names.choose(random).unwrap();
            match random.random_range(0..6) {
                0 => drop(fields.remove(name)),
                1 => drop(fields.insert(text(random), value(random))),
                _ => spoil(random, fields.get_mut(name).unwrap()),
            }
        }
        Value::Array(items) if !is_here && !items.is_empty() => {
            let place = random.random_range(0..items.len());
            spoil(random, &mut items[place]);
        }
        _ => *at = value(random),
    }
}

/// Changes bytes of a text, so that it may be no JSON any more; it stays UTF-8.
fn garble(random: &mut StdRng, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=chars.len());
        match random.random_range(0..4) {
            0 => chars.truncate(at),
            1 => chars.insert(at, char::from(random.random_range(0..128_u8))),
            2 if at < chars.len() => drop(chars.remove(at)),
            _ => chars.extend("\\ud800{[\"".chars()),
        }
    }
    chars.into_iter().collect()
}

/// Returns a frame that is good, for its chats and users.
fn good_frame(random: &mut StdRng, chat_id: &str) -> Value {
    let (kind, d) = [
        ("send", json!({ "chat_id": chat_id, "content": "x", "message_id": Uuid::now_v7(), "meta": { "a": [1] } })),
        (
            "send",
            json!({ "to": "bob-2", "content": "x", "content_type": "IMAGE", "attachment":
            { "url": "https://a.example/b", "name": "b", "mime_type": "image/png", "size_bytes": 3, "width": 1 } }),
        ),
        ("edit", json!({ "chat_id": chat_id, "seq": 2, "content": "y", "op_id": Uuid::now_v7() })),
        ("delete", json!({ "chat_id": chat_id, "seq": 3 })),
        ("receipt", json!({ "chat_id": chat_id, "delivered": 1, "read": 1 })),
        ("typing", json!({ "chat_id": chat_id, "active": true })),
        (
            "sync",
            json!({ "have": { chat_id: [1, 0], Uuid::now_v7().to_string(): 3 }, "since":
            "2026-11-24T02:19:00.123Z", "partial": true, "receipts": true, "limit": 7 }),
        ),
        ("presence.subscribe", json!({ "users": ["bob-2"], "chats": [chat_id] })),
        ("presence.unsubscribe", json!({ "users": ["bob-2"] })),
        ("ping", json!({ "active": false })),
        ("auth", json!({ "token": token("mallory") })),
    ]
    .choose(random)
    .unwrap()
    .clone();
    json!({ "id": random.random_range(0..1_000), "type": kind, "d": d })
}

fn hostile_frame(random: &mut StdRng, chat_id: &str) -> String {
    let mut frame = good_frame(random, chat_id);
    for _ in 0..random.random_range(0..3) {
        spoil(random, &mut frame);
    }
    let frame = frame.to_string();
    if random.random_bool(0.3) { garble(random, &frame) } else { frame }
}

/// Checks a fault: a known code, and no defect of ours.
fn check_fault(fault: &Value, seed: u64) {
    let known = ErrorCode::ALL.iter().find(|code| fault["code"] == json!(code));
    assert!(known.is_some_and(|code| *code != ErrorCode::Internal), "seed {seed}: {fault}");
}

fn loose(config: &mut GatewayConfig) {
    let rate = Rate::new(100_000, 100_000);
    config.limits.frames_per_session = rate;
    config.limits.sends_per_user = rate;
    config.limits.sends_per_chat = rate;
}

/// Seconds that the tokens of a run live: longer than any run.
const RUN_SECONDS: i64 = 24 * 3_600;

/// Connects a user for the whole run.
async fn connect(gateway: &Running, user: &str) -> Client {
    let bearer = format!("Bearer {}", token_for(user, RUN_SECONDS));
    let mut client = Client::open(gateway.public_addr(), &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(client.push("hello").await["user"], user);
    client
}

/// Two who talk while others are hostile: each message comes once, in order.
struct Talk {
    ann: Client,
    bob: Client,
    chat_id: String,
    said: u64,
}

impl Talk {
    async fn begin(gateway: &Running) -> Self {
        let chat_id = group(gateway, "ann", &["bob"]).await;
        let (ann, bob) = (connect(gateway, "ann").await, connect(gateway, "bob").await);
        Self { ann, bob, chat_id, said: 0 }
    }

    async fn go_on(&mut self) {
        self.said += 1;
        let content = self.said.to_string();
        assert_eq!(self.ann.say(&json!({ "chat_id": self.chat_id }), &content).await["type"], "ack");
        assert_eq!(self.bob.messages(1).await, [(self.said + 1, content.clone())]);
        assert_eq!(self.ann.messages(1).await, [(self.said + 1, content)]);
    }
}

#[tokio::test]
async fn hostile_frames_are_answered_or_end_their_own_session() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", loose).await;
    let mut talk = Talk::begin(&gateway).await;
    let chat_id = group(&gateway, "mallory", &["bob-2"]).await;
    let mut mallory = connect(&gateway, "mallory").await;
    run("frames", async |seed, mut random| {
        let mut ended = None;
        for _ in 0..random.random_range(1..6) {
            let target = if random.random_bool(0.9) { &chat_id } else { &talk.chat_id };
            let frame = hostile_frame(&mut random, target);
            let message = match random.random_range(0..60) {
                0 => Message::Binary(frame.into_bytes().into()),
                1 => Message::Text("x".repeat(70_000).into()),
                2 => Message::Ping(vec![1; 125].into()),
                _ => Message::Text(frame.into()),
            };
            if mallory.socket.send(message).await.is_err() {
                break;
            }
        }
        let ping = json!({ "id": 5_000_000, "type": "ping" }).to_string();
        if mallory.socket.send(Message::Text(ping.into())).await.is_ok() {
            loop {
                match mallory.next().await {
                    Ok(frame) if frame["id"] == 5_000_000 => break,
                    Ok(frame) if frame["type"] == "error" => check_fault(&frame["d"], seed),
                    Ok(_) => {}
                    Err(closed) => {
                        ended = Some(closed);
                        break;
                    }
                }
            }
        } else {
            ended = Some(mallory.closed().await);
        }
        if let Some(Closed { code, reason }) = ended {
            let known = CloseCode::ALL.iter().find(|known| known.code() == code);
            assert!(
                known.is_some_and(|known| *known != CloseCode::Internal && reason == known.as_str()) || code == 1006,
                "seed {seed}: {code} {reason}"
            );
            mallory = connect(&gateway, "mallory").await;
        }
        if seed % 50 == 0 {
            talk.go_on().await;
        }
    })
    .await;
    talk.go_on().await;
    drop(mallory);
    until("nothing is left behind", || gateway.connections() == 2).await;
}

/// Writes any text as one segment or value of an address.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
        out
    })
}

#[tokio::test]
async fn hostile_requests_are_answered_with_a_status_and_a_code() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", loose).await;
    let mut talk = Talk::begin(&gateway).await;
    let chat_id = group(&gateway, "mallory", &["eve"]).await;
    let bearer = format!("Bearer {}", token_for("mallory", RUN_SECONDS));
    let mut statuses = BTreeMap::new();
    run("requests", async |seed, mut random| {
        let segment = match random.random_range(0..5) {
            0 => percent(&text(&mut random).chars().take(60).collect::<String>()),
            1 => talk.chat_id.clone(),
            2 => random.random_range(0..4).to_string(),
            _ => chat_id.clone(),
        };
        let (methods, path) = [
            ("GET POST", "/v1/chats".to_owned()),
            ("GET PATCH", format!("/v1/chats/{segment}")),
            ("PUT DELETE", format!("/v1/chats/{segment}/members/{segment}")),
            ("PUT", format!("/v1/chats/{chat_id}/members/{segment}")),
            ("GET POST", format!("/v1/chats/{segment}/messages")),
            ("GET PATCH DELETE", format!("/v1/chats/{chat_id}/messages/{segment}")),
            ("GET", format!("/v1/chats/{chat_id}/messages/{segment}/receipts")),
            ("PUT DELETE", format!("/v1/chats/{segment}/mute")),
            ("GET", "/v1/search".to_owned()),
            ("PUT DELETE", format!("/v1/devices/{segment}")),
            ("PUT DELETE", format!("/v1/blocks/{segment}")),
            ("GET PATCH", "/v1/me".to_owned()),
            ("GET", "/v1/presence".to_owned()),
            ("POST", "/v1/frames".to_owned()),
            ("GET POST", format!("/v1/{segment}")),
        ]
        .choose(&mut random)
        .unwrap()
        .clone();
        let methods: Vec<&str> = methods.split(' ').collect();
        let method = if random.random_bool(0.95) { methods.choose(&mut random).unwrap() } else { "DELETE" };
        let names = ["cursor", "limit", "before", "after", "q", "from", "to", "users", "chat_id", "sender"];
        let query: Vec<String> = (0..random.random_range(0..3))
            .map(|_| {
                let value: String = text(&mut random).chars().take(200).collect();
                format!("{}={}", names.choose(&mut random).unwrap(), percent(&value))
            })
            .collect();
        let body = match random.random_range(0..6) {
            0 => "x".repeat(70_000),
            1 | 2 => hostile_frame(&mut random, &chat_id),
            _ => {
                let mut body = json!({ "type": "GROUP", "name": "n", "members": ["eve"], "role": "MEMBER", "content":
                    "c", "until": "2999-01-01T00:00:00.000Z", "platform": "fcm", "push_token": "t" });
                spoil(&mut random, &mut body);
                body.to_string()
            }
        };
        let kind = if random.random_bool(0.9) { "application/json" } else { "text/plain" };
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let path = format!("{path}?{}", query.join("&"));
        let answer = http(gateway.public_addr(), method, &path, &headers, Some(&body)).await;
        *statuses.entry(answer.status).or_insert(0_u64) += 1;
        if answer.status >= 400 {
            assert!(answer.head.contains("application/problem+json"), "seed {seed}: {method} {path}: {answer:?}");
            check_fault(&answer.body, seed);
        }
        if seed % 50 == 0 {
            talk.go_on().await;
        }
    })
    .await;
    eprintln!("statuses: {statuses:?}");
    talk.go_on().await;
}

#[tokio::test]
async fn a_cursor_that_was_changed_is_refused_or_begins_anew() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", loose).await;
    let mut talk = Talk::begin(&gateway).await;
    let chat_id = group(&gateway, "mallory", &["eve"]).await;
    for _ in 0..3 {
        group(&gateway, "mallory", &["eve"]).await;
        let path = format!("/v1/chats/{chat_id}/messages");
        call(&gateway, "mallory", "POST", &path, Some(json!({ "content": "a car" }))).await;
    }
    let paths = ["/v1/chats?limit=1", "/v1/search?q=car&limit=1", "/v1/events?wait=0"];
    let mut cursors = Vec::new();
    for path in paths {
        let page =
            eventually(&gateway, "mallory", path, |page| page["next_cursor"].is_string() || page["cursor"].is_string());
        let page = page.await;
        let cursor = page["next_cursor"].as_str().or_else(|| page["cursor"].as_str()).unwrap().to_owned();
        cursors.push((path, cursor));
    }
    run("cursors", async |seed, mut random| {
        let (path, _) = cursors.choose(&mut random).unwrap();
        let (_, good) = cursors.choose(&mut random).unwrap();
        let cursor = if random.random_bool(0.8) { garble(&mut random, good) } else { text(&mut random) };
        let path = format!("{path}&cursor={}", percent(&cursor));
        let answer = call(&gateway, "mallory", "GET", &path, None).await;
        match answer.status {
            200 => assert!(!answer.body.to_string().contains(&talk.chat_id), "seed {seed}: {path}: {answer:?}"),
            400 | 414 | 431 => check_fault(&answer.body, seed),
            _ => panic!("seed {seed}: {path}: {answer:?}"),
        }
        if seed % 50 == 0 {
            talk.go_on().await;
        }
    })
    .await;
    talk.go_on().await;
}

#[tokio::test]
async fn a_token_that_was_changed_is_refused() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", loose).await;
    let mut talk = Talk::begin(&gateway).await;
    let good = token_for("ann", RUN_SECONDS);
    let parts: Vec<&str> = good.split('.').collect();
    let other = token_with(&json!({ "sub": "ann", "exp": 9_999_999_999_u64, "scope": "admin" }));
    let others: Vec<&str> = other.split('.').collect();
    run("tokens", async |seed, mut random| {
        let hostile = match random.random_range(0..5) {
            0 => format!("{}.{}.{}", parts[0], others[1], parts[2]),
            1 => format!("eyJhbGciOiJub25lIn0.{}.", parts[1]),
            2 => text(&mut random),
            3 => "a".repeat(random.random_range(0..9_000)),
            _ => garble(&mut random, &good),
        };
        // A header holds visible characters only; the rest cannot be sent.
        let hostile: String = hostile.chars().filter(char::is_ascii_graphic).collect();
        if hostile == good {
            return;
        }
        let bearer = format!("Bearer {hostile}");
        let answer = http(gateway.public_addr(), "GET", "/v1/me", &[("authorization", &bearer)], None).await;
        assert_eq!(answer.status, 401, "seed {seed}: {hostile}: {answer:?}");
        check_fault(&answer.body, seed);
        if seed % 20 == 0 {
            let mut socket = Client::open(gateway.public_addr(), &[]).await.unwrap();
            socket.send_text(json!({ "id": 1, "type": "auth", "d": { "token": hostile } }).to_string()).await;
            assert_eq!(socket.closed().await.code, 4500, "seed {seed}: {hostile}");
            talk.go_on().await;
        }
    })
    .await;
    talk.go_on().await;
}
