//! The access token: exchanged for an assertion, kept for most of its life, renewed by one call at a time.

use std::fmt;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::account::ServiceAccount;
use crate::clock::{Clock, Time};
use crate::push::PushAnswer;
use crate::push::vendors::credential::Credential;
use crate::push::vendors::standing::Verdict;
use crate::push::vendors::transport::{Reply, Transport};

/// How long before its end a token is renewed, in milliseconds; half its life, if that is less.
const RENEW_BEFORE_MS: u64 = 5 * 60_000;

/// How long a failed exchange is not repeated: every notification needs a token. Google may ask for more, up to
/// [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(2);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Makes access tokens and keeps the current one.
#[derive(Debug)]
pub(super) struct AccessTokens {
    account: Credential<ServiceAccount>,
    current: StdMutex<Option<Arc<Access>>>,
    /// Held during an exchange.
    exchange: Mutex<Option<Failure>>,
}

/// An access token and whose it is.
pub(super) struct Access {
    pub(super) account: Arc<ServiceAccount>,
    pub(super) authorization: HeaderValue,
    renew_at: Time,
    expires_at: Time,
}

/// An exchange that failed.
#[derive(Debug)]
struct Failure {
    account: Arc<ServiceAccount>,
    /// Before this there is no new attempt.
    until: Instant,
    verdict: Verdict,
}

impl Failure {
    fn new(account: Arc<ServiceAccount>, verdict: Verdict) -> Self {
        let asked_for = match &verdict {
            Verdict::Answer(PushAnswer::Later { retry_after_ms: Some(ms), .. }) => Duration::from_millis(*ms),
            _ => Duration::ZERO,
        };
        Self { account, until: Instant::now() + asked_for.clamp(PAUSE, LONGEST_PAUSE), verdict }
    }

    /// Returns how long there is no new attempt.
    fn pause(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Returns what to make of a notification: an earlier repetition would find no token either.
    fn verdict(&self) -> Verdict {
        match &self.verdict {
            Verdict::Answer(PushAnswer::Later { reason, .. }) => {
                let pause = u64::try_from(self.pause().as_millis()).unwrap_or(u64::MAX);
                Verdict::later(reason.clone(), Some(pause))
            }
            verdict => verdict.clone(),
        }
    }
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

/// RFC 6749 section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({:?} until {})", self.account, self.expires_at)
    }
}

impl AccessTokens {
    pub(super) fn new(account: Credential<ServiceAccount>) -> Self {
        Self { account, current: StdMutex::new(None), exchange: Mutex::new(None) }
    }

    /// Returns an access token that holds. One call renews it; the others use the old one meanwhile, or wait where
    /// there is none. The error is what to make of a notification without a token.
    pub(super) async fn current(&self, transport: &Transport, clock: &dyn Clock) -> Result<Arc<Access>, Verdict> {
        let now = clock.now();
        let account = self.account.current(now);
        let Some(access) = self.kept(&account, now) else {
            let turn = self.exchange.lock().await;
            // Another call may have renewed it while this one waited.
            return match self.kept(&account, clock.now()) {
                Some(access) => Ok(access),
                None => self.renew(turn, account, transport, clock).await,
            };
        };
        if now >= access.renew_at
            && let Ok(turn) = self.exchange.try_lock()
        {
            return Ok(self.renew(turn, account, transport, clock).await.unwrap_or(access));
        }
        Ok(access)
    }

    /// Forgets a token that was refused.
    pub(super) fn give_up(&self, refused: &Arc<Access>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.take_if(|access| Arc::ptr_eq(access, refused));
    }

    fn kept(&self, account: &Arc<ServiceAccount>, now: Time) -> Option<Arc<Access>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |access: &&Arc<Access>| Arc::ptr_eq(&access.account, account) && now < access.expires_at;
        current.as_ref().filter(is_good).cloned()
    }

    async fn renew(
        &self,
        mut failed: MutexGuard<'_, Option<Failure>>,
        account: Arc<ServiceAccount>,
        transport: &Transport,
        clock: &dyn Clock,
    ) -> Result<Arc<Access>, Verdict> {
        if let Some(failure) = failed.as_ref().filter(|failure| Arc::ptr_eq(&failure.account, &account))
            && !failure.pause().is_zero()
        {
            return Err(failure.verdict());
        }
        match exchange(&account, transport, clock.now()).await {
            Ok(access) => {
                let access = Arc::new(access);
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&access));
                *failed = None;
                Ok(access)
            }
            Err(verdict) => {
                let failure = failed.insert(Failure::new(account, verdict));
                Err(failure.verdict())
            }
        }
    }
}

/// Exchanges an assertion for an access token (RFC 7523 section 2.1).
async fn exchange(account: &Arc<ServiceAccount>, transport: &Transport, now: Time) -> Result<Access, Verdict> {
    let Some(assertion) = account.assertion(now) else {
        return Err(Verdict::Misconfigured { reason: "the service account's key does not sign".to_owned() });
    };
    let form = [("grant_type", GRANT_TYPE), ("assertion", assertion.as_str())];
    let sent = transport.send(|client| client.post(&account.token_uri).form(&form)).await;
    let reply = sent.map_err(|reason| Verdict::later(format!("no access token: {reason}"), None))?;
    judge(account, &reply, now)
}

fn judge(account: &Arc<ServiceAccount>, reply: &Reply, now: Time) -> Result<Access, Verdict> {
    if reply.status == 200
        && let Ok(Token { access_token, expires_in }) = serde_json::from_slice(&reply.body)
        && let Ok(mut authorization) = HeaderValue::from_str(&format!("Bearer {access_token}"))
    {
        authorization.set_sensitive(true);
        let life = expires_in.saturating_mul(1_000);
        return Ok(Access {
            account: Arc::clone(account),
            authorization,
            renew_at: now.plus_millis(life - RENEW_BEFORE_MS.min(life / 2)),
            expires_at: now.plus_millis(life),
        });
    }
    let refusal = serde_json::from_slice::<Refusal>(&reply.body).map(|refusal| refusal.error);
    let reason = format!("no access token: {}", refusal.unwrap_or_else(|_| format!("HTTP {}", reply.status)));
    Err(match reply.status {
        400..=403 => Verdict::Misconfigured { reason },
        _ => Verdict::later(reason, reply.retry_after_ms(now)),
    })
}
