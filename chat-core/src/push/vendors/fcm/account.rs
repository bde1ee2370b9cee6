//! The key of a service account, as Google hands it out, and the assertion it signs.

use std::fmt;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// What an access token is asked for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// How long an assertion holds, in seconds: the longest Google takes.
const ASSERTION_SECONDS: u64 = 3_600;

/// A service account. Its key is not shown.
pub(super) struct ServiceAccount {
    /// Whose devices are pushed to.
    pub(super) project_id: String,
    /// Where access tokens come from.
    pub(super) token_uri: String,
    client_email: String,
    key_id: String,
    key: EncodingKey,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount({})", self.client_email)
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// Reads a service account. `None` where it is not one, or its key does not sign.
pub(super) fn read(json: &[u8]) -> Option<ServiceAccount> {
    let file: File = serde_json::from_slice(json).ok()?;
    let names_a_project = !file.project_id.is_empty()
        && file.project_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte));
    if file.kind != "service_account" || !file.token_uri.starts_with("https://") || !names_a_project {
        return None;
    }
    let account = ServiceAccount {
        project_id: file.project_id,
        token_uri: file.token_uri,
        client_email: file.client_email,
        key_id: file.private_key_id,
        key: EncodingKey::from_rsa_pem(file.private_key.as_bytes()).ok()?,
    };
    account.assertion(Time::default())?;
    Some(account)
}

impl ServiceAccount {
    /// Signs an assertion: that we are this account and ask for an access token. `None` if the key does not sign.
    pub(super) fn assertion(&self, now: Time) -> Option<String> {
        let iat = now.millis() / 1_000;
        let claims =
            Claims { iss: &self.client_email, scope: SCOPE, aud: &self.token_uri, iat, exp: iat + ASSERTION_SECONDS };
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::RS256) };
        encode(&header, &claims, &self.key).ok()
    }
}
