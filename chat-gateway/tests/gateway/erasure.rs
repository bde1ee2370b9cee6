use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::{Clock, ManualClock, SystemClock};
use chat_core::id::UserId;
use chat_core::message_log::MessageLog;
use chat_gateway::Running;
use serde_json::{Value, json};

use crate::broken::StuckLog;
use crate::harness::*;

/// How long an erasure may take whose user writes on through another gateway: until that hears of the sign-out.
const SIGNED_OUT_WITHIN: Duration = Duration::from_secs(40);

async fn erase(gateway: &Running, user: &str) -> String {
    let begun = admin(gateway, "DELETE", &format!("/v1/users/{user}")).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    begun.body["report_id"].as_str().unwrap().to_owned()
}

async fn done_within(patience: Duration, gateway: &Running, report_id: &str) -> Value {
    let end = tokio::time::Instant::now() + patience;
    loop {
        let report = admin(gateway, "GET", &format!("/v1/reports/{report_id}")).await;
        assert_eq!(report.status, 200, "{report:?}");
        if report.body["status"] == "done" {
            return report.body;
        }
        assert!(tokio::time::Instant::now() < end, "not in time: {report:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn done(gateway: &Running, report_id: &str) -> Value {
    done_within(Duration::from_secs(15), gateway, report_id).await
}

async fn post(gateway: &Running, user: &str, chat_id: &str, content: &str) {
    let path = format!("/v1/chats/{chat_id}/messages");
    let sent = call(gateway, user, "POST", &path, Some(json!({"content": content}))).await;
    assert_eq!(sent.status, 201, "{sent:?}");
}

async fn history(gateway: &Running, user: &str, chat_id: &str) -> Value {
    let answer = call(gateway, user, "GET", &format!("/v1/chats/{chat_id}/messages?limit=200"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Checks that of a chat's messages exactly the user's are empty, each by one change; returns how many.
fn emptied(history: &Value, user: &str) -> u64 {
    let mut revs: Vec<u64> = Vec::new();
    for message in history["items"].as_array().unwrap() {
        let is_theirs = message["sender"] == user && message["content_type"] != "SYSTEM";
        assert_eq!(message["deleted_at"].is_string(), is_theirs, "{message}");
        if is_theirs {
            assert_eq!((&message["content"], message.get("meta")), (&json!(""), None), "{message}");
            revs.push(message["rev"].as_u64().unwrap());
        }
    }
    revs.sort_unstable();
    let head_rev = history["head_rev"].as_u64().unwrap();
    assert_eq!(revs, (1..=head_rev).collect::<Vec<_>>(), "one change a message");
    head_rev
}

/// What ann wrote: in a group of hers, in one that she has left, and to bob.
struct Life {
    club: String,
    left: String,
    bob: String,
}

impl Life {
    const MESSAGES: u64 = 3 + 2 + 5;

    async fn lead(gateway: &Running) -> Self {
        let (club, left) = (group(gateway, "ann", &["bob", "eve"]).await, group(gateway, "bob", &["ann"]).await);
        let opened =
            call(gateway, "ann", "POST", "/v1/chats", Some(json!({"type": "DIRECT", "members": ["bob"]}))).await;
        assert_eq!(opened.status, 201, "{opened:?}");
        let bob = direct("ann", "bob");
        for (chat_id, count) in [(&club, 3), (&left, 2), (&bob, 5)] {
            for n in 0..count {
                post(gateway, "ann", chat_id, &format!("secret {n}")).await;
            }
            post(gateway, "bob", chat_id, "bob's own").await;
        }
        let leaving = call(gateway, "ann", "DELETE", &format!("/v1/chats/{left}/members/ann"), None).await;
        assert_eq!(leaving.status, 204);
        Self { club, left, bob }
    }

    async fn is_over(&self, gateway: &Running) {
        let mut all = 0;
        for chat_id in [&self.club, &self.left, &self.bob] {
            all += emptied(&history(gateway, "bob", chat_id).await, "ann");
        }
        assert_eq!(all, Self::MESSAGES);
        // Her groups go on without her: bob has been there longest.
        let club = call(gateway, "bob", "GET", &format!("/v1/chats/{}", self.club), None).await.body;
        let members: Vec<_> =
            club["members"].as_array().unwrap().iter().map(|one| (&one["user"], &one["role"])).collect();
        assert_eq!(members, [(&json!("bob"), &json!("ADMIN")), (&json!("eve"), &json!("MEMBER"))]);
        let told = history(gateway, "bob", &self.club).await;
        let kinds: Vec<_> =
            told["items"].as_array().unwrap().iter().map(|message| &message["system"]["kind"]).collect();
        assert_eq!(kinds.iter().filter(|kind| ***kind == json!("member_left")).count(), 1, "left once: {told}");
    }
}

#[tokio::test]
async fn an_erasure_whose_gateway_dies_anywhere_is_taken_over_and_has_one_effect() {
    // Four records pass the partitions; then come a first one a chat, one to leave, and one for the messages.
    for (n, stop_at) in (0..=10).enumerate() {
        let writes_last = n % 2 == 1;
        let mut stack = Stack::start();
        let sound = Arc::clone(&stack.ports.log);
        let dying = Arc::new(StuckLog::new(Arc::clone(&sound), writes_last));
        stack.ports.log = Arc::clone(&dying) as Arc<dyn MessageLog>;
        let one = stack.gateway("gw-0", |_| {}).await;
        let life = Life::lead(&one).await;
        dying.take(stop_at);
        let report_id = erase(&one, "ann").await;
        until("the gateway is stuck", || dying.is_stuck()).await;
        one.shutdown(Duration::ZERO).await;

        stack.ports.log = sound;
        // Another finds the erasure by itself when it has stood still for half a minute.
        let early = Arc::new(ManualClock::at(SystemClock.now().plus_millis(20_000)));
        let two = stack.gateway_at("gw-1", early, |_| {}).await;
        let report = admin(&two, "GET", &format!("/v1/reports/{report_id}")).await;
        assert_eq!(report.body["status"], "running", "it may still be worked on");
        let late = Arc::new(ManualClock::at(SystemClock.now().plus_millis(40_000)));
        let three = stack.gateway_at("gw-2", late, |_| {}).await;
        let report = done(&three, &report_id).await;
        assert_eq!(
            (&report["chats"], &report["messages"]),
            (&json!(3), &json!(Life::MESSAGES)),
            "stopped at {stop_at}"
        );
        life.is_over(&three).await;

        let again = erase(&three, "ann").await;
        let report = done(&three, &again).await;
        assert_eq!((&report["chats"], &report["messages"]), (&json!(3), &json!(0)), "nothing is left");
        life.is_over(&three).await;
    }
}

#[tokio::test]
async fn two_gateways_at_one_erasure_have_one_effect() {
    let stack = Stack::start();
    let one = stack.gateway("gw-0", |_| {}).await;
    let life = Life::lead(&one).await;
    let report_id = erase(&one, "ann").await;
    // By its clock the first stands still at once.
    let late = Arc::new(ManualClock::at(SystemClock.now().plus_millis(60_000)));
    let two = stack.gateway_at("gw-1", late, |_| {}).await;
    for gateway in [&two, &one] {
        let report = done(gateway, &report_id).await;
        assert_eq!((&report["chats"], &report["messages"]), (&json!(3), &json!(Life::MESSAGES)));
    }
    life.is_over(&one).await;
}

#[tokio::test]
async fn what_was_acknowledged_before_is_erased_though_it_is_sequenced_later() {
    let stack = Stack::without_sequencer();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let mut ann = Client::connect(&gateway, "ann").await;
    for n in 0..3 {
        assert_eq!(ann.say(&json!({"to": "bob"}), &n.to_string()).await["type"], "ack");
    }
    let report_id = erase(&gateway, "ann").await;
    assert_eq!(ann.closed().await.code, 4505);
    let report = admin(&gateway, "GET", &format!("/v1/reports/{report_id}")).await;
    assert_eq!(report.body["status"], "running", "{report:?}");
    stack.start_sequencer();
    let report = done(&gateway, &report_id).await;
    assert_eq!(report["messages"], 3);
    assert_eq!(emptied(&history(&gateway, "bob", &direct("ann", "bob")).await, "ann"), 3);
}

#[tokio::test]
async fn what_is_written_and_edited_through_another_gateway_meanwhile_is_erased_too() {
    let stack = Stack::start();
    let (one, two) = (stack.gateway("gw-0", |_| {}).await, stack.gateway("gw-1", |_| {}).await);
    let chat_id = direct("ann", "bob");
    let mut ann = Client::connect(&two, "ann").await;
    ann.say(&json!({"to": "bob"}), "first").await;
    ann.messages(1).await;
    let report_id = erase(&one, "ann").await;
    // The other gateway hears of the sign-out within 20 s. Until then its session goes on.
    let writing = async {
        for n in 1_u64.. {
            ann.send_text(json!({"type": "send", "d": {"to": "bob", "content": format!("late {n}")}}).to_string())
                .await;
            let edit = json!({"type": "edit", "d": {"chat_id": chat_id, "seq": n, "content": "edited"}});
            ann.send_text(edit.to_string()).await;
            loop {
                match ann.next().await {
                    Err(closed) => return (n, closed.code),
                    Ok(frame) if frame["type"] == "message" => break,
                    Ok(_) => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("it is closed")
    };
    let (sent, code) = tokio::time::timeout(SIGNED_OUT_WITHIN, writing).await.unwrap();
    assert_eq!(code, 4505);
    let report = done_within(SIGNED_OUT_WITHIN, &one, &report_id).await;
    let left = history(&one, "bob", &chat_id).await;
    let items = left["items"].as_array().unwrap();
    assert!(items.iter().all(|message| message["content"] == "" && message["deleted_at"].is_string()), "{left}");
    assert!(left["head_seq"].as_u64().unwrap() >= sent, "{left}");
    assert_eq!(report["messages"], left["head_seq"]);
}

#[tokio::test]
async fn nothing_about_a_user_is_written_after_they_are_erased() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let (mut ann, mut bob) = (Client::connect(&gateway, "ann").await, Client::connect(&gateway, "bob").await);
    ann.say(&json!({"to": "bob"}), "hello").await;
    bob.messages(1).await;
    bob.request("presence.subscribe", json!({"users": ["ann"]})).await;
    for (method, path, body) in [
        ("PUT", "/v1/devices/phone", json!({"platform": "fcm", "push_token": "secret"})),
        ("PATCH", "/v1/me", json!({"last_seen_visible": false})),
    ] {
        assert_eq!(call(&gateway, "ann", method, path, Some(body)).await.status, 200);
    }
    let report_id = erase(&gateway, "ann").await;
    assert_eq!(ann.closed().await.code, 4505);
    assert_eq!(bob.push("message.deleted").await["seq"], 1);
    assert_eq!(bob.push("presence").await, json!({"user": "ann", "status": "offline"}));
    done(&gateway, &report_id).await;
    assert_eq!(call(&gateway, "ann", "GET", "/v1/devices", None).await.status, 401, "an old token");
    let ann = [UserId::new("ann").unwrap()];
    let row = stack.ports.users.users(&ann).await.unwrap()[0];
    assert_eq!((row.last_seen_at, row.last_seen_visible), (None, true));
    assert_eq!(stack.ports.users.devices(&ann).await.unwrap(), [vec![]]);
}

#[tokio::test]
async fn an_erased_users_documents_leave_the_index() {
    let stack = Stack::with_workers().await;
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let life = Life::lead(&gateway).await;
    let find = async |count: usize| {
        let found = |page: &Value| page["items"].as_array().unwrap().len() == count;
        eventually(&gateway, "bob", "/v1/search?q=secret", found).await
    };
    find(usize::try_from(Life::MESSAGES).unwrap()).await;
    let report_id = erase(&gateway, "ann").await;
    done(&gateway, &report_id).await;
    assert_eq!(call(&gateway, "bob", "GET", "/v1/search?q=secret", None).await.body["items"], json!([]));
    life.is_over(&gateway).await;
}

#[tokio::test]
async fn a_key_is_one_erasure() {
    let stack = Stack::start();
    let gateway = stack.gateway("gw-0", |_| {}).await;
    let now = i64::try_from(SystemClock.now().millis() / 1000).unwrap();
    let bearer = format!("Bearer {}", token_with(&json!({"sub": "backend", "scope": "admin", "exp": now + 600})));
    let key = uuid::Uuid::now_v7().to_string();
    let headers = [("authorization", bearer.as_str()), ("idempotency-key", key.as_str())];
    let ask =
        async |user: &str| http(gateway.public_addr(), "DELETE", &format!("/v1/users/{user}"), &headers, None).await;
    assert_eq!(ask("ann").await.body["report_id"], key.as_str());
    let report = done(&gateway, &key).await;
    assert_eq!(ask("ann").await.status, 202);
    assert_eq!(done(&gateway, &key).await, report, "a retry changes nothing");
    let refused = ask("bob").await;
    assert_eq!((refused.status, &refused.body["field"]), (400, &json!("idempotency-key")));
    assert_eq!(admin(&gateway, "GET", &format!("/v1/reports/{}", uuid::Uuid::now_v7())).await.status, 404);
}
