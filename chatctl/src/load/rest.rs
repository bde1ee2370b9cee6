//! The few REST calls of a run: make a group, look up a chat's head, read history.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use chat_core::id::{ChatId, MessageId, Seq, UserId};

use super::target::Target;

/// Time for a call with all its repetitions, so that a run survives an outage of some seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time for one try.
const TRY: Duration = Duration::from_secs(15);

/// Largest answer: 200 messages of 16 KiB, escaped.
const MAX_ANSWER: usize = 64 << 20;

/// What a run reads of a chat.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Head {
    /// Seq of its newest message.
    pub head_seq: Seq,
}

/// A part of a chat's history, oldest first.
#[derive(Debug, Deserialize)]
pub(super) struct History {
    /// The messages.
    pub items: Vec<HistoryItem>,
    /// There is more after them.
    pub has_more: bool,
}

/// What a run reads of a message in history.
#[derive(Debug, Deserialize)]
pub(super) struct HistoryItem {
    /// Its position.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// Its content.
    pub content: String,
}

/// A client of the REST interface; connections are kept and shared.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    target: Target,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Rest {
    /// Makes a client of `target`.
    pub(super) fn new(target: Target) -> Self {
        Self { target, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Returns the HTTP client, whose connections are kept and shared.
    pub(super) fn client(&self) -> Client<HttpConnector, Full<Bytes>> {
        self.client.clone()
    }

    /// Makes a group whose ADMIN is `creator`; again with the same id it changes nothing.
    pub(super) async fn create_group(
        &self,
        creator: &UserId,
        chat: ChatId,
        members: &[&UserId],
        name: &str,
    ) -> anyhow::Result<Head> {
        let body = serde_json::json!({ "type": "GROUP", "name": name, "members": members, "chat_id": chat });
        let head = self.call(Method::POST, "/v1/chats", creator, Some(body.to_string().into())).await;
        head?.with_context(|| format!("the server does not know POST /v1/chats (group {chat})"))
    }

    /// Returns the head of a chat, `None` if it does not exist.
    pub(super) async fn head(&self, user: &UserId, chat: ChatId) -> anyhow::Result<Option<Head>> {
        self.call(Method::GET, &format!("/v1/chats/{chat}"), user, None).await
    }

    /// Reads the history after a seq.
    pub(super) async fn history(&self, user: &UserId, chat: ChatId, after: Seq) -> anyhow::Result<History> {
        let path = format!("/v1/chats/{chat}/messages?after={after}&limit=200");
        let none = History { items: Vec::new(), has_more: false };
        Ok(self.call(Method::GET, &path, user, None).await?.unwrap_or(none))
    }

    /// Calls, and repeats the same call while the server is away or says that it may succeed later.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        user: &UserId,
        body: Option<Bytes>,
    ) -> anyhow::Result<Option<T>> {
        let give_up = Instant::now() + PATIENCE;
        let mut wait = Duration::from_millis(50);
        loop {
            let attempt = tokio::time::timeout(TRY, self.attempt(method.clone(), path, user, body.clone())).await;
            let (error, after) = match attempt {
                Ok(Ok(Answer::Found(body))) => {
                    let read = serde_json::from_slice(&body);
                    return read.map(Some).with_context(|| format!("{method} {path} answered something unexpected"));
                }
                Ok(Ok(Answer::Missing)) => return Ok(None),
                Ok(Ok(Answer::Later(status, after))) => (anyhow!("it answered {status}"), after),
                Ok(Err(Failure::Final(error))) => return Err(error.context(format!("{method} {path} failed"))),
                Ok(Err(Failure::Passing(error))) => (error, None),
                Err(_) => (anyhow!("no answer in {TRY:?}"), None),
            };
            let pause = after.unwrap_or(wait).mul_f64(rand::random_range(0.5..1.5));
            if Instant::now() + pause > give_up {
                return Err(error.context(format!("{method} {path} failed for {PATIENCE:?}")));
            }
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }

    async fn attempt(&self, method: Method, path: &str, user: &UserId, body: Option<Bytes>) -> Result<Answer, Failure> {
        let token = self.target.token(user).map_err(Failure::Final)?;
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.target.authority))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| Failure::Final(error.into()))?;
        let response = self.client.request(request).await.map_err(|error| Failure::Passing(error.into()))?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| Failure::Passing(anyhow!(error)))?.to_bytes();
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Ok(Answer::Later(status, after.map(Duration::from_secs)))
            }
            StatusCode::NOT_FOUND => Ok(Answer::Missing),
            status if status.is_success() => Ok(Answer::Found(body)),
            status => Err(Failure::Final(refusal(status, &body))),
        }
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> anyhow::Error {
    anyhow!("the server answered {status}: {:.300}", String::from_utf8_lossy(body))
}

#[derive(Debug)]
enum Answer {
    Found(Bytes),
    Missing,
    Later(StatusCode, Option<Duration>),
}

/// Whether trying again helps.
#[derive(Debug)]
enum Failure {
    Passing(anyhow::Error),
    Final(anyhow::Error),
}
