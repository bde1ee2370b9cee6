//! Whole runs against a small server made here, which can be told to break a promise.

use std::collections::HashMap;
use std::convert::Infallible;

use clap::Parser as _;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request as Upgrade, Response as Upgraded};

use super::*;

const KEY: [u8; 32] = [7; 32];

/// What the server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Acknowledges the 20th message and forgets it.
    Forgets,
    /// Delivers the 20th message twice.
    Repeats,
    /// Cuts every connection at the 20th and the 40th message, before it is acknowledged; this is no fault.
    Cuts,
}

struct Session {
    user: String,
    frames: mpsc::Sender<String>,
}

#[derive(Default)]
struct Chats {
    members: HashMap<String, Vec<String>>,
    messages: HashMap<String, Vec<Value>>,
    sessions: Vec<Session>,
    sends: u32,
}

#[derive(Clone)]
struct Server {
    chats: Arc<Mutex<Chats>>,
    cut: tokio::sync::watch::Sender<()>,
    flaw: Flaw,
}

impl Server {
    async fn start(flaw: Flaw) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { chats: Arc::default(), cut: tokio::sync::watch::Sender::default(), flaw };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().accept(stream));
            }
        });
        url
    }

    async fn accept(self, stream: TcpStream) {
        let mut start = [0; 10];
        while stream.peek(&mut start).await.unwrap() < start.len() {}
        if start.starts_with(b"GET /v1/ws") {
            self.session(stream).await;
        } else {
            let service = hyper::service::service_fn(|request| self.rest(request));
            // The client closes idle connections when it likes.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        }
    }

    async fn rest(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let user = subject(request.headers()["authorization"].to_str().unwrap());
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut chats = self.chats.lock().unwrap();
        let parts: Vec<&str> = path.split('/').skip(3).collect();
        let answer = match parts[..] {
            [] => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let mut members: Vec<String> = serde_json::from_value(body["members"].clone()).unwrap();
                members.push(user);
                let id = body["chat_id"].as_str().unwrap().to_owned();
                chats.members.insert(id.clone(), members);
                let made = json!({ "chat_id": id, "seq": 1, "message_id": id, "sender": "x", "content": "" });
                chats.messages.insert(id, vec![made]);
                Some(json!({ "head_seq": 1 }))
            }
            [id] => chats.messages.get(id).map(|messages| json!({ "head_seq": messages.len() })),
            [id, _] => {
                let after: usize = query.split(['=', '&']).nth(1).unwrap().parse().unwrap();
                let items: Vec<_> = chats.messages.get(id).into_iter().flatten().skip(after).take(7).collect();
                let has_more = chats.messages.get(id).is_some_and(|all| all.len() > after + 7);
                Some(json!({ "items": items, "has_more": has_more }))
            }
            _ => None,
        };
        let status = if answer.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let body = answer.map(|answer| answer.to_string()).unwrap_or_default();
        Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap())
    }

    async fn session(self, stream: TcpStream) {
        let mut user = String::new();
        #[expect(clippy::result_large_err, reason = "the library's own signature")]
        let greet = |request: &Upgrade, mut response: Upgraded| {
            user = subject(request.headers()["authorization"].to_str().unwrap());
            response.headers_mut().insert("sec-websocket-protocol", "chat.v1.json".parse().unwrap());
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, greet).await.unwrap();
        let (frames, mut out) = mpsc::channel(1000);
        let mut cut = self.cut.subscribe();
        frames.send(hello(&user)).await.unwrap();
        loop {
            tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => {
                        if !self.take(&user, &frames, &serde_json::from_str(&text).unwrap()) {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    _ => break,
                },
                _ = cut.changed() => return,
                frame = out.recv() => match frame {
                    Some(frame) => if socket.send(Message::text(frame)).await.is_err() { break },
                    None => break,
                },
            }
        }
    }

    /// Serves a frame; false cuts the connection.
    fn take(&self, user: &str, frames: &mpsc::Sender<String>, frame: &Value) -> bool {
        let mut chats = self.chats.lock().unwrap();
        let reply =
            |kind, d: Value| frames.try_send(json!({ "id": frame["id"], "type": kind, "d": d }).to_string()).is_ok();
        let d = &frame["d"];
        match frame["type"].as_str().unwrap() {
            "sync" => {
                for (chat, have) in d["have"].as_object().unwrap() {
                    let after = usize::try_from(have.as_u64().unwrap()).unwrap();
                    for message in chats.messages.get(chat).into_iter().flatten().skip(after) {
                        frames.try_send(json!({ "type": "message", "d": message }).to_string()).unwrap();
                    }
                }
                chats.sessions.push(Session { user: user.to_owned(), frames: frames.clone() });
                let time = "2026-11-24T02:19:00.123Z";
                reply(
                    "ack",
                    json!({ "recovered": true, "more": [], "reload": [], "gone": [], "unlisted": [], "server_time": time }),
                )
            }
            "send" => {
                chats.sends += 1;
                let turn = chats.sends.is_multiple_of(20) && chats.sends <= 40;
                if self.flaw == Flaw::Cuts && turn {
                    chats.sessions.clear();
                    self.cut.send_replace(());
                    return false;
                }
                if !(self.flaw == Flaw::Forgets && turn) {
                    chats.add(user, d, if self.flaw == Flaw::Repeats && turn { 2 } else { 1 });
                }
                reply("ack", json!({}))
            }
            "ping" => reply("pong", json!({})),
            other => panic!("{other}"),
        }
    }
}

impl Chats {
    fn add(&mut self, user: &str, d: &Value, times: usize) {
        let chat = d["chat_id"].as_str().map(str::to_owned);
        let chat = chat.unwrap_or_else(|| {
            let peer = d["to"].as_str().unwrap();
            let [a, b] = [user, peer].map(|name| chat_core::id::UserId::new(name).unwrap());
            let id = chat_core::id::ChatId::direct(&a, &b).to_string();
            self.members.insert(id.clone(), vec![user.to_owned(), peer.to_owned()]);
            id
        });
        let messages = self.messages.entry(chat.clone()).or_default();
        if messages.iter().any(|message| message["message_id"] == d["message_id"]) {
            return;
        }
        let message = json!({
            "chat_id": chat, "seq": messages.len() + 1, "message_id": d["message_id"], "sender": user, "content": d["content"],
        });
        messages.push(message.clone());
        let push = json!({ "type": "message", "d": message }).to_string();
        for session in self.sessions.iter().filter(|session| self.members[&chat].contains(&session.user)) {
            for _ in 0..times {
                // A session that was cut takes nothing any more.
                drop(session.frames.try_send(push.clone()));
            }
        }
    }
}

fn hello(user: &str) -> String {
    let time = "2026-11-24T02:19:00.123Z";
    let d = json!({
        "user": user, "session": "s", "server": "1", "epoch": "e", "heartbeat_ms": 20000, "server_time": time,
        "token_expires_at": time, "max_frame_bytes": 65536, "max_content_bytes": 16384,
    });
    json!({ "type": "hello", "d": d }).to_string()
}

/// Reads the user of a token.
fn subject(header: &str) -> String {
    let validation = jsonwebtoken::Validation::default();
    let key = jsonwebtoken::DecodingKey::from_secret(&KEY);
    let token = header.strip_prefix("Bearer ").unwrap();
    let claims = jsonwebtoken::decode::<HashMap<String, Value>>(token, &key, &validation).unwrap().claims;
    claims["sub"].as_str().unwrap().to_owned()
}

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadArgs,
}

async fn load(flaw: Flaw, line: &str) -> report::Report {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), KEY).unwrap();
    let url = Server::start(flaw).await;
    let line = format!("load --url {url} --key-file {}/key {line}", dir.path().display());
    let args = Cli::parse_from(line.split_whitespace()).load;
    stage::run_load(&args).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_server_passes_in_pairs_and_in_groups() {
    for (line, copies) in [("--users 6", 2), ("--users 6 --groups 2x3", 3), ("--users 5 --groups 3x4 --scan seq", 4)] {
        let report = load(Flaw::None, &format!("--rate 100 --duration 1s {line}")).await;
        assert!(report.verdict.is_clean(), "{line}: {:?}", report.verdict);
        assert_eq!((report.acked, report.delivered), (100, 100 * copies), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_is_caught() {
    let report = load(Flaw::Forgets, "--users 4 --rate 50 --duration 1s --drain 1s").await;
    assert_eq!((report.acked, report.lost), (50, 2), "{:?}", report.verdict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_repeats_is_caught() {
    let report = load(Flaw::Repeats, "--users 4 --groups 1x4 --rate 50 --duration 1s").await;
    assert_eq!((report.acked, report.duplicated), (50, 8), "{:?}", report.verdict);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_sessions_come_back_and_send_again() {
    let report = load(Flaw::Cuts, "--users 4 --groups 1x4 --rate 60 --duration 1s").await;
    assert!(report.verdict.is_clean(), "{:?}", report.verdict);
    // A send whose ack was cut off and whose echo came with the next sync is never acknowledged, and not sent again.
    assert_eq!((report.sent, report.delivered), (60, 240));
    assert!(report.acked > 0 && report.acked <= 60, "{} acknowledged", report.acked);
    assert!(report.disconnects.values().sum::<u64>() >= 2, "{:?}", report.disconnects);
}
