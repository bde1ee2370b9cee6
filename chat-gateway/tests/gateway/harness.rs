//! The stack under test: engines in memory, a sequencer, one or more gateways; and a client that speaks frames.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::{Clock, ManualClock, SystemClock};
use chat_core::config::{Algorithm, AuthConfig, DrainConfig, GatewayConfig, KeySource, Limits, Verifier};
use chat_core::embedded::{EmbeddedDb, EmbeddedOptions};
use chat_core::id::{ChatId, UserId};
use chat_core::message_log::memory::MemoryLog;
use chat_core::message_store::memory::MemoryStore;
use chat_core::poll_positions::in_process::InProcessPositions;
use chat_core::presence::in_process::InProcessPresence;
use chat_core::push::recording::RecordingSender;
use chat_core::relay::Relay;
use chat_core::relay::in_process::InProcessRelay;
use chat_core::relay::lossy::LossyRelay;
use chat_core::search::embedded::EmbeddedIndex;
use chat_core::trace::Tracer;
use chat_core::user_store::memory::MemoryUserStore;
use chat_gateway::{Gateway, Ports, Running};
use chat_workers::metrics::SequencerMetrics;
use chat_workers::{Sequencer, SequencerConfig, Workers, WorkersConfig, WorkersPorts};
use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header, encode};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SECRET: &str = "a secret of at least thirty-two bytes";
pub(crate) const ADMIN_TOKEN: &str = "admin-token";

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Engines and a sequencer, for gateways to stand on.
pub(crate) struct Stack {
    pub(crate) ports: Ports,
    pub(crate) lossy: LossyRelay,
    key_file: NamedTempFile,
    directory: TempDir,
    shutdown: CancellationToken,
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Stack {
    pub(crate) fn start() -> Self {
        let stack = Self::without_sequencer();
        stack.start_sequencer();
        stack
    }

    pub(crate) fn without_sequencer() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let relay: Arc<dyn Relay> = Arc::new(InProcessRelay::new());
        let lossy = LossyRelay::new(relay, 7);
        let ports = Ports {
            log: Arc::new(MemoryLog::new(Arc::clone(&clock), 4)),
            store: Arc::new(MemoryStore::new(Uuid::from_u128(99))),
            users: Arc::new(MemoryUserStore::default()),
            relay: Arc::new(lossy.clone()),
            presence: Arc::new(InProcessPresence::new()),
            positions: Arc::new(InProcessPositions::new()),
            search: None,
            push: Some(Arc::new(RecordingSender::new(Arc::clone(&clock)))),
            tracer: Tracer::off(),
        };
        let mut key_file = NamedTempFile::new().unwrap();
        key_file.write_all(SECRET.as_bytes()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("admin"), ADMIN_TOKEN).unwrap();
        Self { ports, lossy, key_file, directory, shutdown: CancellationToken::new() }
    }

    pub(crate) fn start_sequencer(&self) {
        let ports = chat_workers::Ports {
            log: Arc::clone(&self.ports.log),
            store: Arc::clone(&self.ports.store),
            relay: Arc::clone(&self.ports.relay),
            clock: Arc::new(SystemClock),
            tracer: self.ports.tracer.clone(),
        };
        let config = SequencerConfig { commit_delay: Duration::ZERO, ..SequencerConfig::default() };
        let sequencer = Sequencer::new(ports, config, SequencerMetrics::default());
        tokio::spawn(sequencer.run(self.shutdown.clone()));
    }

    /// Starts every worker on engines in memory, with a search index: what is told is told soon.
    pub(crate) async fn with_workers() -> Self {
        let mut stack = Self::without_sequencer();
        stack.start_workers().await;
        stack
    }

    pub(crate) async fn start_workers(&mut self) {
        let index = EmbeddedIndex::open(&self.directory.path().join("index")).await.unwrap();
        self.ports.search = Some(Arc::new(index));
        let ports = WorkersPorts {
            log: Arc::clone(&self.ports.log),
            store: Arc::clone(&self.ports.store),
            users: Arc::clone(&self.ports.users),
            relay: Arc::clone(&self.ports.relay),
            presence: Arc::clone(&self.ports.presence),
            search: self.ports.search.clone(),
            push: None,
            clock: Arc::new(SystemClock),
            tracer: Tracer::off(),
        };
        let mut config = WorkersConfig::embedded();
        config.receipts.hold = Duration::from_millis(50);
        config.receipts.summary_every = Duration::from_millis(50);
        let workers = Workers::new(ports, config, &mut Registry::default());
        tokio::spawn(workers.run(self.shutdown.clone()));
    }

    pub(crate) fn config(&self, name: &str) -> GatewayConfig {
        let verifier = Verifier {
            name: "test".to_owned(),
            user_claim: "sub".to_owned(),
            algorithms: vec![Algorithm::HS256],
            issuer: None,
            audience: None,
            leeway_seconds: 0,
            keys: KeySource::Hs256File(self.key_file.path().to_owned()),
        };
        GatewayConfig {
            name: name.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin_token_file: Some(self.directory.path().join("admin")),
            max_connections: 1_000,
            allowed_origins: vec!["*".to_owned()],
            insecure_attachments: false,
            auth: AuthConfig { verifiers: vec![verifier] },
            limits: Limits::default(),
            drain: DrainConfig { settle_seconds: 0, ..DrainConfig::default() },
        }
    }

    /// Puts log and store on an embedded database whose messages age out by this clock. Nothing works on it yet.
    pub(crate) fn aging(age: Duration) -> (Self, ManualClock) {
        let clock = ManualClock::at(SystemClock.now());
        let mut stack = Self::without_sequencer();
        let options = EmbeddedOptions { message_age: Some(age), ..EmbeddedOptions::default() };
        let path = stack.directory.path().join("engines");
        let EmbeddedDb { log, store, .. } = EmbeddedDb::open(&path, Arc::new(clock.clone()), &options).unwrap();
        (stack.ports.log, stack.ports.store) = (log, store);
        (stack, clock)
    }

    /// Starts a gateway and waits until it is ready.
    pub(crate) async fn gateway(&self, name: &str, change: impl FnOnce(&mut GatewayConfig)) -> Running {
        self.gateway_at(name, Arc::new(SystemClock), change).await
    }

    /// Starts a gateway with a clock of its own.
    pub(crate) async fn gateway_at(
        &self,
        name: &str,
        clock: Arc<dyn Clock>,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> Running {
        let mut config = self.config(name);
        change(&mut config);
        let gateway = Gateway::start(config, self.ports.clone(), clock).await.unwrap();
        until("the gateway is ready", || gateway.is_ready()).await;
        gateway
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    until_within(PATIENCE, what, condition).await;
}

/// Waits for a condition that may take longer than most.
pub(crate) async fn until_within(patience: Duration, what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(patience, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Makes a token.
pub(crate) fn token_with(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Makes an ordinary token of a user that lives this many seconds.
pub(crate) fn token_for(user: &str, seconds: i64) -> String {
    let now = i64::try_from(SystemClock.now().millis() / 1000).unwrap();
    token_with(&json!({"sub": user, "exp": now + seconds}))
}

pub(crate) fn token(user: &str) -> String {
    token_for(user, 600)
}

/// How a socket was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// A client.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: VecDeque<Value>,
    next_id: u64,
}

impl Client {
    /// Opens a socket with these headers.
    pub(crate) async fn open(addr: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = format!("ws://{addr}/v1/ws").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = timeout(PATIENCE, connect_async(request)).await.unwrap()?;
        Ok(Self { socket, waiting: VecDeque::new(), next_id: 1 })
    }

    /// Connects a user and takes `hello`.
    pub(crate) async fn connect(gateway: &Running, user: &str) -> Self {
        let bearer = format!("Bearer {}", token(user));
        let mut client = Self::open(gateway.public_addr(), &[("authorization", &bearer)]).await.unwrap();
        assert_eq!(client.push("hello").await["user"], user);
        client
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.socket.send(Message::Text(text.into().into())).await.unwrap();
    }

    /// Sends a request; returns its id.
    pub(crate) async fn ask(&mut self, kind: &str, d: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_text(json!({"id": id, "type": kind, "d": d}).to_string()).await;
        id
    }

    /// Sends a request and returns its reply; pushes before it wait.
    pub(crate) async fn request(&mut self, kind: &str, d: Value) -> Value {
        let id = self.ask(kind, d).await;
        self.find(|frame| frame["id"] == id).await
    }

    /// Returns the body of the next push of this type.
    pub(crate) async fn push(&mut self, kind: &str) -> Value {
        self.find(|frame| frame["type"] == kind && frame.get("id").is_none()).await["d"].take()
    }

    async fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at).unwrap();
        }
        loop {
            let frame = self.next().await.unwrap_or_else(|closed| panic!("closed: {closed:?}"));
            if wanted(&frame) {
                return frame;
            }
            self.waiting.push_back(frame);
        }
    }

    /// Returns the next frame as it comes.
    pub(crate) async fn next(&mut self) -> Result<Value, Closed> {
        let waited = timeout(PATIENCE, async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(frame))) => {
                        // Sends the close frame of our own that the library has prepared.
                        self.socket.flush().await.ok();
                        let closed = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                        let (code, reason) = closed.unwrap_or((1005, String::new()));
                        return Err(Closed { code, reason });
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(Closed { code: 1006, reason: String::new() }),
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("no frame came; waiting: {:?}", self.waiting))
    }

    /// Reads until the socket is closed.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.next().await {
                return closed;
            }
        }
    }

    /// Returns the bodies of the pushes of this type that came so far.
    pub(crate) async fn told(&mut self, kind: &str) -> Vec<Value> {
        self.request("ping", json!({})).await;
        let (told, others) = self.waiting.drain(..).partition(|frame| frame["type"] == kind);
        self.waiting = others;
        VecDeque::into_iter(told).map(|mut frame: Value| frame["d"].take()).collect()
    }

    /// Reads whatever comes within this time.
    pub(crate) async fn quiet(&mut self, for_millis: u64) -> Vec<Value> {
        let mut frames: Vec<Value> = self.waiting.drain(..).collect();
        let end = tokio::time::Instant::now() + Duration::from_millis(for_millis);
        while let Ok(frame) = tokio::time::timeout_at(end, self.next()).await {
            frames.push(frame.unwrap());
        }
        frames
    }

    /// Sends a text to a chat or a peer and returns the reply.
    pub(crate) async fn say(&mut self, target: &Value, content: &str) -> Value {
        let mut d = target.clone();
        d["content"] = content.into();
        self.request("send", d).await
    }

    /// Reads `message` pushes until `count` came; returns their contents and seqs.
    pub(crate) async fn messages(&mut self, count: usize) -> Vec<(u64, String)> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let message = self.push("message").await;
            messages.push((message["seq"].as_u64().unwrap(), message["content"].as_str().unwrap().to_owned()));
        }
        messages
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// Makes a request over a connection of its own.
pub(crate) async fn http(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Answer {
    use std::fmt::Write as _;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    if let Some(body) = body {
        write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    } else {
        request.push_str("\r\n");
    }
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let answer = timeout(PATIENCE, exchange).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    Answer { status, head: head.to_ascii_lowercase(), body }
}

/// Makes a REST call as a user.
pub(crate) async fn call(gateway: &Running, user: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    let bearer = format!("Bearer {}", token(user));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = body.map(|body| body.to_string());
    http(gateway.public_addr(), method, path, &headers, body.as_deref()).await
}

/// Makes a REST call as the app's own backend.
pub(crate) async fn admin(gateway: &Running, method: &str, path: &str) -> Answer {
    let now = i64::try_from(SystemClock.now().millis() / 1000).unwrap();
    let bearer = format!("Bearer {}", token_with(&json!({"sub": "backend", "scope": "admin", "exp": now + 600})));
    http(gateway.public_addr(), method, path, &[("authorization", bearer.as_str())], None).await
}

/// Makes a group and returns its id.
pub(crate) async fn group(gateway: &Running, admin: &str, members: &[&str]) -> String {
    let body = json!({"type": "GROUP", "name": "team", "members": members});
    let answer = call(gateway, admin, "POST", "/v1/chats", Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["chat_id"].as_str().unwrap().to_owned()
}

/// Makes a REST call until its answer is as wanted, and returns it.
pub(crate) async fn eventually(gateway: &Running, user: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = call(gateway, user, "GET", path, None).await;
        if answer.status == 200 && wanted(&answer.body) {
            return answer.body;
        }
        assert!(tokio::time::Instant::now() < end, "not in time: {path}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the id of a DIRECT chat.
pub(crate) fn direct(a: &str, b: &str) -> String {
    let user = |name| UserId::new(name).unwrap();
    ChatId::direct(&user(a), &user(b)).to_string()
}
