//! The way to Apple and Google.
//!
//! ```text
//!  deliver ──► request (pure) ──► transport: TLS, HTTP/2, retries ──► vendor
//!                  ▲                                                    │
//!       credential (file) ──► token, kept until it must be renewed      ▼
//!  PushAnswer ◄── standing ◄────────────────────────────── verdict (pure)
//! ```
//!
//! Requests that a connection lost are repeated here, a few times, under the same collapse id. What the vendor puts off
//! is for the caller to repeat: it has the patience. Neither tokens nor keys are in errors, logs or `Debug`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::time::timeout;

use super::{Device, Notification, Platform, PushAnswer, PushSender};
use crate::clock::Clock;
use crate::config::PushConfig;

mod apns;
mod credential;
mod fcm;
mod standing;
mod transport;

pub use credential::CredentialError;

use apns::Apns;
use fcm::Fcm;

/// How long a notification may take, new tokens and repetitions included.
const DEADLINE: Duration = Duration::from_secs(9);

/// How long a vendor keeps a notification for a device that is off, in milliseconds: a week.
const KEPT_FOR_MS: u64 = 7 * 24 * 3_600_000;

/// Why there is no way to the vendors.
#[derive(Debug, Error)]
pub enum VendorError {
    /// A file with credentials cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The HTTP client cannot be made: no authority of certificates, as a rule.
    #[error("no HTTP client: {0}")]
    Client(#[source] reqwest::Error),
}

impl VendorError {
    /// Tells whether another attempt may succeed: a file may not be mounted yet.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Credential(CredentialError::Read { .. }))
    }
}

/// Where a vendor's service is, if not at its own address. It is reached without a proxy.
#[derive(Clone)]
pub struct Endpoint {
    /// `https://host:port`.
    pub base: String,
    /// The only authority whose certificates are taken, DER.
    pub authority: Vec<u8>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.base)
    }
}

/// Where the services are. `None` is the vendor's own address, with the system's authorities.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    /// Apple's.
    pub apns: Option<Endpoint>,
    /// Google's. Where access tokens come from, the service account says.
    pub fcm: Option<Endpoint>,
}

/// Sends by the vendors that are configured; devices of another are refused.
#[derive(Debug)]
pub struct Vendors {
    apns: Option<Apns>,
    fcm: Option<Fcm>,
}

impl Vendors {
    /// Opens the way to the vendors. Reads the credentials, which blocks on small files; connects at the first
    /// notification.
    ///
    /// # Errors
    /// Credentials are missing or cannot be used.
    pub fn new(config: &PushConfig, clock: &Arc<dyn Clock>) -> Result<Self, VendorError> {
        Self::at(config, &Endpoints::default(), clock)
    }

    /// Opens the way to services at other addresses.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn at(config: &PushConfig, endpoints: &Endpoints, clock: &Arc<dyn Clock>) -> Result<Self, VendorError> {
        let apns = config.apns.as_ref().map(|apns| Apns::open(apns, endpoints.apns.as_ref(), Arc::clone(clock)));
        let fcm = config.fcm.as_ref().map(|fcm| Fcm::open(fcm, endpoints.fcm.as_ref(), Arc::clone(clock)));
        Ok(Self { apns: apns.transpose()?, fcm: fcm.transpose()? })
    }
}

#[async_trait]
impl PushSender for Vendors {
    async fn deliver(&self, device: &Device, notification: &Notification) -> PushAnswer {
        let delivery = async {
            match (device.platform, &self.apns, &self.fcm) {
                (Platform::Apns, Some(apns), _) => apns.deliver(&device.token, notification).await,
                (Platform::Fcm, _, Some(fcm)) => fcm.deliver(&device.token, notification).await,
                (Platform::Apns, None, _) | (Platform::Fcm, _, None) => {
                    PushAnswer::Refused { reason: "this vendor is not configured".to_owned() }
                }
            }
        };
        let late = || PushAnswer::Later { reason: "no answer in time".to_owned(), retry_after_ms: None };
        timeout(DEADLINE, delivery).await.unwrap_or_else(|_| late())
    }
}
