//! A REST client that knows HTTP and JSON, nothing of the product.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// A client of one user.
#[derive(Debug, Clone)]
pub struct Rest {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    token: Option<String>,
    act_as: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: hyper::HeaderMap,
    /// The body as JSON; null where there is none, a string where it is text.
    pub body: Value,
}

impl Rest {
    /// Makes a client.
    pub fn new(url: &str, token: Option<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, url: url.trim_end_matches('/').to_owned(), token, act_as: None }
    }

    /// Calls as a user, with the token of the app's own backend.
    #[must_use]
    pub fn acting_as(self, user: &str) -> Self {
        Self { act_as: Some(user.to_owned()), ..self }
    }

    /// Makes a call; a body of null sends none.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.call_with(method, path, &[], body).await
    }

    /// Like [`call`](Self::call), with more headers.
    pub async fn call_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> anyhow::Result<Answer> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !body.is_null() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(user) = &self.act_as {
            request = request.header("act-as", user);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(text.into())?).await
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let place = format!("{} {}", request.method(), request.uri());
        let answer = timeout(ANSWER, async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let text = body.collect().await?.to_bytes();
            let is_text =
                parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/"));
            let body = match &text[..] {
                b"" => Value::Null,
                // Probes answer in words.
                text if is_text => Value::String(String::from_utf8(text.to_vec())?),
                text => serde_json::from_slice(text)?,
            };
            Ok::<_, anyhow::Error>(Answer { status: parts.status, headers: parts.headers, body })
        });
        answer.await.with_context(|| format!("wait for {place}"))?.with_context(|| place)
    }

    /// Calls GET.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// Calls POST.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.call(Method::POST, path, body).await
    }
}
