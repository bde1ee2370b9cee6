//! The whole product in one story: ann and bob, each on two devices of two gateways, walk through every row of
//! `docs/product.md` on a running `chatctl local`. A row is named where the story comes to it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hyper::Method;
use serde_json::{Value, json};
use tests::polling::{EventStream, Poller};
use tests::stack::Setup;
use tests::talk::{SOON, direct, eventually, group, must, objects, refusal, say};
use tests::{Rest, Socket, Stack, chatctl, workspace};
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use uuid::Uuid;

/// How long a gateway may take to hear of a sign-out that another one made.
const EVERYWHERE: Duration = Duration::from_mins(1);

/// A manifest that pushes.
const PUSH: &str = "  push:\n    fcm: { serviceAccountSecretRef: { name: fcm } }\n";

struct Story {
    stack: Stack,
    /// Where the two gateways are.
    here: String,
    there: String,
    ann: Socket,
    tablet: Socket,
    bob: Socket,
    laptop: Socket,
    ann_rest: Rest,
    bob_rest: Rest,
    /// The DIRECT chat of ann and bob.
    chat: String,
    /// The group of ann, bob and eve.
    club: String,
    rows: Vec<&'static str>,
}

impl Story {
    /// Everybody arrives: ann and bob with a device on each gateway.
    async fn begin(stack: Stack) -> anyhow::Result<Self> {
        let gateways = objects(&stack.run_here(&["gateways", "list", "--json"]).await?)?;
        let urls: Vec<&str> = gateways.iter().filter_map(|gateway| gateway["url"].as_str()).collect();
        let [here, there] = urls[..] else { anyhow::bail!("not two gateways: {gateways:?}") };
        let (ann_token, bob_token) = (stack.token("ann").await?, stack.token("bob").await?);
        Ok(Self {
            here: here.to_owned(),
            there: there.to_owned(),
            ann: Socket::connect(here, &ann_token).await?,
            tablet: Socket::connect(there, &ann_token).await?,
            bob: Socket::connect(here, &bob_token).await?,
            laptop: Socket::connect(there, &bob_token).await?,
            ann_rest: stack.rest("ann").await?,
            bob_rest: stack.rest("bob").await?,
            chat: direct("ann", "bob")?,
            club: String::new(),
            rows: Vec::new(),
            stack,
        })
    }

    fn row(&mut self, row: &'static str) {
        self.rows.push(row);
    }

    /// Ann says something to bob; all four devices show it, ann's other one too. Returns its seq.
    async fn tell_bob(&mut self, mut d: Value) -> anyhow::Result<u64> {
        d["chat_id"] = json!(self.chat);
        let said = say(&mut self.ann, d).await?;
        for device in [&mut self.tablet, &mut self.bob, &mut self.laptop] {
            while device.push("message").await? != said {}
        }
        said["seq"].as_u64().context("no seq")
    }
}

async fn goodbye(session: &mut Socket) -> anyhow::Result<()> {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    session.send_raw(Message::Close(Some(frame))).await?;
    session.closed().await.map(drop)
}

#[tokio::test]
async fn ann_and_bob_walk_through_the_whole_product() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Setup::extended(dir.path(), PUSH)?.with(&["--gateways", "2"]).start().await?;
    let mut story = Story::begin(stack).await?;
    they_write_to_each_other(&mut story).await?;
    they_found_a_club(&mut story).await?;
    they_watch_the_ticks(&mut story).await?;
    they_look_back(&mut story).await?;
    they_see_each_other_come_and_go(&mut story).await?;
    bob_is_on_a_bad_network(&mut story).await?;
    bob_puts_the_phone_away(&mut story).await?;
    the_backend_steps_in(&mut story).await?;
    let mut story = Box::pin(the_power_goes(story)).await?;
    a_gateway_is_taken_away(&mut story).await?;
    ann_wants_to_be_forgotten(&mut story).await?;
    the_operator_plans(&mut story, dir.path()).await?;
    let rows = story.rows.clone();
    ensure!(story.stack.interrupt().await?.success(), "it ends well");
    time_passes().await?;
    let told: BTreeSet<String> = rows.into_iter().chain(["Retention with `first_seq`"]).map(str::to_owned).collect();
    assert_eq!(told, rows_of_the_product()?);
    Ok(())
}

async fn they_write_to_each_other(story: &mut Story) -> anyhow::Result<()> {
    story.row("Chats of two and groups, roles, types, edits");
    // The first message begins the chat, on every device of both.
    let first = say(&mut story.ann, json!({ "to": "bob", "content": "hello bob" })).await?;
    for device in [&mut story.tablet, &mut story.bob, &mut story.laptop] {
        assert_eq!(device.push("message").await?, first);
    }
    story.row("Routing between gateways");
    let cat = json!({ "url": "https://files.example/cat.png", "name": "cat.png", "mime_type": "image/png",
        "size_bytes": 2048, "width": 64, "height": 48 });
    let image = json!({ "content_type": "IMAGE", "content": "my red cat", "attachment": cat });
    let seq = story.tell_bob(image).await?;
    let shown = story.bob_rest.get(&format!("/v1/chats/{}/messages/{seq}", story.chat)).await?.body;
    assert_eq!((&shown["content_type"], &shown["attachment"]), (&json!("IMAGE"), &cat));
    let notes = json!({ "url": "https://files.example/a.pdf", "name": "a.pdf", "mime_type": "application/pdf",
        "size_bytes": 9 });
    story.tell_bob(json!({ "content_type": "FILE", "content": "", "attachment": notes })).await?;

    story.row("Gapless seq, idempotent sends");
    let body = json!({ "message_id": Uuid::now_v7().to_string(), "content": "sent twice, there once" });
    let path = format!("/v1/chats/{}/messages", story.chat);
    let (sent, again) = (story.bob_rest.post(&path, &body).await?, story.bob_rest.post(&path, &body).await?);
    assert_eq!((sent.status.as_u16(), again.status.as_u16(), &sent.body), (201, 200, &again.body));
    assert_eq!(sent.body["seq"], seq + 2, "one after the other, no gap");

    let change = json!({ "chat_id": story.chat, "seq": 1, "content": "hello, dear bob" });
    story.ann.ack("edit", change).await?;
    let edited = story.laptop.push("message.updated").await?;
    assert_eq!((&edited["content"], &edited["rev"]), (&json!("hello, dear bob"), &json!(1)));
    story.ann.ack("delete", json!({ "chat_id": story.chat, "seq": seq + 1 })).await?;
    assert_eq!(story.laptop.push("message.deleted").await?["rev"], 2);
    let refused = story.bob.request("edit", json!({ "chat_id": story.chat, "seq": 1, "content": "mine" })).await?;
    assert_eq!(refused["d"]["code"], "forbidden");
    Ok(())
}

async fn they_found_a_club(story: &mut Story) -> anyhow::Result<()> {
    story.club = group(&story.ann_rest, &["bob", "eve"]).await?;
    let told = loop {
        // Their chat of two was told of before.
        let told = story.laptop.push("chat").await?;
        if told["chat"]["chat_id"] == story.club.as_str() {
            break told;
        }
    };
    assert_eq!(told["change"]["kind"], "created");
    while story.bob.push("message").await?["system"]["kind"] != "created" {}
    let club = format!("/v1/chats/{}", story.club);
    // Bob may not, ann may; then bob may too.
    let rename = json!({ "name": "the cat club" });
    let refused = story.bob_rest.call(Method::PATCH, &club, &rename).await?;
    assert_eq!(refusal(&refused), (403, "forbidden"));
    let alone = story.ann_rest.call(Method::PUT, &format!("{club}/members/ann"), &json!({ "role": "MEMBER" })).await?;
    assert_eq!(refusal(&alone), (409, "last_admin"));
    must(&story.ann_rest, Method::PUT, &format!("{club}/members/bob"), &json!({ "role": "ADMIN" })).await?;
    let renamed = must(&story.bob_rest, Method::PATCH, &club, &rename).await?;
    assert_eq!((&renamed["name"], &renamed["role"]), (&json!("the cat club"), &json!("ADMIN")));
    // Dan comes late and sees nothing of before; he leaves and sees nothing of after.
    must(&story.bob_rest, Method::PUT, &format!("{club}/members/dan"), &json!({ "role": "MEMBER" })).await?;
    let dan = story.stack.rest("dan").await?;
    let seen = dan.get(&format!("{club}/messages")).await?.body;
    let kinds: Vec<&Value> =
        seen["items"].as_array().context("no items")?.iter().map(|one| &one["system"]["kind"]).collect();
    assert_eq!(kinds, [&json!("member_added")]);
    must(&dan, Method::DELETE, &format!("{club}/members/dan"), &Value::Null).await?;
    say(&mut story.ann, json!({ "chat_id": story.club, "content": "dan is gone" })).await?;
    assert_eq!(dan.get(&format!("{club}/messages")).await?.body["items"].as_array().map(Vec::len), Some(2));
    Ok(())
}

async fn they_watch_the_ticks(story: &mut Story) -> anyhow::Result<()> {
    story.row("Receipts, N of M, list of readers");
    let path = format!("/v1/chats/{}", story.chat);
    let seq = story.tell_bob(json!({ "content": "did you get this?" })).await?;
    let before = story.bob_rest.get(&path).await?.body["unread"].as_u64().context("no unread")?;
    story.bob.ack("receipt", json!({ "chat_id": story.chat, "delivered": seq })).await?;
    let ticks = |delivered: u64, read: u64| -> Value {
        json!({ "chat_id": story.chat, "user": "bob", "delivered": delivered, "read": read })
    };
    while story.tablet.push("receipt").await? != ticks(seq, seq - 1) {}
    story.laptop.ack("receipt", json!({ "chat_id": story.chat, "read": seq })).await?;
    while story.tablet.push("receipt").await? != ticks(seq, seq) {}
    let read = eventually(&story.bob_rest, &path, |chat| chat["unread"] == 0).await?;
    assert!(before > 0 && read["read"] == seq, "{before} were unread: {read}");

    let said = say(&mut story.ann, json!({ "chat_id": story.club, "content": "who reads this?" })).await?;
    story.bob.ack("receipt", json!({ "chat_id": story.club, "read": said["seq"] })).await?;
    let (club, seq) = (json!(story.club), &said["seq"]);
    let one_of_two = json!({ "chat_id": club, "seq": seq, "delivered": 1, "read": 1, "of": 2 });
    while story.ann.push("receipt.summary").await? != one_of_two {}
    let receipts = format!("/v1/chats/{}/messages/{seq}/receipts", story.club);
    let list = eventually(&story.ann_rest, &receipts, |page| page["read"] == 1).await?;
    let expected = json!([{ "user": "bob", "status": "READ" }, { "user": "eve", "status": "SENT" }]);
    assert_eq!(list["items"], expected);
    Ok(())
}

async fn they_look_back(story: &mut Story) -> anyhow::Result<()> {
    story.row("History, search in own chats only");
    let path = format!("/v1/chats/{}/messages", story.chat);
    let seqs = |page: &Value| -> Vec<u64> {
        page["items"].as_array().into_iter().flatten().filter_map(|message| message["seq"].as_u64()).collect()
    };
    let newest = story.bob_rest.get(&format!("{path}?limit=2")).await?.body;
    assert_eq!((seqs(&newest), &newest["has_more"]), (vec![5, 4], &json!(true)));
    assert_eq!(seqs(&story.bob_rest.get(&format!("{path}?before=4&limit=2")).await?.body), [3, 2]);
    assert_eq!(seqs(&story.bob_rest.get(&format!("{path}?after=1&limit=3")).await?.body), [2, 3, 4]);
    // A caption is found as any text, an edit by its new words, and only by those who may.
    let found = eventually(&story.bob_rest, "/v1/search?q=RED%20cat", |page| page["items"] != json!([])).await?;
    assert_eq!(found["items"][0]["highlights"], json!([[3, 6], [7, 10]]));
    eventually(&story.bob_rest, "/v1/search?q=dear", |page| page["items"] != json!([])).await?;
    let (chat, club) = (&story.chat, &story.club);
    for (query, count) in [
        (format!("q=this&chat_id={chat}"), 1),
        (format!("q=this&chat_id={club}&sender=ann"), 1),
        ("q=this".to_owned(), 2),
        ("q=this&sender=bob".to_owned(), 0),
        ("q=this&to=2020-01-01T00:00:00.000Z".to_owned(), 0),
        ("q=this&from=2020-01-01T00:00:00.000Z".to_owned(), 2),
    ] {
        let has_all = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == count);
        eventually(&story.bob_rest, &format!("/v1/search?{query}"), has_all).await?;
    }
    let dan = story.stack.rest("dan").await?;
    assert_eq!(dan.get("/v1/search?q=this").await?.body["items"], json!([]), "he had left");
    Ok(())
}

async fn they_see_each_other_come_and_go(story: &mut Story) -> anyhow::Result<()> {
    story.row("Presence, typing, last seen");
    let watched = json!({ "users": ["bob", "stranger"], "chats": [story.chat] });
    let presence = story.ann.ack("presence.subscribe", watched).await?["presence"].clone();
    assert_eq!(presence, json!({ "bob": { "status": "online" }, "stranger": { "status": "unknown" } }));
    story.bob.ack("typing", json!({ "chat_id": story.chat, "active": true })).await?;
    assert_eq!(story.ann.push("typing").await?["user"], "bob");
    let quiet = story.tablet.drain().await?;
    assert!(quiet.iter().all(|frame| frame["type"] != "typing"), "not on that screen: {quiet:?}");

    must(&story.bob_rest, Method::PATCH, "/v1/me", &json!({ "last_seen_visible": false })).await?;
    goodbye(&mut story.bob).await?;
    let shown = story.ann_rest.get("/v1/presence?users=bob").await?.body;
    assert_eq!(shown["presence"]["bob"], json!({ "status": "online" }), "the laptop is still there");
    goodbye(&mut story.laptop).await?;
    assert_eq!(story.ann.push("presence").await?, json!({ "user": "bob", "status": "offline" }), "when is hidden");
    must(&story.bob_rest, Method::PATCH, "/v1/me", &json!({ "last_seen_visible": true })).await?;
    let shown = story.ann_rest.get("/v1/presence?users=bob").await?.body;
    assert!(shown["presence"]["bob"]["last_seen_at"].is_string(), "{shown}");
    Ok(())
}

async fn bob_is_on_a_bad_network(story: &mut Story) -> anyhow::Result<()> {
    story.row("WebSocket, long poll, SSE");
    let mut phone = Poller::begin(&story.bob_rest).await?;
    let token = story.stack.token("bob").await?;
    let mut stream = EventStream::open(&story.there, &token, None).await?;
    stream.push("hello").await?;
    let said = say(&mut story.ann, json!({ "chat_id": story.chat, "content": "over HTTP" })).await?;
    // What came shortly before may come again first.
    let end = Instant::now() + SOON;
    while !phone.poll(&story.bob_rest, 10).await?.iter().any(|frame| frame["d"] == said) {
        ensure!(Instant::now() < end, "it does not come by poll");
    }
    while stream.push("message").await? != said {}
    Ok(())
}

/// Reads what became of a message's pushes, as (member, outcome).
async fn pushes(story: &Story, chat: &str, seq: &Value) -> anyhow::Result<Vec<(String, String)>> {
    let end = Instant::now() + SOON;
    loop {
        let log = objects(&story.stack.run(&["push", "log", "--json", "--chat", chat]).await?)?;
        if let Some(record) = log.iter().find(|record| record["seq"] == *seq) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let outcomes = record["outcomes"].as_array().context("no outcomes")?.iter();
            let mut told: Vec<_> = outcomes.map(|one| (text(&one["member"]), text(&one["outcome"]))).collect();
            told.sort();
            return Ok(told);
        }
        ensure!(Instant::now() < end, "not in time: the push of {seq} in {log:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

async fn bob_puts_the_phone_away(story: &mut Story) -> anyhow::Result<()> {
    story.row("Devices, blocks, mutes");
    let device = json!({ "platform": "fcm", "push_token": "token-of-the-phone" });
    must(&story.bob_rest, Method::PUT, "/v1/devices/phone", &device).await?;
    assert_eq!(must(&story.bob_rest, Method::GET, "/v1/devices", &Value::Null).await?["items"][0]["device"], "phone");
    let named = |told: &[(&str, &str)]| -> Vec<(String, String)> {
        told.iter().map(|(member, outcome)| ((*member).to_owned(), (*outcome).to_owned())).collect()
    };
    let club = story.club.clone();
    let said = say(&mut story.ann, json!({ "chat_id": club, "content": "bob, look!" })).await?;
    assert_eq!(pushes(story, &club, &said["seq"]).await?, named(&[("bob", "sent"), ("eve", "no_device")]));
    must(&story.bob_rest, Method::PUT, &format!("/v1/chats/{club}/mute"), &json!({})).await?;
    let said = say(&mut story.ann, json!({ "chat_id": club, "content": "bob?" })).await?;
    assert_eq!(pushes(story, &club, &said["seq"]).await?, named(&[("bob", "muted"), ("eve", "no_device")]));
    must(&story.bob_rest, Method::DELETE, &format!("/v1/chats/{club}/mute"), &Value::Null).await?;

    // A block: nothing more in the chat of two, no presence, no push from the group.
    must(&story.bob_rest, Method::PUT, "/v1/blocks/ann", &Value::Null).await?;
    while story.ann.push("presence").await? != json!({ "user": "bob", "status": "unknown" }) {}
    let refused = story.ann.request("send", json!({ "chat_id": story.chat, "content": "sorry" })).await?;
    assert_eq!(refused["d"]["code"], "blocked");
    let said = say(&mut story.ann, json!({ "chat_id": club, "content": "sorry" })).await?;
    assert_eq!(pushes(story, &club, &said["seq"]).await?, named(&[("bob", "blocked"), ("eve", "no_device")]));
    must(&story.bob_rest, Method::DELETE, "/v1/blocks/ann", &Value::Null).await?;
    Ok(())
}

async fn the_backend_steps_in(story: &mut Story) -> anyhow::Result<()> {
    story.row("The backend acts for users");
    let acting = story.stack.admin().await?.acting_as("bob");
    let me = must(&acting, Method::GET, "/v1/me", &Value::Null).await?;
    assert_eq!(me["user"], "bob");
    let tested = objects(&story.stack.run(&["push", "test", "bob", "--json"]).await?)?;
    assert_eq!(tested, [json!({ "device": "phone", "platform": "fcm", "outcome": "sent" })]);

    story.row("Store, log, index, push, analytics");
    let end = Instant::now() + SOON;
    loop {
        let hours = objects(&story.stack.run(&["stats", "--json"]).await?)?;
        let sum = |name: &str| hours.iter().filter_map(|hour| hour[name].as_u64()).sum::<u64>();
        // Of messages: six between the two, five in the club; SYSTEM messages do not count.
        if ["messages", "edits", "deletes", "chats"].map(sum) == [11, 1, 1, 2] {
            break;
        }
        ensure!(Instant::now() < end, "not in time: {hours:?}");
        sleep(Duration::from_millis(200)).await;
    }

    story.row("Limits and codes are one table");
    let refused = story.ann.request("send", json!({ "to": "bob", "content": "x".repeat(16 * 1024 + 1) })).await?;
    assert_eq!((&refused["d"]["code"], &refused["d"]["field"]), (&json!("content_too_large"), &json!("content")));
    for name in ["openapi", "asyncapi"] {
        let served = Rest::new(&story.here, None).get(&format!("/v1/{name}.json")).await?.body;
        let kept = std::fs::read_to_string(workspace().join(format!("docs/{name}.json")))?;
        assert_eq!(served, serde_json::from_str::<Value>(&kept)?, "{name}");
    }

    story.row("Signing out, on every gateway");
    story.tablet = Socket::connect(&story.there, &story.stack.token("ann").await?).await?;
    must(&story.stack.admin().await?, Method::DELETE, "/v1/users/ann/sessions", &Value::Null).await?;
    for device in [&mut story.ann, &mut story.tablet] {
        assert_eq!(device.closed_within(EVERYWHERE).await?.code, Some(4505));
    }
    Ok(())
}

/// Kills everything at once, starts it again, and lets everybody in anew.
async fn the_power_goes(story: Story) -> anyhow::Result<Story> {
    let Story { stack, club, chat, mut rows, .. } = story;
    rows.push("No acknowledged message lost or shown twice");
    let mut eve = stack.connect("eve").await?;
    let mut acknowledged = Vec::new();
    for n in 0..20 {
        let d = json!({ "chat_id": club, "content": format!("before the dark {n}") });
        acknowledged.push(eve.ack("send", d).await?["message_id"].clone());
    }
    let stack = stack.kill().await?.start().await?;
    // A token from before the sign-out is refused; the seconds of a new one have to be later.
    let end = Instant::now() + SOON;
    while stack.rest("ann").await?.get("/v1/me").await?.status != 200 {
        ensure!(Instant::now() < end, "a new token is refused");
        sleep(Duration::from_millis(100)).await;
    }
    let mut story = Story { chat, club, rows, ..Story::begin(stack).await? };
    let path = format!("/v1/chats/{}/messages?limit=200", story.club);
    let kept = story.bob_rest.get(&path).await?.body;
    let items = kept["items"].as_array().context("no items")?;
    for message_id in &acknowledged {
        assert_eq!(items.iter().filter(|message| message["message_id"] == *message_id).count(), 1);
    }
    let head = &kept["head_seq"];
    let synced = story.laptop.ack("sync", json!({ "have": { story.club.clone(): 3 } })).await?;
    assert_eq!((&synced["recovered"], &synced["more"]), (&json!(true), &json!([])));
    let mut seqs = Vec::new();
    while seqs.last() != Some(head) {
        seqs.push(story.laptop.push("message").await?["seq"].clone());
    }
    assert_eq!(seqs, (4..=head.as_u64().context("no head")?).map(|seq| json!(seq)).collect::<Vec<_>>());
    Ok(story)
}

async fn a_gateway_is_taken_away(story: &mut Story) -> anyhow::Result<()> {
    story.row("Scale-in that moves connections gently");
    story.stack.run_here(&["gateways", "drain", "gateway-1"]).await?;
    for device in [&mut story.tablet, &mut story.laptop] {
        assert_eq!(device.push("reconnect").await?["reason"], "drain");
    }
    let said = say(&mut story.ann, json!({ "chat_id": story.chat, "content": "still there?" })).await?;
    let before = said["seq"].as_u64().context("no seq")? - 1;
    for (device, user) in [(&mut story.tablet, "ann"), (&mut story.laptop, "bob")] {
        *device = story.stack.connect(user).await?;
        device.ack("sync", json!({ "have": { story.chat.clone(): before } })).await?;
        assert_eq!(device.push("message").await?, said);
    }
    Ok(())
}

async fn ann_wants_to_be_forgotten(story: &mut Story) -> anyhow::Result<()> {
    story.row("Erasure with a report");
    let report = &objects(&story.stack.run(&["erase-user", "ann", "--json"]).await?)?[0];
    assert_eq!((&report["status"], &report["chats"]), (&json!("done"), &json!(2)), "{report}");
    for device in [&mut story.ann, &mut story.tablet] {
        assert_eq!(device.closed_within(EVERYWHERE).await?.code, Some(4505));
    }
    let mut emptied = 0;
    for chat in [&story.chat, &story.club] {
        let page = story.bob_rest.get(&format!("/v1/chats/{chat}/messages?limit=200")).await?.body;
        for message in page["items"].as_array().context("no items")? {
            let is_hers = message["sender"] == "ann" && message["content_type"] != "SYSTEM";
            assert!(!is_hers || message["content"] == "" && message["deleted_at"].is_string(), "{message}");
            emptied += u64::from(is_hers);
        }
    }
    // One of them she had deleted herself.
    assert_eq!(report["messages"], emptied - 1, "{report}");
    let club = story.bob_rest.get(&format!("/v1/chats/{}", story.club)).await?.body;
    let members: Vec<&Value> =
        club["members"].as_array().context("no members")?.iter().map(|one| &one["user"]).collect();
    assert_eq!(members, [&json!("bob"), &json!("eve")], "the club goes on without her");
    assert_eq!(story.bob_rest.get("/v1/search?q=dear").await?.body["items"], json!([]));
    Ok(())
}

async fn the_operator_plans(story: &mut Story, dir: &std::path::Path) -> anyhow::Result<()> {
    story.row("Manifest checked with line and field");
    let wrong = dir.join("wrong.yaml");
    let example = std::fs::read_to_string(workspace().join("examples/chatcluster.yaml"))?;
    std::fs::write(&wrong, format!("{example}  retention: {{ messages: soon }}\n"))?;
    let data = dir.join("never");
    let checked =
        Command::new(chatctl()?).args(["local", "-f"]).arg(&wrong).arg("--data-dir").arg(&data).output().await?;
    let said = String::from_utf8(checked.stderr)?;
    assert_eq!(checked.status.code(), Some(2), "{said}");
    assert!(said.contains("line ") && said.contains("spec.retention.messages"), "{said}");
    story.row("What a load needs, from measured costs");
    let load = ["size", "--users", "1M", "--messages-a-day", "20M", "--json"];
    let plan: Value = serde_json::from_slice(&Command::new(chatctl()?).args(load).output().await?.stdout)?;
    assert!(plan["plan"]["gateways"].as_u64().is_some_and(|gateways| gateways > 0), "{plan}");
    Ok(())
}

/// Another stack, where messages live for a few seconds.
async fn time_passes() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Setup::extended(dir.path(), "  retention: { messages: 3s }\n")?.start().await?;
    let mut ann = stack.connect("ann").await?;
    let bob = stack.rest("bob").await?;
    let said = say(&mut ann, json!({ "to": "bob", "content": "for now" })).await?;
    let path = format!("/v1/chats/{}", said["chat_id"].as_str().context("no chat_id")?);
    let aged = eventually(&bob, &path, |chat| chat["first_seq"] == 2).await?;
    assert_eq!((&aged["unread"], &aged["head_seq"], aged.get("last_message")), (&json!(0), &json!(1), None));
    assert_eq!(bob.get("/v1/search?q=now").await?.body["items"], json!([]));
    ensure!(stack.interrupt().await?.success(), "it ends well");
    Ok(())
}

/// The rows of the table in `docs/product.md`.
fn rows_of_the_product() -> anyhow::Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(workspace().join("docs/product.md"))?;
    let table = text.split("## ").next().unwrap_or_default();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).skip(1);
    Ok(rows.map(str::to_owned).collect())
}

#[test]
fn no_row_of_the_product_is_forgotten() -> anyhow::Result<()> {
    let rows = rows_of_the_product()?;
    assert!(rows.len() > 15, "{rows:?}");
    let story = include_str!("walk.rs");
    let forgotten: Vec<_> = rows.iter().filter(|row| !story.contains(&format!("\"{row}\""))).collect();
    assert!(forgotten.is_empty(), "the walk does not come to {forgotten:?}");
    Ok(())
}
