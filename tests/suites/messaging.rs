//! What two users see of each other: sends, echoes, retries, groups, history, refusals.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use anyhow::Context as _;
use chat_core::id::{ChatId, UserId};
use serde_json::{Value, json};
use tests::Stack;
use uuid::Uuid;

fn direct(a: &str, b: &str) -> String {
    let user = |name| UserId::new(name).unwrap();
    ChatId::direct(&user(a), &user(b)).to_string()
}

/// Creates a group of the callers and returns its id.
async fn group(stack: &Stack, admin: &str, members: &[&str]) -> anyhow::Result<String> {
    let body = json!({ "type": "GROUP", "name": "club", "members": members });
    let answer = stack.rest(admin).await?.post("/v1/chats", &body).await?;
    anyhow::ensure!(answer.status == 201, "{answer:?}");
    Ok(answer.body["chat_id"].as_str().context("no chat_id")?.to_owned())
}

fn seqs(items: &Value) -> Vec<u64> {
    items.as_array().into_iter().flatten().filter_map(|message| message["seq"].as_u64()).collect()
}

#[tokio::test]
async fn a_message_is_acknowledged_sequenced_delivered_and_kept() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let (mut ann, mut bob) = (stack.connect("ann").await?, stack.connect("bob").await?);
    assert_eq!(ann.hello["user"], "ann");
    assert_eq!(ann.hello["heartbeat_ms"], 20_000);

    let id = Uuid::now_v7().to_string();
    let sent = ann.ack("send", json!({ "to": "bob", "message_id": id, "content": "hello" })).await?;
    assert_eq!(sent, json!({ "chat_id": direct("ann", "bob"), "message_id": id }));
    for session in [&mut ann, &mut bob] {
        let message = session.push("message").await?;
        assert_eq!(
            (&message["seq"], &message["content"], &message["sender"]),
            (&json!(1), &json!("hello"), &json!("ann"))
        );
        assert_eq!(message["content_type"], "TEXT");
    }
    let path = format!("/v1/chats/{}/messages", direct("ann", "bob"));
    let history = stack.rest("bob").await?.get(&path).await?;
    assert_eq!((history.status.as_u16(), seqs(&history.body["items"])), (200, vec![1]));
    assert_eq!(history.body["head_seq"], 1);
    assert_eq!(history.headers["cache-control"], "no-store");

    let stranger = stack.rest("eve").await?.get(&path).await?;
    assert_eq!((stranger.status.as_u16(), &stranger.body["code"]), (404, &json!("chat_not_found")));
    assert!(stack.interrupt().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_retry_is_the_same_message_for_ever() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let mut ann = stack.connect("ann").await?;
    let id = Uuid::now_v7().to_string();
    let send = json!({ "to": "bob", "message_id": id, "content": "once" });
    for _ in 0..5 {
        ann.ack("send", send.clone()).await?;
    }
    // After a restart nothing of it is in memory any more.
    let stack = stack.kill().await?.start().await?;
    let mut ann = stack.connect("ann").await?;
    ann.ack("send", json!({ "to": "bob", "message_id": id, "content": "the first content wins" })).await?;
    ann.ack("send", json!({ "to": "bob", "content": "another" })).await?;
    loop {
        if ann.push("message").await?["content"] == "another" {
            break;
        }
    }
    let path = format!("/v1/chats/{}/messages?after=0", direct("ann", "bob"));
    let history = stack.rest("ann").await?.get(&path).await?;
    let contents: Vec<_> =
        history.body["items"].as_array().unwrap().iter().map(|message| &message["content"]).collect();
    assert_eq!(contents, ["once", "another"]);
    Ok(())
}

#[tokio::test]
async fn a_group_hears_everything_in_one_order_on_every_gateway() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = tests::stack::Setup::example(dir.path()).with(&["--gateways", "3"]).start().await?;
    let chat_id = group(&stack, "ann", &["bob", "eve"]).await?;
    let mut sessions = Vec::new();
    for user in ["ann", "bob", "eve", "ann", "bob", "eve"] {
        sessions.push(stack.connect(user).await?);
    }
    let count = 60_u64;
    for n in 0..count {
        let session = &mut sessions[usize::try_from(n % 6)?];
        session.ask("send", json!({ "chat_id": chat_id, "content": format!("message {n}") })).await?;
    }
    let mut orders = Vec::new();
    for session in &mut sessions {
        let mut order = Vec::new();
        // seq 1 is the SYSTEM message of the group's beginning, which was before these sessions.
        while order.len() < usize::try_from(count)? {
            let message = session.push("message").await?;
            order.push((message["seq"].as_u64().unwrap(), message["message_id"].clone()));
        }
        orders.push(order);
    }
    assert!(orders[0].iter().map(|(seq, _)| *seq).eq(2..2 + count), "gapless: {:?}", orders[0]);
    assert!(orders.iter().all(|order| *order == orders[0]));
    Ok(())
}

#[tokio::test]
async fn what_was_missed_comes_with_sync() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let chat_id = direct("ann", "bob");
    let mut ann = stack.connect("ann").await?;
    for n in 1..=10 {
        ann.ack("send", json!({ "to": "bob", "content": format!("message {n}") })).await?;
    }
    while ann.push("message").await?["seq"] != 10 {}
    let mut bob = stack.connect("bob").await?;
    let done = bob.ack("sync", json!({ "have": { chat_id.clone(): 4 } })).await?;
    assert_eq!((&done["recovered"], &done["more"]), (&json!(true), &json!([])));
    for seq in 5..=10 {
        assert_eq!(bob.push("message").await?["seq"], seq);
    }
    ann.ack("send", json!({ "to": "bob", "content": "live" })).await?;
    assert_eq!(bob.push("message").await?["seq"], 11);
    let fresh = bob.ack("sync", json!({ "have": {}, "since": "2026-01-01T00:00:00.000Z" })).await?;
    assert_eq!(fresh["unlisted"], json!([{ "chat_id": chat_id, "head_seq": 11, "head_rev": 0 }]));
    Ok(())
}

#[tokio::test]
async fn bad_requests_get_a_code_and_the_session_lives() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let mut ann = stack.connect("ann").await?;
    let other = Uuid::now_v7().to_string();
    for (kind, d, code) in [
        ("dance", json!({}), "unknown_type"),
        ("send", json!({ "to": "bob" }), "invalid_argument"),
        ("send", json!({ "to": "bob", "chat_id": other, "content": "x" }), "invalid_argument"),
        ("send", json!({ "to": "..", "content": "x" }), "invalid_argument"),
        ("send", json!({ "to": "ann", "content": "to oneself" }), "invalid_argument"),
        ("send", json!({ "to": "bob", "content": "x", "content_type": "SYSTEM" }), "invalid_argument"),
        ("send", json!({ "to": "bob", "content": "x".repeat(16 * 1024 + 1) }), "content_too_large"),
        ("send", json!({ "to": "bob", "content": "x", "message_id": Uuid::nil().to_string() }), "invalid_argument"),
        ("send", json!({ "chat_id": other, "content": "x" }), "chat_not_found"),
        ("edit", json!({ "chat_id": other, "seq": 1, "content": "x" }), "chat_not_found"),
    ] {
        let reply = ann.request(kind, d.clone()).await?;
        assert_eq!((&reply["type"], &reply["d"]["code"]), (&json!("error"), &json!(code)), "{kind} {d}");
    }
    ann.send_text("not json").await?;
    assert_eq!(ann.push("error").await?["code"], "invalid_json");
    assert_eq!(ann.request("ping", json!({})).await?["type"], "pong");
    Ok(())
}

#[tokio::test]
async fn edits_and_deletes_reach_everyone_and_history() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let chat_id = direct("ann", "bob");
    let (mut ann, mut bob) = (stack.connect("ann").await?, stack.connect("bob").await?);
    ann.ack("send", json!({ "to": "bob", "content": "helo" })).await?;
    bob.push("message").await?;
    ann.ack("edit", json!({ "chat_id": chat_id, "seq": 1, "content": "hello" })).await?;
    let updated = bob.push("message.updated").await?;
    assert_eq!((&updated["seq"], &updated["rev"], &updated["content"]), (&json!(1), &json!(1), &json!("hello")));
    let refused = bob.request("delete", json!({ "chat_id": chat_id, "seq": 1 })).await?;
    assert_eq!(refused["d"]["code"], "forbidden");
    ann.ack("delete", json!({ "chat_id": chat_id, "seq": 1 })).await?;
    let deleted = bob.push("message.deleted").await?;
    assert_eq!((&deleted["seq"], &deleted["rev"]), (&json!(1), &json!(2)));
    let history = stack.rest("bob").await?.get(&format!("/v1/chats/{chat_id}/messages/1")).await?;
    assert_eq!((&history.body["content"], &history.body["rev"]), (&json!(""), &json!(2)));
    assert!(history.body["deleted_at"].is_string());
    Ok(())
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_problems() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let ann = stack.rest("ann").await?;
    let nothing = ann.get("/v1/nothing").await?;
    assert_eq!((nothing.status.as_u16(), &nothing.body["code"]), (404, &json!("not_found")));
    assert_eq!(nothing.headers["content-type"], "application/problem+json");
    let method = ann.call(hyper::Method::DELETE, "/v1/chats", &Value::Null).await?;
    assert_eq!((method.status.as_u16(), &method.body["code"]), (405, &json!("method_not_allowed")));
    let nobody = tests::Rest::new(&stack.url, None).get("/v1/me").await?;
    assert_eq!((nobody.status.as_u16(), &nobody.body["code"]), (401, &json!("unauthenticated")));
    Ok(())
}
