//! Calls of the REST interface as the operator of a stack: `scope: admin`, one call at a time. A running stack is
//! reached by its API, never by its files; the key in the data directory only signs the token.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use chat_core::clock::{Clock as _, SystemClock};
use chat_core::id::UserId;
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::token::Signer;

/// Time for one call.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Largest answer.
const MAX_ANSWER: usize = 16 << 20;

/// How long a token made here is good.
const TOKEN_LIVES: Duration = Duration::from_hours(1);

/// Where the stack is, and what opens it.
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Directory of the local stack, for the key that signs the token.
    #[arg(long, value_name = "DIR", default_value = crate::local::DATA_DIR, conflicts_with = "token_file")]
    data_dir: PathBuf,
    /// File with a token of scope admin, for a server elsewhere.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A client of the REST interface.
#[derive(Debug)]
pub(crate) struct Api {
    url: String,
    token: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What the server says of a call that it refuses.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    message: String,
}

impl Api {
    /// Makes a client; nothing is called yet.
    pub(crate) fn new(args: &ApiArgs) -> anyhow::Result<Self> {
        let uri: Uri = args.url.parse().with_context(|| format!("--url {} is not a URL", args.url))?;
        let is_plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        ensure!(is_plain, "--url must be http://HOST[:PORT]; put a TLS proxy in between, or port-forward, for https");
        let token = if let Some(file) = &args.token_file {
            let text = std::fs::read_to_string(file);
            text.with_context(|| format!("cannot read the token in {}", file.display()))?.trim().to_owned()
        } else {
            let user = UserId::new("chatctl").context("cannot name the user of the token")?;
            Signer::open(&args.data_dir)?.sign(&user, Some("admin"), TOKEN_LIVES, SystemClock.now())?
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { url: args.url.trim_end_matches('/').to_owned(), token, client })
    }

    /// Makes a call without a body and reads its answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, method: Method, path: &str) -> anyhow::Result<T> {
        let what = format!("{method} {path}");
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Empty::new())
            .with_context(|| format!("cannot make the request {what}"))?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, async {
            let response = self.client.request(request).await.with_context(|| {
                format!(
                    "no server answers at {}; start one with `chatctl local -f FILE`, or name it with --url",
                    self.url
                )
            })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error)).context("the answer broke off")?.to_bytes();
            anyhow::Ok((status, body))
        });
        let (status, body) = answer.await.with_context(|| format!("no answer to {what} in {ANSWER_WITHIN:?}"))??;
        if !status.is_success() {
            return Err(match serde_json::from_slice::<Problem>(&body) {
                Ok(Problem { code, message }) => anyhow::anyhow!("the server refuses: {message} ({code})"),
                Err(_) => anyhow::anyhow!("the server answered {status}; is --url a ChatCluster?"),
            });
        }
        serde_json::from_slice(&body).with_context(|| format!("{what} answered something unexpected"))
    }
}

/// Writes a user id as a part of a path.
pub(crate) fn path_part(user: &UserId) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    user.as_str()
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_encoded_in_a_path() {
        let path = |id: &str| path_part(&UserId::new(id).unwrap());
        assert_eq!(path("ann-1.x~_"), "ann-1.x~_");
        assert_eq!(path("ann@x+y|z:1"), "ann%40x%2By%7Cz%3A1");
    }
}
