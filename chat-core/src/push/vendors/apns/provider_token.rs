//! The token that names us to Apple: signed by ES256, used for most of an hour, then renewed.

use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::header::HeaderValue;
use serde::Serialize;

use crate::clock::Time;
use crate::push::vendors::credential::Credential;

/// Age at which a token is renewed, in milliseconds. Apple refuses those older than an hour.
const RENEW_AT_MS: u64 = 50 * 60_000;

/// Least age of a token that may be renewed. Apple refuses to be given new ones more often.
const KEEP_FOR_MS: u64 = 20 * 60_000;

/// Makes provider tokens and keeps the current one.
#[derive(Debug)]
pub(super) struct ProviderTokens {
    key: Credential<EncodingKey>,
    key_id: String,
    team_id: String,
    current: Mutex<Option<Issued>>,
}

struct Issued {
    by: Arc<EncodingKey>,
    at: Time,
    authorization: HeaderValue,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issued({})", self.at)
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl Issued {
    /// Returns the token's age. The vendor reads it off the wall clock, so we do too; after a clock was set back, age is
    /// how far from now it was made.
    fn age_ms(&self, now: Time) -> u64 {
        now.millis().abs_diff(self.at.millis())
    }
}

/// Reads a signing key: PKCS #8 in PEM, on the P-256 curve. `None` where it is anything else.
pub(super) fn signing_key(pem: &[u8]) -> Option<EncodingKey> {
    let key = EncodingKey::from_ec_pem(pem).ok()?;
    // The curve is not looked at before the key is used.
    encode(&Header::new(Algorithm::ES256), &Claims { iss: "", iat: 0 }, &key).ok()?;
    Some(key)
}

impl ProviderTokens {
    pub(super) fn new(key: Credential<EncodingKey>, key_id: String, team_id: String) -> Self {
        Self { key, key_id, team_id, current: Mutex::new(None) }
    }

    /// Returns the `authorization` header: the same for 50 minutes, unless the key changes. `None` if the key does not
    /// sign.
    pub(super) fn current(&self, now: Time) -> Option<HeaderValue> {
        let key = self.key.current(now);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(issued) = current.as_ref()
            && Arc::ptr_eq(&issued.by, &key)
            && issued.age_ms(now) < RENEW_AT_MS
        {
            return Some(issued.authorization.clone());
        }
        let header = Header { typ: None, kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let token = encode(&header, &Claims { iss: &self.team_id, iat: now.millis() / 1_000 }, &key).ok()?;
        let mut authorization = HeaderValue::from_str(&format!("bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        *current = Some(Issued { by: key, at: now, authorization: authorization.clone() });
        Some(authorization)
    }

    /// Gives the current token up, where it is old enough to be renewed; returns whether it was.
    pub(super) fn give_up(&self, now: Time) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.take_if(|issued| issued.age_ms(now) >= KEEP_FOR_MS).is_some()
    }
}
