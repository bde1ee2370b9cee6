//! Where a set is published, and fetching it: over TLS, or in plain from this machine alone; no redirects, no proxy, and
//! nothing larger or slower than a set has any reason to be.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode, Url};

use super::set::{KeySet, SetError};

/// The whole fetch, connecting included.
const FETCH_WITHIN: Duration = Duration::from_secs(5);

/// The largest set taken. Those of large issuers have 10 KiB.
const MAX_BYTES: usize = 256 * 1024;

/// Why a set cannot be fetched, now or ever.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is none, is not over TLS, or holds a password, which logs would show.
    #[error("the address is not one of https without a password")]
    Address,
    /// The file of authorities cannot be read.
    #[error("read the authorities in {path}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The request failed.
    #[error("request the keys")]
    Request(#[from] reqwest::Error),
    /// The answer is not 200.
    #[error("the answer has status {0}")]
    Status(StatusCode),
    /// The answer is too large.
    #[error("the answer is larger than 256 KiB")]
    TooLarge,
    /// The answer is no set of usable keys.
    #[error("read the keys")]
    Set(#[from] SetError),
    /// The client was not made because the gateway stops.
    #[error("the gateway stops")]
    Stopping,
}

/// An address, and who vouches for it.
#[derive(Debug, Clone)]
pub(super) struct Address {
    url: Url,
    ca_file: Option<PathBuf>,
}

impl Address {
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, FetchError> {
        let url = Url::parse(url).map_err(|_| FetchError::Address)?;
        let address = Self { url, ca_file: ca_file.map(Path::to_owned) };
        let is_private = match address.url.scheme() {
            "https" => true,
            "http" => address.is_loopback(),
            _ => false,
        };
        if !is_private || !address.url.username().is_empty() || address.url.password().is_some() {
            return Err(FetchError::Address);
        }
        address.client()?;
        Ok(address)
    }

    /// Plain text to an address of this machine crosses no network.
    fn is_loopback(&self) -> bool {
        let host = self.url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        host.and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|addr| addr.is_loopback())
    }

    /// Makes a client for one fetch, so that a rotated file of authorities is taken. Blocks on files.
    fn client(&self) -> Result<Client, FetchError> {
        let mut builder = Client::builder().redirect(Policy::none()).no_proxy().referer(false).timeout(FETCH_WITHIN);
        if self.url.scheme() == "http" {
            // No certificate is asked for, so none is loaded.
            builder = builder.tls_certs_only([]);
        } else if let Some(path) = &self.ca_file {
            let failed = |source| FetchError::Authorities { path: path.clone(), source };
            let pem = std::fs::read(path).map_err(failed)?;
            let authorities = Certificate::from_pem_bundle(&pem)?;
            if authorities.is_empty() {
                return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidData, "no certificate in it")));
            }
            builder = builder.https_only(true).tls_certs_merge(authorities);
        } else {
            builder = builder.https_only(true);
        }
        Ok(builder.build()?)
    }

    /// Fetches the set.
    pub(super) async fn fetch(&self) -> Result<KeySet, FetchError> {
        let address = self.clone();
        let client = tokio::task::spawn_blocking(move || address.client()).await;
        let client = client.map_err(|_| FetchError::Stopping)??;
        let mut answer = client.get(self.url.clone()).header("accept", "application/json").send().await?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if text.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            text.extend_from_slice(&chunk);
        }
        Ok(KeySet::parse(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for url in ["https://id.example/keys", "http://127.0.0.1:8080/keys", "http://[::1]/keys"] {
            assert!(Address::new(url, None).is_ok(), "{url}");
        }
        for url in [
            "http://id.example/keys",
            "http://localhost.example/keys",
            "ftp://127.0.0.1/keys",
            "https://me:pass@id.example/keys",
            "keys",
            "",
        ] {
            assert!(matches!(Address::new(url, None), Err(FetchError::Address)), "{url}");
        }
        let missing = Address::new("https://id.example/keys", Some(Path::new("/nowhere")));
        assert!(matches!(missing, Err(FetchError::Authorities { .. })));
    }
}
