//! One operator at a time: a Lease that the one which works renews.
//!
//! A holder that cannot renew stops before the others may take over, so that no two work at once as long as clocks run
//! at about the same speed: time is measured here, never compared with that of another machine.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Error};
use tokio::time::{Instant, sleep, timeout};

use super::now;

/// Name of the Lease.
const NAME: &str = "chat-operator";

/// How long a lease holds after it was last renewed.
const HOLDS: Duration = Duration::from_secs(15);

/// How long a holder goes on without being able to renew.
const RENEW_WITHIN: Duration = Duration::from_secs(10);

/// Pause between renewals, and between looks at another's lease.
const EVERY: Duration = Duration::from_secs(2);

/// A lease of this process.
pub(super) struct Holder {
    api: Api<Lease>,
    identity: String,
}

impl Holder {
    /// Names the lease, in the operator's own namespace, and who is to hold it.
    pub(super) fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), identity }
    }

    /// Waits until the lease is ours.
    pub(super) async fn acquire(&self) {
        // What the lease was when it was last seen to change, and when that was.
        let mut seen: Option<(Option<String>, Instant)> = None;
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot take the lease"),
            }
            sleep(EVERY).await;
        }
    }

    async fn try_acquire(&self, seen: &mut Option<(Option<String>, Instant)>) -> Result<bool, Error> {
        let Some(lease) = self.api.get_opt(NAME).await? else {
            return lost_race(self.api.create(&PostParams::default(), &self.lease(None)).await);
        };
        let version = lease.metadata.resource_version.clone();
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).filter(|it| !it.is_empty());
        let is_ours = holder.as_ref() == Some(&self.identity);
        if let (Some(holder), false) = (&holder, is_ours) {
            match seen {
                Some((known, at)) if *known == version => {
                    if at.elapsed() < HOLDS {
                        return Ok(false);
                    }
                    tracing::info!(holder, "takes over a lease that was not renewed");
                }
                _ => {
                    if seen.is_none() {
                        tracing::info!(holder, "stands by: another operator works");
                    }
                    *seen = Some((version, Instant::now()));
                    return Ok(false);
                }
            }
        }
        lost_race(self.api.replace(NAME, &PostParams::default(), &self.lease(version)).await)
    }

    /// Renews the lease until that fails for too long, or somebody else has it.
    pub(super) async fn keep(&self) {
        let mut renewed = Instant::now();
        loop {
            sleep(EVERY).await;
            let left = RENEW_WITHIN.saturating_sub(renewed.elapsed());
            if left.is_zero() {
                return tracing::error!("the lease could not be renewed in time");
            }
            match timeout(left, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return tracing::error!("another operator has the lease"),
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the lease"),
                Err(_) => {}
            }
        }
    }

    async fn renew(&self) -> Result<bool, Error> {
        let lease = self.api.get(NAME).await?;
        if lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()) != Some(&self.identity) {
            return Ok(false);
        }
        let renewed = self.lease(lease.metadata.resource_version);
        self.api.replace(NAME, &PostParams::default(), &renewed).await.map(|_| true)
    }

    /// Lets go of the lease, so that the next operator need not wait.
    pub(super) async fn release(&self) {
        let release = async {
            let mut lease = self.api.get(NAME).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_ref() == Some(&self.identity) {
                spec.holder_identity = None;
                self.api.replace(NAME, &PostParams::default(), &lease).await?;
            }
            Ok::<_, Error>(())
        };
        if let Ok(Err(error)) = timeout(EVERY, release).await {
            tracing::warn!(%error, "cannot let go of the lease; it runs out by itself");
        }
    }

    fn lease(&self, version: Option<String>) -> Lease {
        let metadata = ObjectMeta { name: Some(NAME.to_owned()), resource_version: version, ..ObjectMeta::default() };
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(HOLDS.as_secs()).ok(),
            renew_time: Some(MicroTime(now().0)),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

/// Tells whether a write went through; a conflict means that somebody else was faster.
fn lost_race<T>(written: Result<T, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
