//! The same talk over a WebSocket, an event stream and a long poll, hopping between gateways: what is sent comes once,
//! in order, whatever the transport.

use std::collections::VecDeque;

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::polling::{EventStream, Poller, post_frame};
use tests::{Rest, Socket, Stack};
use uuid::Uuid;

const KINDS: [Kind; 3] = [Kind::Socket, Kind::Stream, Kind::Poll];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socket,
    Stream,
    Poll,
}

/// A connection of one of the kinds.
enum Link {
    Socket(Box<Socket>),
    Stream(Box<EventStream>),
    Poll,
}

/// A client that applies what comes next, as the protocol's client rule says, and hops between gateways.
struct Device {
    kind: Kind,
    urls: Vec<String>,
    token: String,
    hops: usize,
    link: Link,
    poller: Option<Poller>,
    cursor: Option<String>,
    chat_id: String,
    has: u64,
    waiting: VecDeque<Value>,
    applied: Vec<String>,
}

impl Device {
    async fn connect(stack: &Stack, kind: Kind, user: &str, chat_id: &str, has: u64) -> anyhow::Result<Self> {
        let mut device = Self {
            kind,
            urls: gateways(stack)?,
            token: stack.token(user).await?,
            hops: 0,
            link: Link::Poll,
            poller: None,
            cursor: None,
            chat_id: chat_id.to_owned(),
            has,
            waiting: VecDeque::new(),
            applied: Vec::new(),
        };
        device.hop().await?;
        device.sync().await?;
        Ok(device)
    }

    fn url(&self) -> &str {
        &self.urls[self.hops % self.urls.len()]
    }

    fn rest(&self) -> Rest {
        Rest::new(self.url(), Some(self.token.clone()))
    }

    /// Leaves its gateway without a word and goes to the next one.
    async fn hop(&mut self) -> anyhow::Result<()> {
        self.hops += 1;
        if let Link::Stream(stream) = &self.link {
            self.cursor.clone_from(&stream.last_event_id);
        }
        self.link = match self.kind {
            Kind::Socket => Link::Socket(Box::new(Socket::connect(self.url(), &self.token).await?)),
            Kind::Stream => {
                let mut stream = EventStream::open(self.url(), &self.token, self.cursor.as_deref()).await?;
                if self.cursor.is_none() {
                    stream.push("hello").await?;
                }
                Link::Stream(Box::new(stream))
            }
            Kind::Poll => {
                if self.poller.is_none() {
                    self.poller = Some(Poller::begin(&self.rest()).await?);
                }
                Link::Poll
            }
        };
        Ok(())
    }

    async fn sync(&mut self) -> anyhow::Result<()> {
        let d = json!({ "have": { self.chat_id.clone(): self.has } });
        let rest = self.rest();
        if let Link::Socket(socket) = &mut self.link {
            let done = socket.ack("sync", d).await?;
            anyhow::ensure!(done["recovered"] == true, "{done}");
        } else {
            let mut frames = post_frame(&rest, "sync", &d).await?;
            let reply = frames.pop().context("no reply")?;
            anyhow::ensure!(reply["d"]["recovered"] == true, "{reply}");
            self.waiting.extend(frames);
        }
        Ok(())
    }

    async fn send(&mut self, d: Value) -> anyhow::Result<()> {
        let rest = self.rest();
        if let Link::Socket(socket) = &mut self.link {
            socket.ack("send", d).await?;
        } else {
            let frames = post_frame(&rest, "send", &d).await?;
            anyhow::ensure!(frames.len() == 1 && frames[0]["type"] == "ack", "{frames:?}");
        }
        Ok(())
    }

    /// Returns the next `message` of the chat.
    async fn message(&mut self) -> anyhow::Result<Value> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                if frame["type"] == "message" && frame["d"]["chat_id"] == self.chat_id.as_str() {
                    return Ok(frame["d"].clone());
                }
                continue;
            }
            let rest = self.rest();
            match &mut self.link {
                Link::Socket(socket) => {
                    let d = socket.push("message").await?;
                    self.waiting.push_back(json!({ "type": "message", "d": d }));
                }
                Link::Stream(stream) => {
                    let d = stream.push("message").await?;
                    self.waiting.push_back(json!({ "type": "message", "d": d }));
                }
                Link::Poll => {
                    let poller = self.poller.as_mut().context("no poller")?;
                    self.waiting.extend(poller.poll(&rest, 10).await?);
                    // Each poll may go to another gateway: nothing of it sticks to one.
                    self.hops += 1;
                }
            }
        }
    }

    /// Applies messages until it has them up to `seq`. What it has is dropped. What is ahead may come over a socket,
    /// before the end of its first sync, and is dropped too: the sync brings it again.
    async fn read_to(&mut self, seq: u64) -> anyhow::Result<()> {
        while self.has < seq {
            let message = self.message().await?;
            let at = message["seq"].as_u64().context("no seq")?;
            anyhow::ensure!(
                at <= self.has + 1 || self.kind == Kind::Socket,
                "{:?}: {at} came after {}",
                self.kind,
                self.has
            );
            if at == self.has + 1 {
                self.has = at;
                self.applied.push(message["content"].as_str().context("no content")?.to_owned());
            }
        }
        Ok(())
    }
}

/// Returns where each gateway itself listens, past the front door.
fn gateways(stack: &Stack) -> anyhow::Result<Vec<String>> {
    let gateways = stack.told.iter().filter(|event| event["event"] == "gateway");
    gateways.map(|event| Ok(event["url"].as_str().context("a gateway has no url")?.to_owned())).collect()
}

async fn start(dir: &std::path::Path) -> anyhow::Result<Stack> {
    tests::stack::Setup::example(dir).with(&["--gateways", "2"]).start().await
}

async fn group(stack: &Stack, admin: &str, members: &[&str]) -> anyhow::Result<String> {
    let body = json!({ "type": "GROUP", "name": "club", "members": members });
    let answer = stack.rest(admin).await?.post("/v1/chats", &body).await?;
    anyhow::ensure!(answer.status == 201, "{answer:?}");
    Ok(answer.body["chat_id"].as_str().context("no chat_id")?.to_owned())
}

#[tokio::test]
async fn a_group_hears_everything_once_in_one_order_over_every_transport() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = start(dir.path()).await?;
    let chat_id = group(&stack, "ann", &["bob", "eve"]).await?;
    let mut devices = Vec::new();
    for (user, kind) in ["ann", "bob", "eve"].into_iter().zip(KINDS) {
        devices.push(Device::connect(&stack, kind, user, &chat_id, 1).await?);
    }
    let count = 30_usize;
    for n in 0..count {
        devices[n % 3].send(json!({ "chat_id": chat_id, "content": n.to_string() })).await?;
    }
    let head = 1 + u64::try_from(count)?;
    for device in &mut devices {
        device.read_to(head).await.with_context(|| format!("{:?}", device.kind))?;
        assert_eq!(device.applied, devices_order(&stack, &chat_id).await?, "{:?}", device.kind);
    }
    Ok(())
}

/// Returns the contents of the chat as history has them, the SYSTEM message at its beginning left out.
async fn devices_order(stack: &Stack, chat_id: &str) -> anyhow::Result<Vec<String>> {
    let path = format!("/v1/chats/{chat_id}/messages?after=1&limit=200");
    let history = stack.rest("ann").await?.get(&path).await?;
    let items = history.body["items"].as_array().context("no items")?;
    Ok(items.iter().filter_map(|message| message["content"].as_str().map(str::to_owned)).collect())
}

#[tokio::test]
async fn a_pause_and_a_hop_lose_nothing() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = start(dir.path()).await?;
    // A sender each, so that no rate limit is met.
    for (sender, kind) in ["ann", "cat", "dan"].into_iter().zip(KINDS) {
        let chat_id = group(&stack, sender, &["bob"]).await?;
        let mut ann = stack.connect(sender).await?;
        let mut bob = Device::connect(&stack, kind, "bob", &chat_id, 1).await?;
        let mut head = 1;
        for round in 0..6 {
            for n in 0..7 {
                ann.ack("send", json!({ "chat_id": chat_id, "content": format!("{round}.{n}") })).await?;
            }
            head += 7;
            if round % 2 == 0 {
                bob.read_to(head).await.with_context(|| format!("{kind:?} in round {round}"))?;
            } else {
                bob.hop().await?;
                // A socket begins anew; the others go on from their cursor.
                if kind == Kind::Socket {
                    bob.sync().await?;
                }
            }
        }
        bob.read_to(head).await.with_context(|| format!("{kind:?} at the end"))?;
        assert_eq!(bob.applied.len(), usize::try_from(head - 1)?, "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_retry_over_another_transport_and_gateway_is_the_same_message() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = start(dir.path()).await?;
    let chat_id = group(&stack, "ann", &["bob"]).await?;
    let id = Uuid::now_v7().to_string();
    for kind in KINDS {
        let mut ann = Device::connect(&stack, kind, "ann", &chat_id, 1).await?;
        for _ in 0..2 {
            ann.send(json!({ "chat_id": chat_id, "message_id": id, "content": "once" })).await?;
            ann.hop().await?;
        }
    }
    let mut bob = Device::connect(&stack, Kind::Poll, "bob", &chat_id, 1).await?;
    bob.send(json!({ "chat_id": chat_id, "content": "another" })).await?;
    bob.read_to(3).await?;
    assert_eq!(bob.applied, ["once", "another"]);
    Ok(())
}

#[tokio::test]
async fn a_stream_begins_with_hello_and_goes_on_from_its_last_event() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = start(dir.path()).await?;
    let urls = gateways(&stack)?;
    let (token, ann) = (stack.token("bob").await?, stack.rest("ann").await?);
    let mut bob = EventStream::open(&urls[0], &token, None).await?;
    let hello = bob.next().await?.context("the stream ended")?;
    assert_eq!(hello.frame.context("no frame")?["d"]["user"], "bob");
    assert!(hello.id.is_some(), "the first event has a cursor");
    for n in 1..=3 {
        post_frame(&ann, "send", &json!({ "to": "bob", "content": n.to_string() })).await?;
        assert_eq!(bob.push("message").await?["seq"], n);
    }
    let first = hello.id.as_deref();
    for url in &urls {
        let mut again = EventStream::open(url, &token, first).await?;
        for n in 1..=3 {
            assert_eq!(again.push("message").await?["seq"], n, "the same cursor tells the same messages");
        }
    }
    // The cursor of the last message is stored a second later at most, and comes as an event of its own.
    while bob.last_event_id.as_deref() == first {
        bob.next().await?.context("the stream ended")?;
    }
    while let Ok(Some(event)) =
        tokio::time::timeout(std::time::Duration::from_secs(2), bob.next()).await.unwrap_or(Ok(None))
    {
        assert_eq!(event.frame, None);
    }
    post_frame(&ann, "send", &json!({ "to": "bob", "content": "4" })).await?;
    let mut later = EventStream::open(&urls[1], &token, bob.last_event_id.as_deref()).await?;
    assert_eq!(later.push("message").await?["seq"], 4);
    Ok(())
}

#[tokio::test]
async fn a_held_request_makes_its_user_online() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = start(dir.path()).await?;
    let mut ann = stack.connect("ann").await?;
    ann.ack("send", json!({ "to": "bob", "content": "hello" })).await?;
    ann.push("message").await?;
    ann.ack("presence.subscribe", json!({ "users": ["bob"] })).await?;
    let _bob = EventStream::open(&gateways(&stack)?[1], &stack.token("bob").await?, None).await?;
    assert_eq!(ann.push("presence").await?, json!({ "user": "bob", "status": "online" }));
    Ok(())
}
