//! A messenger's day: two users on two devices each see ticks, unread counts, presence, typing, mute, search, blocks.

use std::time::Duration;

use anyhow::Context as _;
use hyper::Method;
use serde_json::{Value, json};
use tests::talk::{SOON, direct, eventually};
use tests::{Rest, Socket, Stack};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

/// Creates a group of the callers and returns its id.
async fn group(rest: &Rest, members: &[&str]) -> anyhow::Result<String> {
    let body = json!({ "type": "GROUP", "name": "club", "members": members });
    let answer = rest.post("/v1/chats", &body).await?;
    anyhow::ensure!(answer.status == 201, "{answer:?}");
    Ok(answer.body["chat_id"].as_str().context("no chat_id")?.to_owned())
}

/// Makes a call that answers without a body.
async fn done(rest: &Rest, method: Method, path: &str, body: &Value) -> anyhow::Result<()> {
    let answer = rest.call(method, path, body).await?;
    anyhow::ensure!(answer.status == 204, "{path}: {answer:?}");
    Ok(())
}

/// Closes a session as an app does whose user goes.
async fn goodbye(session: &mut Socket) -> anyhow::Result<()> {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    session.send_raw(Message::Close(Some(frame))).await?;
    session.closed().await?;
    Ok(())
}

#[tokio::test]
async fn ticks_and_unread_counts_follow_the_reader_on_every_device() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let (mut ann, mut tablet) = (stack.connect("ann").await?, stack.connect("ann").await?);
    let (mut bob, mut phone) = (stack.connect("bob").await?, stack.connect("bob").await?);
    let bob_rest = stack.rest("bob").await?;
    let chat_id = direct("ann", "bob")?;
    for n in 1..=3 {
        ann.ack("send", json!({ "to": "bob", "content": format!("message {n}") })).await?;
        while bob.push("message").await?["seq"] != n {}
    }
    let path = format!("/v1/chats/{chat_id}");
    let chat = bob_rest.get(&path).await?.body;
    assert_eq!((&chat["unread"], &chat["last_message"]["content"]), (&json!(3), &json!("message 3")));
    assert_eq!(chat["peer"], json!({ "user": "ann", "delivered": 3, "read": 3 }), "who sends has read");

    bob.ack("receipt", json!({ "chat_id": chat_id, "delivered": 3 })).await?;
    let delivered = json!({ "chat_id": chat_id, "user": "bob", "delivered": 3, "read": 0 });
    for session in [&mut ann, &mut tablet] {
        assert_eq!(session.push("receipt").await?, delivered);
    }
    phone.ack("receipt", json!({ "chat_id": chat_id, "read": 2 })).await?;
    let read = json!({ "chat_id": chat_id, "user": "bob", "delivered": 3, "read": 2 });
    for session in [&mut ann, &mut tablet, &mut bob] {
        assert_eq!(session.push("receipt").await?, read);
    }
    eventually(&bob_rest, &path, |chat| chat["unread"] == 1).await?;
    bob.ack("send", json!({ "chat_id": chat_id, "content": "an answer reads everything" })).await?;
    eventually(&bob_rest, "/v1/chats", |page| page["items"][0]["unread"] == 0).await?;

    // A device that was away asks for the ticks.
    let mut away = stack.connect("ann").await?;
    away.ack("sync", json!({ "have": { chat_id.clone(): 3 }, "receipts": true })).await?;
    let told = away.push("receipt").await?;
    assert_eq!((&told["user"], &told["read"]), (&json!("bob"), &json!(4)));
    assert!(stack.interrupt().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_group_shows_its_sender_n_of_m() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let ann_rest = stack.rest("ann").await?;
    let chat_id = group(&ann_rest, &["bob", "eve"]).await?;
    let (mut ann, mut bob) = (stack.connect("ann").await?, stack.connect("bob").await?);
    let mut eve = stack.connect("eve").await?;
    ann.ack("send", json!({ "chat_id": chat_id, "content": "hello" })).await?;
    for session in [&mut bob, &mut eve] {
        assert_eq!(session.push("message").await?["seq"], 2);
    }
    bob.ack("receipt", json!({ "chat_id": chat_id, "read": 2 })).await?;
    eve.ack("receipt", json!({ "chat_id": chat_id, "delivered": 2 })).await?;
    let both = json!({ "chat_id": chat_id, "seq": 2, "delivered": 2, "read": 1, "of": 2 });
    while ann.push("receipt.summary").await? != both {}
    let path = format!("/v1/chats/{chat_id}/messages/2/receipts");
    let who = eventually(&ann_rest, &path, |page| page["delivered"] == 2).await?;
    let expected = json!([{ "user": "bob", "status": "READ" }, { "user": "eve", "status": "DELIVERED" }]);
    assert_eq!((&who["items"], &who["of"]), (&expected, &json!(2)));
    let refused = stack.rest("bob").await?.get(&path).await?;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (403, &json!("forbidden")));
    Ok(())
}

#[tokio::test]
async fn friends_see_who_comes_goes_and_types() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = tests::stack::Setup::example(dir.path()).with(&["--gateways", "2"]).start().await?;
    let ann_rest = stack.rest("ann").await?;
    let chat_id = group(&ann_rest, &["bob"]).await?;
    let mut ann = stack.connect("ann").await?;
    let asked = json!({ "users": ["bob", "eve"], "chats": [chat_id] });
    let presence = ann.ack("presence.subscribe", asked).await?["presence"].clone();
    assert_eq!(presence, json!({ "bob": { "status": "offline" }, "eve": { "status": "unknown" } }));
    let (mut bob, mut phone) = (stack.connect("bob").await?, stack.connect("bob").await?);
    assert_eq!(ann.push("presence").await?, json!({ "user": "bob", "status": "online" }));

    bob.ack("presence.subscribe", json!({ "chats": [chat_id] })).await?;
    ann.ack("typing", json!({ "chat_id": chat_id, "active": true })).await?;
    assert_eq!(bob.push("typing").await?, json!({ "chat_id": chat_id, "user": "ann", "active": true }));
    assert!(phone.drain().await?.iter().all(|frame| frame["type"] != "typing"), "not on that screen");

    goodbye(&mut bob).await?;
    let now = ann_rest.get("/v1/presence?users=bob").await?.body;
    assert_eq!(now["presence"]["bob"], json!({ "status": "online" }), "the phone is still there");
    goodbye(&mut phone).await?;
    let gone = ann.push("presence").await?;
    assert_eq!((&gone["user"], &gone["status"]), (&json!("bob"), &json!("offline")));
    let now = ann_rest.get("/v1/presence?users=bob").await?.body;
    let expected = json!({ "status": "offline", "last_seen_at": gone["last_seen_at"] });
    assert_eq!((&now["presence"]["bob"], gone["last_seen_at"].is_string()), (&expected, true));
    Ok(())
}

#[tokio::test]
async fn what_was_said_is_found_until_it_is_deleted() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let (mut ann, bob_rest) = (stack.connect("ann").await?, stack.rest("bob").await?);
    for content in ["the red car", "a blue car", "no vehicle"] {
        ann.ack("send", json!({ "to": "bob", "content": content })).await?;
    }
    let count = |page: &Value, count| page["items"].as_array().is_some_and(|items| items.len() == count);
    let found = eventually(&bob_rest, "/v1/search?q=CAR", |page| count(page, 2)).await?;
    assert_eq!(found["items"][0]["message"]["content"], "a blue car");
    assert_eq!(found["items"][0]["highlights"], json!([[7, 10]]));
    let first = bob_rest.get("/v1/search?q=car&limit=1").await?.body;
    let cursor = first["next_cursor"].as_str().context("no next_cursor")?;
    let second = bob_rest.get(&format!("/v1/search?q=car&limit=1&cursor={cursor}")).await?.body;
    assert_eq!(second["items"][0]["message"]["content"], "the red car");
    assert_eq!(stack.rest("eve").await?.get("/v1/search?q=car").await?.body["items"], json!([]));
    let chat_id = direct("ann", "bob")?;
    ann.ack("delete", json!({ "chat_id": chat_id, "seq": 2 })).await?;
    ann.push("message.deleted").await?;
    let found = bob_rest.get("/v1/search?q=car").await?.body;
    assert!(count(&found, 1), "{found}");
    Ok(())
}

#[tokio::test]
async fn mutes_blocks_and_devices_outlive_a_crash() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let push = "  push:\n    fcm: { serviceAccountSecretRef: { name: fcm } }\n";
    let stack = tests::stack::Setup::extended(dir.path(), push)?.start().await?;
    let chat_id = direct("ann", "bob")?;
    let mut ann = stack.connect("ann").await?;
    ann.ack("send", json!({ "to": "bob", "content": "hello" })).await?;
    ann.push("message").await?;
    let bob = stack.rest("bob").await?;
    let until = json!({ "until": "2999-01-01T00:00:00.000Z" });
    done(&bob, Method::PUT, &format!("/v1/chats/{chat_id}/mute"), &until).await?;
    let device = json!({ "platform": "fcm", "push_token": "token-of-the-phone" });
    let put = bob.call(Method::PUT, "/v1/devices/phone", &device).await?;
    assert_eq!((put.status.as_u16(), &put.body["device"]), (200, &json!("phone")));
    done(&bob, Method::PUT, "/v1/blocks/ann", &Value::Null).await?;
    let refused = ann.request("send", json!({ "to": "bob", "content": "are you there?" })).await?;
    assert_eq!(refused["d"]["code"], "blocked");

    let stack = stack.kill().await?.start().await?;
    let bob = stack.rest("bob").await?;
    let mut ann = stack.connect("ann").await?;
    assert_eq!(bob.get(&format!("/v1/chats/{chat_id}")).await?.body["muted_until"], until["until"]);
    assert_eq!(bob.get("/v1/devices").await?.body["items"][0]["platform"], "fcm");
    assert_eq!(bob.get("/v1/blocks").await?.body["items"][0]["user"], "ann");
    let refused = ann.request("send", json!({ "to": "bob", "content": "are you there?" })).await?;
    assert_eq!(refused["d"]["code"], "blocked");

    done(&bob, Method::DELETE, "/v1/blocks/ann", &Value::Null).await?;
    done(&bob, Method::DELETE, &format!("/v1/chats/{chat_id}/mute"), &Value::Null).await?;
    done(&bob, Method::DELETE, "/v1/devices/phone", &Value::Null).await?;
    assert_eq!(bob.get(&format!("/v1/chats/{chat_id}")).await?.body["muted_until"], Value::Null);
    assert_eq!(bob.get("/v1/devices").await?.body, json!({ "items": [] }));
    let end = Instant::now() + SOON;
    while ann.request("send", json!({ "to": "bob", "content": "again" })).await?["type"] != "ack" {
        anyhow::ensure!(Instant::now() < end, "the block was lifted");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
