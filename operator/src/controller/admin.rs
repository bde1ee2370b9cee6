//! What the operator says to gateways, on their admin ports.

use std::time::Duration;

use bytes::Bytes;
use chat_core::clock::Time;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use tokio::time::timeout;

use crate::build::ADMIN_PORT;
use crate::fleet::Answer;

/// How long a gateway may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// How long a gateway goes on moving its connections off without being told again, in seconds.
const LEASE_S: u64 = 60;

/// The admin port's token.
#[derive(Clone)]
pub(super) struct Token(pub(super) String);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token")
    }
}

/// Asks a gateway to move its connections off.
#[derive(Debug, Serialize)]
struct Order {
    deadline_at: Time,
    rate: u32,
    lease_s: u64,
}

/// Speaks to gateways.
#[derive(Debug, Clone)]
pub(super) struct Admin(Client<HttpConnector, Full<Bytes>>);

impl Admin {
    /// Makes one; connections are kept.
    pub(super) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(30)).build_http())
    }

    /// Asks how a gateway is; `None` where it does not say.
    pub(super) async fn status(&self, ip: &str, token: &Token) -> Option<Answer> {
        self.call(Method::GET, ip, "status", token, String::new()).await
    }

    /// Asks a gateway to move its connections off, at most `rate` a second. Asking again renews it.
    pub(super) async fn drain(&self, ip: &str, token: &Token, deadline_at: Time, rate: u32) -> Option<Answer> {
        let order = Order { deadline_at, rate, lease_s: LEASE_S };
        self.call(Method::POST, ip, "drain", token, serde_json::to_string(&order).ok()?).await
    }

    /// Lets a gateway take connections again.
    pub(super) async fn withdraw(&self, ip: &str, token: &Token) -> Option<Answer> {
        self.call(Method::DELETE, ip, "drain", token, String::new()).await
    }

    async fn call(&self, method: Method, ip: &str, path: &str, token: &Token, body: String) -> Option<Answer> {
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        let request = Request::builder()
            .method(&method)
            .uri(format!("http://{host}:{ADMIN_PORT}/{path}"))
            .header("authorization", format!("Bearer {}", token.0))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .ok()?;
        let answered = timeout(ANSWER_WITHIN, async {
            let response = self.0.request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LONGEST).collect().await;
            Ok::<_, String>((status, body.map_err(|error| error.to_string())?.to_bytes()))
        });
        let why = match answered.await {
            Ok(Ok((StatusCode::OK | StatusCode::ACCEPTED, body))) => match serde_json::from_slice(&body) {
                Ok(answer) => return Some(answer),
                Err(error) => error.to_string(),
            },
            Ok(Ok((status, _))) => status.to_string(),
            Ok(Err(error)) => error,
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::debug!(ip, %method, path, why, "a gateway does not answer");
        None
    }
}
