//! Documents and wire agree: every operation and every frame that the served documents describe goes over the wire, and
//! nothing goes over it that they do not describe.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use chat_core::id::{ChatId, UserId};
use chat_core::push::Notification;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tests::polling::EventStream;
use tests::socket::Recorded;
use tests::stack::Setup;
use tests::{Answer, Call, Contract, Rest, Socket, Stack};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use uuid::Uuid;

/// How long a projection of the log may take to show.
const SOON: Duration = Duration::from_secs(30);

/// Turns push on, so that its calls are there.
const PUSH: &str = "  push:\n    fcm: { serviceAccountSecretRef: { name: fcm } }\n";

/// What no black box can bring about: it takes a sequencer that is behind.
const UNREACHED: [&str; 1] = ["sendMessage 202"];

/// A running stack, and the judge of what it says.
struct World {
    stack: Stack,
    contract: Contract,
    _dir: tempfile::TempDir,
}

impl World {
    async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let stack = Setup::extended(dir.path(), PUSH)?.start().await?;
        let contract = Contract::fetch(&stack.url).await?;
        Ok(Self { stack, contract, _dir: dir })
    }

    /// Makes a call and requires a status.
    async fn call(&self, rest: &Rest, status: u16, call: Call) -> anyhow::Result<Answer> {
        let answer = self.contract.call(rest, &call).await?;
        anyhow::ensure!(answer.status == status, "expected {status}: {call:?} was answered with {answer:?}");
        Ok(answer)
    }

    /// Makes a call that is refused with a code.
    async fn refused(&self, rest: &Rest, status: u16, code: &str, call: Call) -> anyhow::Result<()> {
        let answer = self.call(rest, status, call).await?;
        anyhow::ensure!(answer.body["code"] == code, "expected {code}: {answer:?}");
        Ok(())
    }

    /// Repeats a call until its answer is as wanted.
    async fn eventually(&self, rest: &Rest, call: Call, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let end = Instant::now() + SOON;
        loop {
            let answer = self.call(rest, 200, call.clone()).await?;
            if wanted(&answer.body) {
                return Ok(answer.body);
            }
            anyhow::ensure!(Instant::now() < end, "not in time: {call:?}: {answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn session(&self, user: &str) -> anyhow::Result<Socket> {
        Socket::record(&self.stack.url, &self.stack.token(user).await?).await
    }

    /// Checks all that went over a session.
    fn judge(&self, session: &mut Socket) -> anyhow::Result<()> {
        self.contract.check_session(&session.recorded())
    }
}

fn text<'a>(value: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    value[field].as_str().with_context(|| format!("no {field} in {value}"))
}

fn now_v7() -> String {
    Uuid::now_v7().to_string()
}

fn direct(a: &str, b: &str) -> anyhow::Result<String> {
    Ok(ChatId::direct(&UserId::new(a)?, &UserId::new(b)?).to_string())
}

fn image() -> Value {
    json!({ "url": "https://files.example/a.png", "name": "a.png", "mime_type": "image/png", "size_bytes": 70,
        "width": 1, "height": 1 })
}

/// Chats and members. Returns a group of ann, the ADMIN, and bob.
async fn chats(world: &World, ann: &Rest) -> anyhow::Result<String> {
    let id = now_v7();
    let body = json!({ "type": "GROUP", "name": "club", "members": ["bob"], "chat_id": id });
    world.call(ann, 201, Call::of("createChat").body(body.clone())).await?;
    world.call(ann, 200, Call::of("createChat").body(body)).await?;
    let direct = json!({ "type": "DIRECT", "members": ["bob"] });
    world.call(ann, 201, Call::of("createChat").header("Idempotency-Key", now_v7()).body(direct)).await?;
    let page = world.call(ann, 200, Call::of("listChats").query("limit", "1")).await?;
    let next = text(&page.body, "next_cursor")?;
    world.call(ann, 200, Call::of("listChats").query("cursor", next)).await?;

    let rename = Call::of("renameChat").at("chat_id", &id).header("Idempotency-Key", now_v7());
    world.call(ann, 200, rename.body(json!({ "name": "the club" }))).await?;
    let set = Call::of("setMember").at("chat_id", &id).at("user", "d|n@x");
    world.call(ann, 200, set.body(json!({ "role": "ADMIN" }))).await?;
    world.call(ann, 204, Call::of("removeMember").at("chat_id", &id).at("user", "d|n@x")).await?;
    let chat = world.call(ann, 200, Call::of("readChat").at("chat_id", &id)).await?;
    anyhow::ensure!(chat.body["members"].as_array().is_some_and(|members| members.len() == 2), "{chat:?}");
    let mute = Call::of("muteChat").at("chat_id", &id);
    world.call(ann, 204, mute.clone().body(json!({}))).await?;
    world.call(ann, 204, mute.body(json!({ "until": "2099-01-01T00:00:00.000Z" }))).await?;
    let muted = world.call(ann, 200, Call::of("readChat").at("chat_id", &id)).await?;
    anyhow::ensure!(muted.body["muted_until"] == "2099-01-01T00:00:00.000Z", "{muted:?}");
    world.call(ann, 204, Call::of("unmuteChat").at("chat_id", &id)).await?;
    Ok(id)
}

/// Messages of a group of ann and bob.
async fn messages(world: &World, ann: &Rest, bob: &Rest, chat_id: &str) -> anyhow::Result<()> {
    let of = |operation: &str| Call::of(operation).at("chat_id", chat_id);
    let body = json!({ "message_id": now_v7(), "content": "a wombat", "meta": { "k": [1, { "x": null }] } });
    let sent = world.call(ann, 201, of("sendMessage").body(body.clone())).await?;
    world.call(ann, 200, of("sendMessage").body(body)).await?;
    let picture = json!({ "content": "look", "content_type": "IMAGE", "attachment": image() });
    world.call(bob, 201, of("sendMessage").header("Idempotency-Key", now_v7()).body(picture)).await?;
    let seq = sent.body["seq"].to_string();
    let one = |operation: &str| of(operation).at("seq", &seq);
    world.call(bob, 200, of("listMessages").query("before", "3").query("limit", "2")).await?;
    world.call(bob, 200, of("listMessages").query("after", "0")).await?;
    world.call(bob, 200, of("listMessages")).await?;
    world.call(bob, 200, one("readMessage")).await?;
    world.call(ann, 200, one("listReceipts").query("limit", "1")).await?;

    let find = Call::of("searchMessages").query("q", "wombat").query("chat_id", chat_id).query("sender", "ann");
    let find = find.query("from", "2020-01-01T00:00:00Z").query("to", "2099-01-01T00:00:00Z").query("limit", "1");
    let found = world.eventually(bob, find, |page| page["items"] != json!([])).await?;
    anyhow::ensure!(found["items"][0]["highlights"] == json!([[2, 8]]), "{found}");

    let edited = one("editMessage").header("Idempotency-Key", now_v7());
    world.call(ann, 200, edited.body(json!({ "content": "a wombat, seen", "meta": {} }))).await?;
    world.call(ann, 204, one("deleteMessage")).await?;
    let gone = world.call(bob, 200, one("readMessage")).await?;
    anyhow::ensure!(gone.body["deleted_at"].is_string() && gone.body["rev"] == 2, "{gone:?}");
    Ok(())
}

/// What users have for themselves.
async fn own(world: &World, ann: &Rest) -> anyhow::Result<()> {
    world.call(ann, 200, Call::of("readMe")).await?;
    world.call(ann, 200, Call::of("changeMe").body(json!({ "last_seen_visible": false }))).await?;
    world.call(ann, 200, Call::of("readPresence").query("users", "ann,bob,nobody")).await?;
    for device in ["phone", "tablet"] {
        let put = Call::of("putDevice").at("device", device);
        world.call(ann, 200, put.body(json!({ "platform": "fcm", "push_token": format!("of-{device}") }))).await?;
    }
    world.call(ann, 200, Call::of("listDevices")).await?;
    world.call(ann, 204, Call::of("deleteDevice").at("device", "tablet")).await?;
    for user in ["mallory", "trudy"] {
        world.call(ann, 204, Call::of("blockUser").at("user", user)).await?;
    }
    let page = world.call(ann, 200, Call::of("listBlocks").query("limit", "1")).await?;
    let next = text(&page.body, "next_cursor")?;
    world.call(ann, 200, Call::of("listBlocks").query("cursor", next)).await?;
    world.call(ann, 204, Call::of("unblockUser").at("user", "trudy")).await?;
    Ok(())
}

/// Clients without a socket.
async fn without_a_socket(world: &World, ann: &Rest, bob: &Rest) -> anyhow::Result<()> {
    let begun = world.call(bob, 200, Call::of("pollEvents").query("wait", "0")).await?;
    let chat_id = direct("ann", "bob")?;
    let send = json!({ "id": 1, "type": "send", "d": { "to": "bob", "content": "without a socket" } });
    world.call(ann, 200, Call::of("postFrame").body(send)).await?;
    let poll = Call::of("pollEvents").query("cursor", text(&begun.body, "cursor")?).query("wait", "20");
    let polled = world.call(bob, 200, poll.query("presence", "ann")).await?;
    anyhow::ensure!(polled.body["frames"].as_array().is_some_and(|frames| !frames.is_empty()), "{polled:?}");
    let again = Call::of("pollEvents").header("Last-Event-ID", text(&polled.body, "cursor")?).query("wait", "0");
    world.call(bob, 200, again).await?;
    let sync = json!({ "id": 2, "type": "sync", "d": { "have": { chat_id: 0 }, "receipts": true } });
    let synced = world.call(bob, 200, Call::of("postFrame").body(sync)).await?;
    let kinds: Vec<&Value> =
        synced.body["frames"].as_array().into_iter().flatten().map(|frame| &frame["type"]).collect();
    anyhow::ensure!(kinds.first() == Some(&&json!("message")) && kinds.last() == Some(&&json!("ack")), "{kinds:?}");
    let nameless = json!({ "type": "send", "d": { "to": "bob", "content": "x", "content_type": "IMAGE" } });
    let failed = world.call(ann, 200, Call::of("postFrame").body(nameless)).await?;
    anyhow::ensure!(failed.body["frames"][0]["d"]["request"] == "send", "{failed:?}");

    let mut stream = EventStream::open(&world.stack.url, &world.stack.token("bob").await?, None).await?;
    let mut frames = 0;
    while frames < 2 {
        if let Some(frame) = stream.next().await?.context("the stream ended")?.frame {
            world.contract.check_frame(&frame, None)?;
            frames += 1;
            let more = json!({ "content": "to a stream" });
            world.call(ann, 201, Call::of("sendMessage").at("chat_id", direct("ann", "bob")?).body(more)).await?;
        }
    }
    Ok(())
}

/// The customer's backend, and the operator of the service.
async fn backend(world: &World) -> anyhow::Result<()> {
    let admin = world.stack.admin().await?;
    world.call(&admin, 204, Call::of("signOut").at("user", "zed")).await?;
    let period = Call::of("readStats").query("from", "2026-01-01T00:00:00Z").query("to", "2026-12-31T00:00:00Z");
    world.call(&admin, 200, period).await?;
    world.call(&admin, 200, Call::of("testPush").at("user", "ann")).await?;
    let outcomes = Call::of("listPushOutcomes").query("user", "ann").query("limit", "10");
    world.eventually(&admin, outcomes, |page| page["items"] != json!([])).await?;
    let by_chat = Call::of("listPushOutcomes").query("chat_id", direct("ann", "bob")?);
    world.call(&admin, 200, by_chat).await?;
    let erase = Call::of("eraseUser").at("user", "zed").header("Idempotency-Key", now_v7());
    let begun = world.call(&admin, 202, erase).await?;
    let report = Call::of("readReport").at("report_id", text(&begun.body, "report_id")?);
    world.eventually(&admin, report, |report| report["status"] == "done").await?;
    let ann = Call::of("readMe").header("Act-As", "ann");
    anyhow::ensure!(world.call(&admin, 200, ann).await?.body["user"] == "ann");
    Ok(())
}

/// The upgrade to a socket, seen as an operation.
async fn upgrade(world: &World) -> anyhow::Result<()> {
    let rest = Rest::new(&world.stack.url, None);
    world.refused(&rest, 426, "invalid_argument", Call::of("openSocket")).await?;
    let url = format!("{}/v1/ws", world.stack.url.replacen("http", "ws", 1).trim_end_matches('/'));
    let mut request = url.into_client_request()?;
    let offer = format!("chat.v1.json, bearer.{}", world.stack.token("ann").await?);
    request.headers_mut().insert("sec-websocket-protocol", offer.parse()?);
    let (_, response) = connect_async(request).await?;
    anyhow::ensure!(response.headers()["sec-websocket-protocol"] == "chat.v1.json", "{response:?}");
    let (parts, _) = response.into_parts();
    let answer =
        Answer { status: StatusCode::from_u16(parts.status.as_u16())?, headers: parts.headers, body: Value::Null };
    let operations = world.contract.operations()?;
    let operation = operations.iter().find(|(id, _)| id == "openSocket").context("no openSocket")?;
    world.contract.check_answer("openSocket", &operation.1, &answer)
}

/// A talk of ann and bob: every frame about messages, receipts, presence and typing.
async fn talk(world: &World, group: &str) -> anyhow::Result<()> {
    let (mut ann, mut bob) = (world.session("ann").await?, world.session("bob").await?);
    ann.request("ping", json!({ "active": true })).await?;
    let message_id = now_v7();
    let d = json!({ "to": "bob", "message_id": message_id, "content": "hello", "meta": { "k": 1 } });
    let chat_id = text(&ann.ack("send", d).await?, "chat_id")?.to_owned();
    let seq = loop {
        let message = bob.push("message").await?;
        if message["message_id"] == message_id.as_str() {
            break message["seq"].as_u64().context("no seq")?;
        }
    };
    let read = json!({ "chat_id": chat_id, "delivered": seq, "read": seq });
    bob.ack("receipt", read).await?;
    while ann.push("receipt").await?["read"] != seq {}
    let edit = json!({ "chat_id": chat_id, "seq": seq, "content": "hello!", "op_id": now_v7() });
    ann.ack("edit", edit).await?;
    bob.push("message.updated").await?;
    ann.ack("delete", json!({ "chat_id": chat_id, "seq": seq })).await?;
    bob.push("message.deleted").await?;

    ann.ack("send", json!({ "chat_id": group, "content": "all", "content_type": "FILE", "attachment": image() }))
        .await?;
    let head = loop {
        let message = bob.push("message").await?;
        if message["content"] == "all" {
            break message["seq"].clone();
        }
    };
    bob.ack("receipt", json!({ "chat_id": group, "read": head })).await?;
    while ann.push("receipt.summary").await?["read"] != 1 {}

    ann.ack("send", json!({ "to": "cleo", "content": "come" })).await?;
    while ann.push("message").await?["content"] != "come" {}
    ann.ack("presence.subscribe", json!({ "users": ["cleo", "nobody"], "chats": [group] })).await?;
    let mut cleo = world.session("cleo").await?;
    ann.push("presence").await?;
    world.judge(&mut cleo)?;
    bob.ack("typing", json!({ "chat_id": group, "active": true })).await?;
    ann.push("typing").await?;
    let nowhere = now_v7();
    let have = json!({ chat_id.clone(): [seq, 0], group: 0, nowhere: 5 });
    let synced = json!({ "have": have, "receipts": true, "limit": 1, "since": ann.hello["server_time"] });
    let synced = ann.ack("sync", synced).await?;
    anyhow::ensure!(synced["more"] != json!([]) && synced["gone"] != json!([]), "{synced}");
    let parts = json!({ "have": {}, "partial": true });
    ann.ack("sync", parts).await?;
    let unlisted = ann.ack("sync", json!({ "have": {} })).await?;
    anyhow::ensure!(unlisted["unlisted"] != json!([]), "{unlisted}");

    let members = json!({ "type": "GROUP", "name": "new", "members": ["bob"] });
    world.call(&world.stack.rest("ann").await?, 201, Call::of("createChat").body(members)).await?;
    bob.push("chat").await?;
    ann.ack("presence.unsubscribe", json!({ "users": ["cleo"] })).await?;
    ann.ack("presence.unsubscribe", json!({})).await?;

    ann.send_frame(&json!({ "type": "send", "d": { "chat_id": Uuid::now_v7(), "content": "to nobody" } })).await?;
    anyhow::ensure!(ann.push("error").await?["request"] == "send");
    let refused = ann.request("edit", json!({ "chat_id": chat_id, "seq": seq, "content": "gone" })).await?;
    anyhow::ensure!(refused["d"]["code"] == "message_not_found", "{refused}");
    reject(&mut ann, &chat_id).await?;
    world.judge(&mut ann)?;
    world.judge(&mut bob)
}

/// Has a change acknowledged that is refused in log order: an edit right behind the delete of the same message.
async fn reject(session: &mut Socket, chat_id: &str) -> anyhow::Result<()> {
    for _ in 0..20 {
        session.ack("send", json!({ "chat_id": chat_id, "content": "soon gone" })).await?;
        let seq = loop {
            let message = session.push("message").await?;
            if message["content"] == "soon gone" {
                break message["seq"].clone();
            }
        };
        let deleted = session.ask("delete", json!({ "chat_id": chat_id, "seq": seq })).await?;
        let edited = session.ask("edit", json!({ "chat_id": chat_id, "seq": seq, "content": "late" })).await?;
        session.reply(deleted).await?;
        // Where the delete was sequenced before the edit was checked, that is refused at once.
        if session.reply(edited).await?["type"] == "ack" {
            let rejected = session.push("message.rejected").await?;
            anyhow::ensure!(rejected["code"] == "message_not_found", "{rejected}");
            return Ok(());
        }
    }
    anyhow::bail!("no edit was acknowledged behind a delete")
}

/// What the server says of the session itself.
async fn sessions(world: &World) -> anyhow::Result<()> {
    let mut lobby = Socket::open(&world.stack.url, &[]).await?.recording();
    let early = lobby.request("sync", json!({ "have": {} })).await?;
    anyhow::ensure!(early["d"]["code"] == "unauthenticated", "{early}");
    let soon = world.stack.run_here(&["token", "--user", "cat", "--ttl", "55s"]).await?;
    lobby.ack("auth", json!({ "token": soon.trim() })).await?;
    lobby.push("token.expiring").await?;
    lobby.ack("auth", json!({ "token": world.stack.token("cat").await? })).await?;
    world.judge(&mut lobby)?;

    let gateways = world.stack.run_here(&["gateways", "list", "--json"]).await?;
    let gateway: Value = serde_json::from_str(gateways.lines().next().context("no gateway")?)?;
    let mut moved = Socket::record(text(&gateway, "url")?, &world.stack.token("dan").await?).await?;
    world.stack.run_here(&["gateways", "drain", text(&gateway, "name")?]).await?;
    moved.push("reconnect").await?;
    world.judge(&mut moved)
}

#[tokio::test]
async fn everything_that_is_described_goes_over_the_wire_as_described() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (ann, bob) = (world.stack.rest("ann").await?, world.stack.rest("bob").await?);
    let group = chats(&world, &ann).await.context("chats")?;
    messages(&world, &ann, &bob, &group).await.context("messages")?;
    own(&world, &ann).await.context("own")?;
    without_a_socket(&world, &ann, &bob).await.context("without a socket")?;
    upgrade(&world).await.context("upgrade")?;
    talk(&world, &group).await.context("talk")?;
    backend(&world).await.context("backend")?;
    sessions(&world).await.context("sessions")?;
    let unseen: Vec<String> = world.contract.unseen()?.into_iter().collect();
    assert_eq!(unseen, UNREACHED, "the documents describe what was not seen");
    Ok(())
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn new_group() -> Value {
    json!({ "type": "GROUP", "name": "club", "members": ["bob"] })
}

/// Creates a group with this instead of what is good.
fn create(field: &str, value: Value) -> Call {
    Call::of("createChat").body(with(new_group(), field, value))
}

/// Sends an image with this instead of what is good.
fn with_content(chat_id: &str, field: &str, value: Value) -> Call {
    let body = json!({ "content": "x", "content_type": "IMAGE", "attachment": image() });
    Call::of("sendMessage").at("chat_id", chat_id).body(with(body, field, value))
}

/// The same, with this in its attachment.
fn with_file(chat_id: &str, field: &str, value: Value) -> Call {
    with_content(chat_id, "attachment", with(image(), field, value))
}

fn put_device(name: &str, token: &str) -> Call {
    Call::of("putDevice").at("device", name).body(json!({ "platform": "fcm", "push_token": token }))
}

/// Returns calls with an argument that the document does not allow.
fn invalid_calls(id: &str) -> Vec<Call> {
    vec![
        create("name", json!("")),
        create("type", json!("CHANNEL")),
        create("members", json!(["a b"])),
        create("members", json!("bob")),
        create("chat_id", json!("nope")),
        Call::of("createChat").body(json!({ "type": "GROUP", "name": "no members" })),
        Call::of("createChat").body(json!([])),
        Call::of("createChat").body(new_group()).header("Idempotency-Key", "1"),
        Call::of("renameChat").at("chat_id", id).body(json!({ "name": "" })),
        Call::of("setMember").at("chat_id", id).at("user", "bob").body(json!({ "role": "OWNER" })),
        Call::of("setMember").at("chat_id", id).at("user", "b b").body(json!({ "role": "MEMBER" })),
        Call::of("listChats").query("limit", "0"),
        Call::of("listChats").query("limit", "201"),
        Call::of("listChats").query("limit", "ten"),
        Call::of("listBlocks").query("limit", "201"),
        Call::of("readChat").at("chat_id", "nope"),
        Call::of("readMessage").at("chat_id", id).at("seq", "first"),
        Call::of("listMessages").at("chat_id", id).query("before", "-1"),
        Call::of("listReceipts").at("chat_id", id).at("seq", "1").query("limit", "0"),
        with_content(id, "content", json!(7)),
        with_content(id, "content_type", json!("SYSTEM")),
        with_content(id, "message_id", json!("7")),
        with_content(id, "meta", json!("text")),
        with_file(id, "url", json!("ftp://files.example/a")),
        with_file(id, "url", json!(format!("https://files.example/{}", "a".repeat(2_048)))),
        with_file(id, "name", json!("")),
        with_file(id, "name", json!("n".repeat(256))),
        with_file(id, "mime_type", json!("png")),
        with_file(id, "size_bytes", json!(1_u64 << 53)),
        with_file(id, "width", json!(-1)),
        Call::of("muteChat").at("chat_id", id).body(json!({ "until": "tomorrow" })),
        Call::of("searchMessages"),
        Call::of("searchMessages").query("q", ""),
        Call::of("searchMessages").query("q", "x".repeat(257)),
        Call::of("searchMessages").query("q", "x").query("from", "then"),
        Call::of("readPresence"),
        Call::of("readPresence").query("users", ""),
        Call::of("pollEvents").query("wait", "61"),
        Call::of("changeMe").body(json!({})),
        Call::of("readMe").header("Act-As", "a b"),
        Call::of("blockUser").at("user", "a b"),
        put_device("a phone", "token"),
        put_device(&"d".repeat(65), "token"),
        put_device("phone", ""),
        put_device("phone", "to ken"),
        put_device("phone", &"t".repeat(4_097)),
        Call::of("deleteDevice").at("device", "a phone"),
    ]
}

#[tokio::test]
async fn what_the_documents_do_not_allow_is_refused() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (ann, admin) = (world.stack.rest("ann").await?, world.stack.admin().await?);
    let made = world.call(&ann, 201, Call::of("createChat").body(new_group())).await?;
    let id = text(&made.body, "chat_id")?;
    for call in invalid_calls(id) {
        world.refused(&ann, 400, "invalid_argument", call.wrong()).await?;
    }
    let cursor = "a".repeat(1_025);
    for call in [
        Call::of("listChats"),
        Call::of("listBlocks"),
        Call::of("pollEvents"),
        Call::of("searchMessages").query("q", "x"),
    ] {
        world.refused(&ann, 400, "invalid_cursor", call.query("cursor", cursor.as_str()).wrong()).await?;
    }
    for call in [create("name", json!("n".repeat(129))), with_content(id, "content", json!("c".repeat(16 * 1024 + 1)))]
    {
        world.refused(&ann, 413, "content_too_large", call.wrong()).await?;
    }
    let many: Vec<String> = (0..501).map(|n| format!("u{n}")).collect();
    world.refused(&ann, 409, "group_full", create("members", json!(many)).wrong()).await?;
    let of_backend = [
        Call::of("readStats").query("from", "2026-01-01T00:00:00Z"),
        Call::of("readReport").at("report_id", "nope"),
        Call::of("eraseUser").at("user", "zed").header("Idempotency-Key", "now"),
        Call::of("listPushOutcomes").query("limit", "201"),
        Call::of("signOut").at("user", "a b"),
        Call::of("testPush").at("user", "a b"),
    ];
    for call in of_backend {
        world.refused(&admin, 400, "invalid_argument", call.wrong()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_the_server_refuses_for_its_own_reasons_is_described() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (ann, bob) = (world.stack.rest("ann").await?, world.stack.rest("bob").await?);
    let group = json!({ "type": "GROUP", "name": "club", "members": ["bob"], "chat_id": now_v7() });
    let id = text(&group, "chat_id")?;
    world.call(&ann, 201, Call::of("createChat").body(group.clone())).await?;
    let of = |operation: &str| Call::of(operation).at("chat_id", id);
    let one = |operation: &str, seq: &str| of(operation).at("seq", seq);
    let content = |content: &str| json!({ "content": content });
    world.refused(&bob, 409, "chat_exists", Call::of("createChat").body(group.clone())).await?;
    let last = of("setMember").at("user", "ann").body(json!({ "role": "MEMBER" }));
    world.refused(&ann, 409, "last_admin", last).await?;
    world.refused(&ann, 404, "not_found", of("removeMember").at("user", "nobody")).await?;
    world.refused(&ann, 404, "message_not_found", one("readMessage", "99")).await?;
    world.refused(&ann, 403, "forbidden", one("editMessage", "1").body(content("of the server"))).await?;
    world.refused(&ann, 400, "invalid_cursor", Call::of("listChats").query("cursor", "1.2.3")).await?;
    world.refused(&ann, 400, "invalid_cursor", Call::of("pollEvents").header("Last-Event-ID", "x")).await?;
    let both = of("listMessages").query("before", "3").query("after", "1");
    world.refused(&ann, 400, "invalid_argument", both).await?;
    let large = json!({ "content": "", "meta": { "k": "v".repeat(4_096) } });
    world.refused(&ann, 413, "content_too_large", of("sendMessage").body(large)).await?;
    let old = json!({ "content": "", "message_id": "0195c6a8-7d2e-7c00-8000-000000000001" });
    world.refused(&ann, 400, "invalid_argument", of("sendMessage").body(old)).await?;
    let report = Call::of("readReport").at("report_id", now_v7());
    world.refused(&world.stack.admin().await?, 404, "not_found", report).await?;
    for n in 0..20 {
        let device = Call::of("putDevice").at("device", format!("d{n}"));
        world.call(&bob, 200, device.body(json!({ "platform": "apns", "push_token": "t" }))).await?;
    }
    let device = Call::of("putDevice").at("device", "d20").body(json!({ "platform": "apns", "push_token": "t" }));
    world.refused(&bob, 409, "limit_exceeded", device).await?;

    let crowd = join_all((0..160).map(|n| {
        let call = of("sendMessage").body(content(&n.to_string()));
        let (world, ann) = (&world, &ann);
        async move { world.contract.call(ann, &call).await }
    }));
    let crowd: Vec<Answer> = crowd.await.into_iter().collect::<Result<_, _>>()?;
    assert!(crowd.iter().any(|answer| answer.body["code"] == "rate_limited"), "160 sends at once met no limit");

    let raw = async |content_type: &str, body: String| {
        let url = format!("{}/v1/frames", world.stack.url.trim_end_matches('/'));
        let token = world.stack.token("bob").await?;
        let request = Request::post(url).header("content-type", content_type);
        let request = request.header("authorization", format!("Bearer {token}"));
        let answer = bob.send(request.body(Full::new(Bytes::from(body)))?).await?;
        let operations = world.contract.operations()?;
        let operation = operations.iter().find(|(id, _)| id == "postFrame").context("no postFrame")?;
        world.contract.check_answer("postFrame", &operation.1, &answer)?;
        anyhow::Ok((answer.status.as_u16(), answer.body["code"].clone()))
    };
    assert_eq!(raw("text/plain", "{}".into()).await?, (415, json!("unsupported_media_type")));
    assert_eq!(raw("application/json", "{".into()).await?, (400, json!("invalid_json")));
    assert_eq!(raw("application/json", "[".repeat(17)).await?, (400, json!("invalid_json")));
    assert_eq!(raw("application/json", " ".repeat(64 * 1024 + 1)).await?, (413, json!("frame_too_large")));
    let wrong = ann.call(Method::PUT, "/v1/me", &Value::Null).await?;
    assert_eq!((wrong.status.as_u16(), &wrong.body["code"]), (405, &json!("method_not_allowed")));
    assert!(wrong.headers.contains_key("allow"), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn frames_that_the_document_does_not_allow_are_refused() -> anyhow::Result<()> {
    let world = World::start().await?;
    let chat_id = direct("ann", "bob")?;
    let mut ann = world.session("ann").await?;
    ann.ack("send", json!({ "to": "bob", "content": "hello" })).await?;
    let many: Vec<String> = (0..21).map(|_| now_v7()).collect();
    let bad = [
        ("dance", json!({}), "unknown_type"),
        ("auth", json!({}), "invalid_argument"),
        ("auth", json!({ "token": "t".repeat(4_097) }), "bad_token"),
        ("sync", json!({ "have": {}, "limit": 0 }), "invalid_argument"),
        ("sync", json!({ "have": {}, "limit": 201 }), "invalid_argument"),
        ("sync", json!({ "have": { "nope": 1 } }), "invalid_argument"),
        ("sync", json!({ "have": { chat_id.clone(): -1 } }), "invalid_argument"),
        ("sync", json!({ "have": { chat_id.clone(): [1, 2, 3] } }), "invalid_argument"),
        ("send", json!({ "content": "to whom" }), "invalid_argument"),
        ("send", json!({ "to": "bob", "chat_id": chat_id, "content": "both" }), "invalid_argument"),
        ("send", json!({ "to": "bob" }), "invalid_argument"),
        ("send", json!({ "to": "b b", "content": "x" }), "invalid_argument"),
        ("send", json!({ "to": "bob", "content": "x", "content_type": "SYSTEM" }), "invalid_argument"),
        ("send", json!({ "to": "bob", "content": "x".repeat(16 * 1024 + 1) }), "content_too_large"),
        ("edit", json!({ "chat_id": chat_id, "content": "x" }), "invalid_argument"),
        ("delete", json!({ "chat_id": chat_id, "seq": "1" }), "invalid_argument"),
        ("receipt", json!({ "chat_id": chat_id }), "invalid_argument"),
        ("receipt", json!({ "chat_id": chat_id, "read": 1_u64 << 53 }), "invalid_argument"),
        ("typing", json!({ "chat_id": chat_id }), "invalid_argument"),
        ("presence.subscribe", json!({ "users": ["b b"] }), "invalid_argument"),
        ("presence.subscribe", json!({ "chats": many }), "limit_exceeded"),
        ("ping", json!({ "active": "yes" }), "invalid_argument"),
    ];
    for (number, (kind, d, code)) in bad.iter().enumerate() {
        let id = 1_000 + number;
        ann.send_text(&json!({ "id": id, "type": kind, "d": d }).to_string()).await?;
        let reply = ann.reply(u64::try_from(id)?).await?;
        assert_eq!(&reply["d"]["code"], code, "{kind} {d}: {reply}");
        // Ten malformed frames in a row would end the session.
        ann.request("ping", json!({})).await?;
    }
    world.judge(&mut ann)?;

    let codes = world.contract.close_codes();
    let token = world.stack.token("bob").await?;
    let large = json!({ "type": "ping", "d": { "x": "x".repeat(64 * 1024) } }).to_string();
    let another = json!({ "type": "auth", "d": { "token": world.stack.token("eve").await? } }).to_string();
    for (text, times, code) in [("{", 10, 4501), (large.as_str(), 1, 4504), (another.as_str(), 1, 4502)] {
        let mut session = Socket::connect(&world.stack.url, &token).await?;
        for _ in 0..times {
            session.send_text(text).await?;
        }
        let closed = session.closed().await?;
        assert!(codes.contains(&(code, closed.reason.clone())), "{closed:?}");
        assert_eq!(closed.code.map(u64::from), Some(code), "{closed:?}");
    }
    let mut refused = Socket::open(&world.stack.url, &[("authorization", "Bearer nonsense")]).await?;
    let closed = refused.closed().await?;
    assert!(closed.code == Some(4500) && codes.contains(&(4500, closed.reason.clone())), "{closed:?}");
    Ok(())
}

/// Reads the frames that a document shows: `→` from a client, `←` from the server, by block.
fn shown(document: &str) -> anyhow::Result<Vec<Vec<Recorded>>> {
    let blocks = document.split("\n```").skip(1).step_by(2);
    let blocks = blocks.map(|block| {
        let frames = block.lines().filter_map(|line| {
            let (sent, text) = line
                .strip_prefix("→ ")
                .map(|text| (true, text))
                .or_else(|| line.strip_prefix("← ").map(|text| (false, text)))?;
            let frame = serde_json::from_str(text).with_context(|| line.to_owned());
            Some(frame.map(|frame| if sent { Recorded::Sent(frame) } else { Recorded::Received(frame) }))
        });
        frames.collect()
    });
    blocks.collect()
}

#[test]
fn the_frames_that_the_protocol_document_shows_are_as_described() -> anyhow::Result<()> {
    let docs = tests::workspace().join("docs");
    let contract = Contract::of_frames(serde_json::from_str(&std::fs::read_to_string(docs.join("asyncapi.json"))?)?);
    let document = std::fs::read_to_string(docs.join("protocol.md"))?;
    let mut count = 0;
    for frames in shown(&document)? {
        // Of what is shown without an `id` no reply is awaited.
        contract.check_session(&frames)?;
        count += frames.len();
    }
    assert!(count > 20, "only {count} frames were found");
    let payload =
        document.split("```json\n").nth(1).and_then(|rest| rest.split("\n```").next()).context("no payload")?;
    let notification: Notification = serde_json::from_str(payload)?;
    assert_eq!(serde_json::to_value(notification)?, serde_json::from_str::<Value>(payload)?);
    Ok(())
}
