//! The server under load: where it is, and the tokens that open it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chat_core::clock::{Clock as _, SystemClock};
use chat_core::id::UserId;
use hyper::Uri;

use crate::token::Signer;

/// Where the server is. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Host and port.
    pub authority: Arc<str>,
    /// What the host's name stands for.
    pub addresses: Arc<[SocketAddr]>,
    signer: Arc<Signer>,
    lifetime: Duration,
}

impl Target {
    /// Resolves `url`; tokens are good for `lifetime`.
    ///
    /// # Errors
    /// When `url` is not `http://HOST[:PORT]`, or its host has no address.
    pub(super) async fn resolve(url: &str, signer: Signer, lifetime: Duration) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("--url {url} is not a URL"))?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        ensure!(plain, "--url must be http://HOST[:PORT]; put a TLS proxy in between, or port-forward, for https");
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(80);
        let addresses: Vec<_> = tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("cannot resolve {host}; check --url"))?
            .collect();
        ensure!(!addresses.is_empty(), "{host} has no address; check --url");
        let authority = uri.authority().map_or_else(String::new, ToString::to_string);
        Ok(Self { authority: authority.into(), addresses: addresses.into(), signer: Arc::new(signer), lifetime })
    }

    /// Signs a token of `user`.
    pub(super) fn token(&self, user: &UserId) -> anyhow::Result<String> {
        self.signer.sign(user, None, self.lifetime, SystemClock.now())
    }
}
