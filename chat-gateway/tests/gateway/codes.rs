//! The one table of codes, whole: every error code and every close code is brought about at the edge. The matches have
//! no wildcard, so a new code does not compile before it is here.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use chat_core::clock::{Clock, SystemClock};
use chat_core::codes::{CloseCode, ErrorCode};
use chat_core::config::{self, GatewayConfig, Rate};
use chat_gateway::Running;
use futures_util::SinkExt;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::broken::{FullLog, Mood, MoodyStore};
use crate::harness::*;
use crate::published_keys::{Issuer, Pair, take};

/// A stack whose store fails as told, a gateway on it, and a group of ann and bob.
struct World {
    stack: Stack,
    store: Arc<MoodyStore>,
    gateway: Running,
    chat: String,
}

impl World {
    async fn start() -> Self {
        let mut stack = Stack::start();
        let store = Arc::new(MoodyStore::new(Arc::clone(&stack.ports.store)));
        stack.ports.store = Arc::clone(&store) as _;
        let small = |config: &mut GatewayConfig| {
            config.allowed_origins = vec!["https://app.example".to_owned()];
            config.limits.group_members = 3;
        };
        let gateway = stack.gateway("gw-0", small).await;
        let chat = format!("/v1/chats/{}", group(&gateway, "ann", &["bob"]).await);
        Self { stack, store, gateway, chat }
    }

    /// Calls as ann.
    async fn ann(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        call(&self.gateway, "ann", method, path, body).await
    }

    async fn with_headers(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        http(self.gateway.public_addr(), "GET", path, headers, None).await
    }

    /// Reads history while the store is in this mood.
    async fn in_mood(&self, mood: Mood) -> Answer {
        self.store.set(mood);
        let answer = self.ann("GET", &format!("{}/messages", self.chat), None).await;
        self.store.set(Mood::Works);
        answer
    }

    async fn cause(&self, code: ErrorCode) -> Answer {
        let chats = "/v1/chats";
        let new = |name: &str, members: Value| Some(json!({ "type": "GROUP", "name": name, "members": members }));
        let messages = format!("{}/messages", self.chat);
        match code {
            ErrorCode::InvalidJson => {
                let bearer = format!("Bearer {}", token("ann"));
                let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
                http(self.gateway.public_addr(), "POST", chats, &headers, Some("{")).await
            }
            ErrorCode::UnknownType => self.ann("POST", "/v1/frames", Some(json!({ "id": 1, "type": "dance" }))).await,
            ErrorCode::InvalidArgument => self.ann("POST", chats, Some(json!({ "type": "PARTY" }))).await,
            ErrorCode::InvalidCursor => self.ann("GET", "/v1/chats?cursor=x", None).await,
            ErrorCode::Unauthenticated => self.with_headers("/v1/me", &[]).await,
            ErrorCode::BadToken => self.with_headers("/v1/me", &[("authorization", "Bearer x")]).await,
            ErrorCode::TokenExpired => {
                let bearer = format!("Bearer {}", token_for("ann", -60));
                self.with_headers("/v1/me", &[("authorization", &bearer)]).await
            }
            ErrorCode::Forbidden => {
                call(&self.gateway, "bob", "PATCH", &self.chat, Some(json!({ "name": "mine" }))).await
            }
            ErrorCode::Blocked => {
                assert_eq!(call(&self.gateway, "eve", "PUT", "/v1/blocks/ann", None).await.status, 204);
                self.ann("POST", chats, Some(json!({ "type": "DIRECT", "members": ["eve"] }))).await
            }
            ErrorCode::OriginNotAllowed => self.with_headers("/v1/ws", &[("origin", "https://evil.example")]).await,
            ErrorCode::ChatNotFound => self.ann("GET", &format!("{chats}/{}", Uuid::now_v7()), None).await,
            ErrorCode::MessageNotFound => self.ann("GET", &format!("{messages}/99"), None).await,
            ErrorCode::NotFound => self.ann("GET", "/v1/nothing", None).await,
            ErrorCode::MethodNotAllowed => self.ann("PUT", chats, None).await,
            ErrorCode::UnsupportedMediaType => {
                let bearer = format!("Bearer {}", token("ann"));
                let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
                http(self.gateway.public_addr(), "POST", chats, &headers, Some("{}")).await
            }
            ErrorCode::ChatExists => {
                let mut body = new("mine", json!([])).unwrap();
                body["chat_id"] = self.chat.rsplit('/').next().unwrap().into();
                call(&self.gateway, "eve", "POST", chats, Some(body)).await
            }
            ErrorCode::LastAdmin => {
                self.ann("PUT", &format!("{}/members/ann", self.chat), Some(json!({ "role": "MEMBER" }))).await
            }
            ErrorCode::GroupFull => self.ann("POST", chats, new("crowd", json!(["bob", "cat", "dan"]))).await,
            ErrorCode::LimitExceeded => {
                let gateway = self.stack.gateway("gw-1", |config| config.limits.chats_per_user = 1).await;
                call(&gateway, "ann", "POST", chats, new("second", json!([]))).await
            }
            ErrorCode::ContentTooLarge => {
                self.ann("POST", &messages, Some(json!({ "content": "x".repeat(16 * 1024 + 1) }))).await
            }
            ErrorCode::FrameTooLarge => {
                self.ann("POST", &messages, Some(json!({ "content": "x".repeat(64 * 1024) }))).await
            }
            ErrorCode::RateLimited => {
                let gateway = self.stack.gateway("gw-1", |config| config.limits.sends_per_user = Rate::new(1, 1)).await;
                let body = json!({ "content": "hi" });
                assert_eq!(call(&gateway, "ann", "POST", &messages, Some(body.clone())).await.status, 201);
                call(&gateway, "ann", "POST", &messages, Some(body)).await
            }
            ErrorCode::Internal => {
                let panicked = self.in_mood(Mood::Panics).await;
                assert_eq!((panicked.status, &panicked.body["code"]), (500, &json!("internal")));
                self.in_mood(Mood::Corrupt).await
            }
            ErrorCode::NotEnabled => self.ann("GET", "/v1/search?q=car", None).await,
            ErrorCode::OverCapacity => {
                let gateway = self.stack.gateway("gw-1", |config| config.max_connections = 1).await;
                let _there = Client::connect(&gateway, "bob").await;
                let cursor = call(&gateway, "ann", "GET", "/v1/events", None).await.body["cursor"].take();
                call(&gateway, "ann", "GET", &format!("/v1/events?cursor={}", cursor.as_str().unwrap()), None).await
            }
            ErrorCode::Overloaded => {
                let mut ports = self.stack.ports.clone();
                ports.log = Arc::new(FullLog(ports.log));
                let config = self.stack.config("gw-1");
                let gateway = chat_gateway::Gateway::start(config, ports, Arc::new(SystemClock)).await.unwrap();
                until("the gateway is ready", || gateway.is_ready()).await;
                call(&gateway, "ann", "POST", &messages, Some(json!({ "content": "hi" }))).await
            }
            ErrorCode::Unavailable => self.in_mood(Mood::Unavailable).await,
        }
    }
}

#[tokio::test]
async fn every_error_code_is_given_at_the_edge() {
    let world = World::start().await;
    for code in ErrorCode::ALL {
        let answer = world.cause(*code).await;
        // A frame that was posted is answered by a frame.
        let (status, fault) = match answer.body["frames"].get(0) {
            Some(frame) => (code.http_status(), &frame["d"]),
            None => (answer.status, &answer.body),
        };
        assert_eq!((status, &fault["code"]), (code.http_status(), &json!(code)), "{code}: {answer:?}");
        assert_eq!(fault["temporary"], code.is_temporary(), "{code}: {answer:?}");
        assert!(fault["message"].as_str().is_some_and(|message| !message.is_empty()), "{code}: {answer:?}");
        assert_eq!(answer.head.contains("retry-after: "), matches!(status, 429 | 503), "{code}: {answer:?}");
    }
    let path = format!("{}/messages", world.chat);
    let sent = world.ann("POST", &path, Some(json!({ "content": "hi" }))).await;
    assert_eq!(sent.status, 201, "the world goes on: {sent:?}");
}

async fn cause_close(world: &World, code: CloseCode) -> Client {
    let World { stack, gateway, .. } = world;
    let addr = gateway.public_addr();
    let with = async |token: String| {
        let bearer = format!("Bearer {token}");
        Client::open(addr, &[("authorization", &bearer)]).await.unwrap()
    };
    match code {
        CloseCode::Restart => {
            let gateway = stack.gateway("gw-1", |_| {}).await;
            let client = Client::connect(&gateway, "ann").await;
            tokio::spawn(gateway.shutdown(Duration::ZERO));
            client
        }
        CloseCode::Drain => {
            let gateway = stack.gateway("gw-1", |_| {}).await;
            let client = Client::connect(&gateway, "ann").await;
            let deadline_at = SystemClock.now().plus_millis(1_000);
            gateway.drain(serde_json::from_value(json!({ "deadline_at": deadline_at, "rate": 100 })).unwrap());
            client
        }
        CloseCode::SlowConsumer => {
            let gateway = stack.gateway("gw-1", |config| config.limits.queue_bytes = 512).await;
            let mut client = Client::connect(&gateway, "ann").await;
            let chat_id = world.chat.rsplit('/').next().unwrap();
            client.ask("send", json!({ "chat_id": chat_id, "content": "x".repeat(600) })).await;
            client
        }
        CloseCode::HeartbeatMissed => {
            let client = Client::connect(gateway, "silent").await;
            // Not read, so not even a ping is answered: a half-open socket, as the gateway sees it.
            until_within(Duration::from_secs(40), "the silence is noticed", || gateway.connections() == 0).await;
            client
        }
        CloseCode::Internal => {
            let mut client = Client::connect(gateway, "ann").await;
            world.store.set(Mood::Panics);
            client.ask("send", json!({ "chat_id": Uuid::now_v7(), "content": "hi" })).await;
            client
        }
        CloseCode::OverCapacity => {
            let (old, new) = (Pair::new(Algorithm::EdDSA, Some("old")), Pair::new(Algorithm::EdDSA, Some("new")));
            let issuer = Issuer::start(&[&old]).await;
            let keys = |config: &mut GatewayConfig| take(config, issuer.url(), &[config::Algorithm::EdDSA]);
            let gateway = stack.gateway("gw-1", keys).await;
            issuer.answer(StatusCode::BAD_GATEWAY, String::new());
            let bearer = format!("Bearer {}", new.sign("ann"));
            Client::open(gateway.public_addr(), &[("authorization", &bearer)]).await.unwrap()
        }
        CloseCode::TokenExpired => with(token_for("ann", 2)).await,
        CloseCode::AuthTimeout => {
            let gateway = stack.gateway("gw-1", |config| config.limits.auth_seconds = 1).await;
            Client::open(gateway.public_addr(), &[]).await.unwrap()
        }
        CloseCode::Flooding => {
            let gateway = stack.gateway("gw-1", |config| config.limits.frames_per_session = Rate::new(1, 2)).await;
            let mut client = Client::connect(&gateway, "ann").await;
            for _ in 0..10 {
                client.ask("ping", json!({})).await;
            }
            client
        }
        CloseCode::BadToken => with("nonsense".to_owned()).await,
        CloseCode::ProtocolError => {
            let mut client = Client::connect(gateway, "ann").await;
            client.socket.send(Message::Binary(vec![1].into())).await.unwrap();
            client
        }
        CloseCode::Forbidden => {
            let mut client = Client::connect(gateway, "ann").await;
            client.ask("auth", json!({ "token": token("bob") })).await;
            client
        }
        CloseCode::Replaced => {
            let gateway = stack.gateway("gw-1", |config| config.limits.sessions_per_user = 1).await;
            let client = Client::connect(&gateway, "ann").await;
            Client::connect(&gateway, "ann").await;
            client
        }
        CloseCode::FrameTooLarge => {
            let mut client = Client::connect(gateway, "ann").await;
            client.send_text("x".repeat(64 * 1024 + 1)).await;
            client
        }
        CloseCode::Revoked => {
            let client = Client::connect(gateway, "dan").await;
            let exp = SystemClock.now().millis() / 1_000 + 600;
            let bearer = format!("Bearer {}", token_with(&json!({ "sub": "app", "exp": exp, "scope": "admin" })));
            let signed_out = http(addr, "DELETE", "/v1/users/dan/sessions", &[("authorization", &bearer)], None).await;
            assert_eq!(signed_out.status, 204);
            client
        }
    }
}

#[tokio::test]
async fn every_close_code_is_given_at_the_edge() {
    let world = World::start().await;
    for code in CloseCode::ALL {
        let mut client = cause_close(&world, *code).await;
        let expected = Closed { code: code.code(), reason: code.as_str().to_owned() };
        assert_eq!(client.closed().await, expected);
        world.store.set(Mood::Works);
        until("the place is given back", || world.gateway.connections() == 0).await;
    }
}
