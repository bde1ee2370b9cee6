//! Keys that an issuer publishes: a JWK set (RFC 7517) behind an address, fetched, kept, and fetched again.
//!
//! One task a verifier fetches, so that there is one request at a time however many tokens wait. The set stays in use
//! while its address does not answer. A token whose key is not in the set asks for a new fetch, at most one in
//! [`COOLDOWN`], and is judged by one that began after it came.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::address::Address;
use self::set::KeySet;
use super::ConfigError;

mod address;
mod set;

pub use address::FetchError;
pub use set::SetError;

/// A set is fetched again after this long, up to a tenth later: a withdrawn key is taken no longer than that.
const REFRESH_EVERY: Duration = Duration::from_mins(5);

/// The least time between the beginnings of two fetches, whatever tokens come.
const COOLDOWN: Duration = Duration::from_secs(5);

/// How long a token waits for a fetch: the cooldown, and a fetch of ordinary length.
const LEARN_WITHIN: Duration = Duration::from_secs(8);

/// The longest wait after fetches that failed.
const BACK_OFF_MAX: Duration = Duration::from_mins(1);

/// The keys of one verifier.
#[derive(Debug)]
pub(super) struct Published {
    verifier: String,
    address: Address,
    current: RwLock<Option<Arc<KeySet>>>,
    wanted: Notify,
    /// How many fetches have begun.
    begun: AtomicU64,
    ended: watch::Sender<Ended>,
}

/// The newest fetch that ended.
#[derive(Debug, Clone, Copy, Default)]
struct Ended {
    number: u64,
    is_good: bool,
}

impl Published {
    /// Checks the address and the authorities. Nothing is fetched before [`run`](Self::run). Blocks on one small file.
    pub(super) fn open(verifier: &str, url: &str, ca_file: Option<&Path>) -> Result<Self, ConfigError> {
        let address = Address::new(url, ca_file)
            .map_err(|source| ConfigError::Address { verifier: verifier.to_owned(), source })?;
        Ok(Self {
            verifier: verifier.to_owned(),
            address,
            current: RwLock::new(None),
            wanted: Notify::new(),
            begun: AtomicU64::new(0),
            ended: watch::Sender::new(Ended::default()),
        })
    }

    /// Returns whether a set was ever fetched.
    pub(super) fn is_known(&self) -> bool {
        self.current().is_some()
    }

    /// Returns the keys that may have made a signature by this algorithm under this `kid`.
    pub(super) fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Vec<Arc<DecodingKey>> {
        self.current().map(|set| set.find(algorithm, kid)).unwrap_or_default()
    }

    /// Waits for a fetch that begins after now; returns whether it was good.
    pub(super) async fn learn(&self) -> bool {
        let mut ended = self.ended.subscribe();
        let before = self.begun.load(Relaxed);
        self.wanted.notify_one();
        let newer = ended.wait_for(|ended| ended.number > before);
        matches!(timeout(LEARN_WITHIN, newer).await, Ok(Ok(ended)) if ended.is_good)
    }

    /// Fetches until the gateway stops.
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        let mut failures = 0_u32;
        loop {
            let begun_at = Instant::now();
            let is_good = tokio::select! {
                () = shutdown.cancelled() => return,
                is_good = self.fetch() => is_good,
            };
            failures = if is_good { 0 } else { failures.saturating_add(1) };
            let pause = if is_good { REFRESH_EVERY.mul_f64(rand::random_range(1.0..1.1)) } else { back_off(failures) };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep_until(begun_at + pause) => {}
                () = async {
                    self.wanted.notified().await;
                    sleep_until(begun_at + COOLDOWN).await;
                } => {}
            }
        }
    }

    async fn fetch(&self) -> bool {
        let number = self.begun.fetch_add(1, Relaxed) + 1;
        let fetched = self.address.fetch().await;
        let is_good = match fetched {
            Ok(set) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                if current.as_ref().is_none_or(|current| !current.is_same(&set)) {
                    tracing::info!(verifier = self.verifier, keys = set.len(), "published keys taken");
                    *current = Some(Arc::new(set));
                }
                true
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(verifier = self.verifier, error, "failed to fetch keys; those at hand stay");
                false
            }
        };
        self.ended.send_replace(Ended { number, is_good });
        is_good
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns how long to wait after this many fetches that failed: 1 s doubled each time, half of it by chance.
fn back_off(failures: u32) -> Duration {
    let longest = Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(BACK_OFF_MAX);
    longest.mul_f64(rand::random_range(0.5..1.0))
}
