//! Requests over TLS: bounded in number, repeated when a connection loses them.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Endpoint, VendorError};
use crate::clock::Time;

/// Requests to one vendor at once. Apple takes 1 000 streams on a connection.
const CONCURRENT: usize = 256;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(4);

/// How long all attempts together may take, waiting for a turn included: less than a notification may take, so that
/// the first to find a service silent can say so.
const ALL_ATTEMPTS: Duration = Duration::from_secs(8);

/// Attempts after the first.
const RETRIES: usize = 3;

/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// The way to one vendor.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    turns: Semaphore,
}

/// What a vendor said.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The `Retry-After` header, as it came.
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Transport {
    /// Makes a transport that speaks HTTP/2 only, as Apple asks.
    pub(super) fn http2(endpoint: Option<&Endpoint>) -> Result<Self, VendorError> {
        Self::make(Client::builder().http2_prior_knowledge(), endpoint)
    }

    /// Makes a transport that speaks HTTP/2 where the other side does.
    pub(super) fn any_http(endpoint: Option<&Endpoint>) -> Result<Self, VendorError> {
        Self::make(Client::builder(), endpoint)
    }

    fn make(builder: ClientBuilder, endpoint: Option<&Endpoint>) -> Result<Self, VendorError> {
        let mut builder = builder
            .https_only(true)
            // A bearer goes nowhere but where it was sent.
            .redirect(Policy::none())
            // Attempts are counted here.
            .retry(reqwest::retry::never())
            .connect_timeout(ATTEMPT)
            .timeout(ATTEMPT)
            // Apple takes connections that come and go for an attack, and asks for pings on quiet ones.
            .pool_idle_timeout(Duration::from_hours(1))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(5))
            .http2_keep_alive_while_idle(true);
        if let Some(endpoint) = endpoint {
            let authority = Certificate::from_der(&endpoint.authority).map_err(VendorError::Client)?;
            builder = builder.tls_certs_only([authority]).no_proxy();
        }
        let client = builder.build().map_err(VendorError::Client)?;
        Ok(Self { client, turns: Semaphore::new(CONCURRENT) })
    }

    /// Sends a request and reads the answer; where the connection fails, again, after a pause with jitter. A request
    /// may arrive more than once. The error says why there is no answer, without the address: tokens are in it.
    pub(super) async fn send(&self, request: impl Fn(&Client) -> RequestBuilder) -> Result<Reply, String> {
        let attempts = async {
            // The semaphore is never closed, so there is always a permit to wait for.
            let _turn = self.turns.acquire().await;
            let attempt = || async { Reply::read(request(&self.client).send().await?).await };
            attempt.retry(pauses()).when(|error: &reqwest::Error| !error.is_builder()).await
        };
        match timeout(ALL_ATTEMPTS, attempts).await {
            Ok(answered) => answered.map_err(|error| words(&error.without_url())),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// Returns the pauses between attempts: doubling from 50 ms, each up to as much longer by chance.
fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(RETRIES).with_jitter()
}

impl Reply {
    async fn read(mut response: Response) -> Result<Self, reqwest::Error> {
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                body.truncate(MAX_ANSWER_BYTES);
                break;
            }
        }
        Ok(Self { status, retry_after, body })
    }

    /// Returns how long the vendor asks to wait, in milliseconds (RFC 9110 section 10.2.3: seconds or a date).
    pub(super) fn retry_after_ms(&self, now: Time) -> Option<u64> {
        let value = self.retry_after.as_deref()?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(seconds.saturating_mul(1_000));
        }
        let date = jiff::fmt::rfc2822::parse(value).ok()?;
        let date = u64::try_from(date.timestamp().as_millisecond()).ok()?;
        Some(date.saturating_sub(now.millis()))
    }
}

/// Returns an error with its causes, which is where a client says what went wrong.
fn words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        let _infallible = write!(words, ": {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Time = "1994-11-06T08:49:37.000Z".parse().unwrap();
        for (value, expected) in [
            ("120", Some(120_000)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let reply = Reply { status: 503, retry_after: Some(value.to_owned()), body: Vec::new() };
            assert_eq!(reply.retry_after_ms(now), expected, "{value}");
        }
    }
}
