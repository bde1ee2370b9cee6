//! What the operator of a service and its own backend do with a running stack: let messages age out, erase a user,
//! try devices, see what became of pushes, count, sign out.

use std::time::Duration;

use anyhow::Context as _;
use hyper::Method;
use serde_json::{Value, json};
use tests::stack::Setup;
use tests::talk::{SOON, direct, eventually, objects};
use tests::{Rest, Socket, Stack};
use tokio::time::{Instant, sleep};

/// A manifest that pushes.
const PUSH: &str = "  push:\n    fcm: { serviceAccountSecretRef: { name: fcm } }\n";

async fn group(rest: &Rest, members: &[&str]) -> anyhow::Result<String> {
    let answer = rest.post("/v1/chats", &json!({ "type": "GROUP", "name": "club", "members": members })).await?;
    anyhow::ensure!(answer.status == 201, "{answer:?}");
    Ok(answer.body["chat_id"].as_str().context("no chat_id")?.to_owned())
}

async fn say(session: &mut Socket, to: &Value, content: &str) -> anyhow::Result<()> {
    let mut d = to.clone();
    d["content"] = json!(content);
    session.ack("send", d).await?;
    while session.push("message").await?["content"] != content {}
    Ok(())
}

/// Registers a device.
async fn device(rest: &Rest, name: &str) -> anyhow::Result<()> {
    let body = json!({ "platform": "fcm", "push_token": format!("token-of-{name}") });
    let put = rest.call(Method::PUT, &format!("/v1/devices/{name}"), &body).await?;
    anyhow::ensure!(put.status == 200, "{put:?}");
    Ok(())
}

fn seqs(history: &Value) -> Vec<u64> {
    history["items"].as_array().into_iter().flatten().filter_map(|message| message["seq"].as_u64()).collect()
}

#[tokio::test]
async fn messages_age_out_and_everything_follows() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Setup::extended(dir.path(), "  retention: { messages: 10s }\n")?.start().await?;
    let (mut ann, mut bob) = (stack.connect("ann").await?, stack.connect("bob").await?);
    let (ann_rest, bob_rest) = (stack.rest("ann").await?, stack.rest("bob").await?);
    let chat_id = direct("ann", "bob")?;
    let path = format!("/v1/chats/{chat_id}");
    let club = group(&ann_rest, &["bob"]).await?;
    for n in 1..=2 {
        say(&mut ann, &json!({ "to": "bob" }), &format!("old words {n}")).await?;
    }
    assert_eq!(bob_rest.get(&path).await?.body["first_seq"], 1);
    let chat = eventually(&bob_rest, &path, |chat| chat["first_seq"] == 3).await?;
    assert_eq!((&chat["head_seq"], &chat["last_message"]), (&json!(2), &Value::Null));
    assert_eq!(seqs(&bob_rest.get(&format!("{path}/messages")).await?.body), [0; 0]);
    let gone = bob_rest.get(&format!("{path}/messages/1")).await?;
    assert_eq!((gone.status.as_u16(), &gone.body["code"]), (404, &json!("message_not_found")));
    assert_eq!(bob_rest.get("/v1/search?q=words").await?.body["items"], json!([]));

    // A chat push says where history begins now.
    let renamed = ann_rest.call(Method::PATCH, &format!("/v1/chats/{club}"), &json!({ "name": "pub" })).await?;
    assert_eq!((renamed.status.as_u16(), &renamed.body["first_seq"]), (200, &json!(2)));
    loop {
        let told = bob.push("chat").await?;
        if told["change"]["kind"] == "renamed" {
            assert_eq!(told["chat"]["first_seq"], 2);
            break;
        }
    }

    say(&mut ann, &json!({ "to": "bob" }), "new words").await?;
    assert_eq!(seqs(&bob_rest.get(&format!("{path}/messages")).await?.body), [3]);
    let found = eventually(&bob_rest, "/v1/search?q=words", |page| page["items"] != json!([])).await?;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    // Whoever lacks what has aged out reads anew; whoever does not goes on.
    let mut tablet = stack.connect("bob").await?;
    let synced = tablet.ack("sync", json!({ "have": { chat_id.clone(): 1 } })).await?;
    assert_eq!((&synced["reload"], &synced["recovered"]), (&json!([chat_id]), &json!(false)));
    let mut phone = stack.connect("bob").await?;
    let synced = phone.ack("sync", json!({ "have": { chat_id.clone(): 2 } })).await?;
    assert_eq!((&synced["reload"], &synced["recovered"]), (&json!([]), &json!(true)));
    assert_eq!(phone.push("message").await?["seq"], 3);
    assert!(stack.interrupt().await?.success());
    Ok(())
}

#[tokio::test]
async fn an_erased_user_leaves_empty_messages_and_a_report() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Setup::extended(dir.path(), PUSH)?.start().await?;
    let (ann_rest, bob_rest) = (stack.rest("ann").await?, stack.rest("bob").await?);
    let (mut ann, mut bob) = (stack.connect("ann").await?, stack.connect("bob").await?);
    let club = group(&bob_rest, &["ann"]).await?;
    for n in 1..=3 {
        say(&mut ann, &json!({ "to": "bob" }), &format!("secret {n}")).await?;
    }
    say(&mut bob, &json!({ "to": "ann" }), "secret of bob").await?;
    say(&mut ann, &json!({ "chat_id": club }), "secret to the club").await?;
    let removed = bob_rest.call(Method::DELETE, &format!("/v1/chats/{club}/members/ann"), &Value::Null).await?;
    assert_eq!(removed.status, 204);
    device(&ann_rest, "phone").await?;
    eventually(&bob_rest, "/v1/search?q=secret", |page| page["items"].as_array().map(Vec::len) == Some(5)).await?;

    let refused = ann_rest.call(Method::DELETE, "/v1/users/ann", &Value::Null).await?;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (403, &json!("forbidden")));
    let report = &objects(&stack.run(&["erase-user", "ann", "--json"]).await?)?[0];
    assert_eq!((&report["status"], &report["chats"], &report["messages"]), (&json!("done"), &json!(2), &json!(4)));
    assert!(report["remains"].as_array().is_some_and(|remains| !remains.is_empty()), "{report}");

    let path = format!("/v1/chats/{}/messages", direct("ann", "bob")?);
    let history = bob_rest.get(&path).await?.body;
    for message in history["items"].as_array().context("no items")? {
        let is_theirs = message["sender"] == "ann";
        assert_eq!(message["content"] == "" && message["deleted_at"].is_string(), is_theirs, "{message}");
    }
    for _ in 0..4 {
        bob.push("message.deleted").await?;
    }
    eventually(&bob_rest, "/v1/search?q=secret", |page| page["items"].as_array().map(Vec::len) == Some(1)).await?;
    // A gateway may not have heard of the sign-out yet.
    let devices = ann_rest.get("/v1/devices").await?;
    assert!(devices.status == 401 || devices.body["items"] == json!([]), "{devices:?}");

    // Once more, also after a crash: nothing is left to do.
    let stack = stack.kill().await?.start().await?;
    let again = &objects(&stack.run(&["erase-user", "ann", "--json"]).await?)?[0];
    assert_eq!((&again["status"], &again["messages"]), (&json!("done"), &json!(0)));
    let bob_rest = stack.rest("bob").await?;
    assert_eq!(bob_rest.get(&path).await?.body["head_rev"], history["head_rev"]);
    let id = report["report_id"].as_str().context("no report_id")?;
    let kept = stack.admin().await?.get(&format!("/v1/reports/{id}")).await?;
    assert_eq!((kept.status.as_u16(), &kept.body["messages"]), (200, &json!(4)));
    Ok(())
}

#[tokio::test]
async fn the_ledger_tells_of_every_push_and_why_others_were_not_made() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Setup::extended(dir.path(), PUSH)?.start().await?;
    let (ann_rest, bob_rest) = (stack.rest("ann").await?, stack.rest("bob").await?);
    device(&bob_rest, "phone").await?;
    let tested = objects(&stack.run(&["push", "test", "bob", "--json"]).await?)?;
    assert_eq!(tested, [json!({ "device": "phone", "platform": "fcm", "outcome": "sent" })]);

    // A SYSTEM message is pushed as any other: the group that one was put into is news.
    let club = group(&ann_rest, &["bob", "eve"]).await?;
    let logged = async |arguments: &[&str], wanted: &dyn Fn(&[Value]) -> bool| {
        let end = Instant::now() + SOON;
        loop {
            let log = objects(&stack.run(&[&["push", "log", "--json"], arguments].concat()).await?)?;
            if wanted(&log) {
                return anyhow::Ok(log);
            }
            anyhow::ensure!(Instant::now() < end, "not in time: {log:?}");
            sleep(Duration::from_millis(200)).await;
        }
    };
    let log = logged(&["--chat", &club], &|log| log.len() == 1).await?;
    let expected = json!([
        { "member": "bob", "device": "phone", "outcome": "sent" },
        { "member": "eve", "outcome": "no_device" },
    ]);
    let mut outcomes = log[0]["outcomes"].as_array().cloned().unwrap_or_default();
    outcomes.sort_by_key(|outcome| outcome["member"].as_str().map(str::to_owned));
    assert_eq!((&log[0]["seq"], &json!(outcomes)), (&json!(1), &expected));

    let muted = bob_rest.call(Method::PUT, &format!("/v1/chats/{club}/mute"), &json!({})).await?;
    assert_eq!(muted.status, 204, "{muted:?}");
    let mut ann = stack.connect("ann").await?;
    say(&mut ann, &json!({ "chat_id": club }), "hello").await?;
    let log = logged(&["--user", "bob"], &|log| log.len() == 3).await?;
    let told = |record: &Value| (record["seq"].clone(), record["outcomes"][0]["outcome"].clone());
    let expected = [(2, "muted"), (1, "sent"), (0, "sent")].map(|(seq, outcome)| (json!(seq), json!(outcome)));
    assert_eq!(log.iter().map(told).collect::<Vec<_>>(), expected, "newest first, the test push last");
    let refused = bob_rest.get("/v1/push-outcomes").await?;
    assert_eq!(refused.status, 403);
    Ok(())
}

#[tokio::test]
async fn what_is_off_in_the_manifest_says_so() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Setup::extended(dir.path(), "  search: { disabled: {} }\n")?.start().await?;
    let (rest, admin) = (stack.rest("ann").await?, stack.admin().await?);
    let device = json!({ "platform": "fcm", "push_token": "token" });
    let answers = [
        rest.get("/v1/devices").await?,
        rest.call(Method::PUT, "/v1/devices/phone", &device).await?,
        rest.call(Method::DELETE, "/v1/devices/phone", &Value::Null).await?,
        rest.get("/v1/search?q=word").await?,
        admin.post("/v1/users/ann/test-push", &Value::Null).await?,
        admin.get("/v1/push-outcomes").await?,
    ];
    for answer in answers {
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (501, &json!("not_enabled")), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_used_is_counted_by_the_hour() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let mut ann = stack.connect("ann").await?;
    let chat_id = direct("ann", "bob")?;
    for n in 1..=3 {
        say(&mut ann, &json!({ "to": "bob" }), &format!("{n}")).await?;
    }
    ann.ack("edit", json!({ "chat_id": chat_id, "seq": 1, "content": "one" })).await?;
    ann.ack("delete", json!({ "chat_id": chat_id, "seq": 2 })).await?;
    let end = Instant::now() + SOON;
    loop {
        let hours = objects(&stack.run(&["stats", "--json"]).await?)?;
        let sum = |name: &str| hours.iter().filter_map(|hour| hour[name].as_u64()).sum::<u64>();
        if ["messages", "edits", "deletes", "chats"].map(sum) == [3, 1, 1, 1] {
            break;
        }
        anyhow::ensure!(Instant::now() < end, "not in time: {hours:?}");
        sleep(Duration::from_millis(200)).await;
    }
    let table = stack.run(&["stats"]).await?;
    let last: Vec<&str> = table.lines().last().unwrap_or_default().split_whitespace().collect();
    assert_eq!(last, ["all", "3", "1", "1", "1"], "{table}");
    Ok(())
}

#[tokio::test]
async fn who_is_signed_out_is_out_on_every_gateway() -> anyhow::Result<()> {
    const EVERYWHERE: Duration = Duration::from_mins(1);
    let dir = tempfile::tempdir()?;
    let stack = Setup::example(dir.path()).with(&["--gateways", "2"]).start().await?;
    let gateways = objects(&stack.run_here(&["gateways", "list", "--json"]).await?)?;
    let urls: Vec<&str> = gateways.iter().filter_map(|gateway| gateway["url"].as_str()).collect();
    let [here, there] = urls[..] else { anyhow::bail!("not two gateways: {gateways:?}") };
    let old = stack.token("ann").await?;
    let (mut near, mut far) = (Socket::connect(here, &old).await?, Socket::connect(there, &old).await?);
    let mut other = Socket::connect(there, &stack.token("bob").await?).await?;
    // The other gateway has seen the token and remembers it.
    let far_rest = Rest::new(there, Some(old.clone()));
    assert_eq!(far_rest.get("/v1/me").await?.status, 200);

    // `iat` counts whole seconds: the old token is to be older than the call.
    sleep(Duration::from_millis(1_100)).await;
    let admin = Rest::new(here, Some(stack.admin_token().await?));
    let signed_out = admin.call(Method::DELETE, "/v1/users/ann/sessions", &Value::Null).await?;
    assert_eq!(signed_out.status, 204);
    let since = Instant::now();
    assert_eq!(near.closed().await?.code, Some(4505));
    let refused = Rest::new(here, Some(old.clone())).get("/v1/me").await?;
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (401, &json!("bad_token")));
    assert_eq!(far.closed_within(EVERYWHERE).await?.code, Some(4505));
    while far_rest.get("/v1/me").await?.status != 401 {
        anyhow::ensure!(since.elapsed() < EVERYWHERE, "the old token still opens the other gateway");
        sleep(Duration::from_millis(250)).await;
    }
    let end = Instant::now() + SOON;
    let anew = loop {
        let token = stack.token("ann").await?;
        if Rest::new(there, Some(token.clone())).get("/v1/me").await?.status == 200 {
            break token;
        }
        anyhow::ensure!(Instant::now() < end, "a new token is refused");
        sleep(Duration::from_millis(250)).await;
    };
    Socket::connect(here, &anew).await?.ack("presence.unsubscribe", json!({})).await?;
    other.ack("presence.unsubscribe", json!({})).await?;
    Ok(())
}
