//! Checks tokens. The library checks signature, algorithm, issuer and audience; times are checked here, against the
//! gateway's own clock.

use std::collections::HashSet;
use std::path::PathBuf;

use chat_core::clock::Time;
use chat_core::config::{Algorithm, AuthConfig};
use chat_core::id::UserId;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::Keys;
use super::{Identity, MAX_TOKEN_BYTES, Refused, Scopes};

/// Why the verifiers cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key file cannot be read.
    #[error("read {path} of verifier {verifier}")]
    Read {
        /// The verifier.
        verifier: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A shared secret is too short to be safe.
    #[error("the secret in {path} of verifier {verifier} has less than 32 bytes")]
    ShortSecret {
        /// The verifier.
        verifier: String,
        /// The file.
        path: PathBuf,
    },
    /// The algorithms do not fit the keys.
    #[error("verifier {verifier}: the algorithms do not fit its keys; a shared secret is for HS256 alone")]
    Algorithms {
        /// The verifier.
        verifier: String,
    },
    /// This version does not read such keys.
    #[error("verifier {verifier}: this version reads keys from a file only")]
    KeySource {
        /// The verifier.
        verifier: String,
    },
}

/// The verifiers of one gateway.
#[derive(Debug)]
pub(crate) struct Verifiers {
    verifiers: Vec<Verifier>,
}

#[derive(Debug)]
struct Verifier {
    name: String,
    user_claim: String,
    issuer: Option<String>,
    leeway_ms: u64,
    validation: Validation,
    keys: Keys,
}

/// The claims read before a signature is checked, to choose the verifier and for nothing else.
#[derive(Deserialize)]
struct Unverified {
    #[serde(default)]
    iss: Option<Value>,
}

impl Verifiers {
    /// Opens every verifier's keys.
    pub(crate) fn open(config: &AuthConfig) -> Result<Self, ConfigError> {
        let open = |verifier: &chat_core::config::Verifier| {
            let keys = Keys::open(&verifier.name, &verifier.algorithms, &verifier.keys)?;
            Ok(Verifier {
                name: verifier.name.clone(),
                user_claim: verifier.user_claim.clone(),
                issuer: verifier.issuer.clone(),
                leeway_ms: verifier.leeway_seconds * 1000,
                validation: validation(verifier),
                keys,
            })
        };
        Ok(Self { verifiers: config.verifiers.iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Checks a token: by the verifiers of its issuer, then by those without one, in order.
    pub(crate) fn verify(&self, token: &str, now: Time) -> Result<Identity, Refused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused::Bad("the token is larger than 4 KiB"));
        }
        let unverified =
            insecure_decode::<Unverified>(token).map_err(|_| Refused::Bad("the token is not a JSON web token"))?;
        let issuer = unverified.claims.iss.as_ref().and_then(Value::as_str);
        let of_issuer = self.verifiers.iter().filter(|verifier| verifier.issuer.as_deref() == issuer);
        let of_any =
            self.verifiers.iter().filter(|verifier| verifier.issuer.is_none() && verifier.issuer.as_deref() != issuer);
        let mut refused = Refused::Bad("no verifier takes the token's issuer");
        for verifier in of_issuer.chain(of_any) {
            match verifier.verify(token, now) {
                Ok(identity) => return Ok(identity),
                // An expired token had a good signature, so that is the more helpful answer.
                Err(why) if refused != Refused::Expired => refused = why,
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// Reads the keys again where they changed. Blocks on small files.
    pub(crate) fn reload(&self) {
        for verifier in &self.verifiers {
            match verifier.keys.reload() {
                Ok(true) => tracing::info!(verifier = verifier.name, "keys reloaded"),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(verifier = verifier.name, %error, "failed to reload keys; the old ones stay");
                }
            }
        }
    }
}

fn validation(verifier: &chat_core::config::Verifier) -> Validation {
    let mut validation = Validation {
        algorithms: verifier.algorithms.iter().copied().map(algorithm).collect(),
        required_spec_claims: HashSet::new(),
        validate_exp: false,
        validate_nbf: false,
        ..Validation::default()
    };
    if let Some(issuer) = &verifier.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    // Without a configured audience a token that has one is for somebody else (RFC 7519, 4.1.3).
    if let Some(audience) = &verifier.audience {
        validation.set_audience(&[audience]);
        validation.required_spec_claims.insert("aud".to_owned());
    }
    validation
}

fn algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

impl Verifier {
    fn verify(&self, token: &str, now: Time) -> Result<Identity, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Bad("the token's header cannot be read"))?;
        let key = self.keys.find(header.kid.as_deref());
        let claims = decode::<Map<String, Value>>(token, &key, &self.validation)
            .map_err(|error| Refused::Bad(reason(error.kind())))?
            .claims;
        let expires_at = time(&claims, "exp")?.ok_or(Refused::Bad("the token has no `exp`"))?;
        if expires_at.plus_millis(self.leeway_ms) <= now {
            return Err(Refused::Expired);
        }
        if time(&claims, "nbf")?.is_some_and(|from| from > now.plus_millis(self.leeway_ms)) {
            return Err(Refused::Bad("the token is not valid yet"));
        }
        let user = claims.get(&self.user_claim).and_then(Value::as_str).and_then(|text| UserId::new(text).ok());
        let user = user.ok_or(Refused::Bad("the token names no valid user id"))?;
        let scopes = match claims.get("scope") {
            None => Scopes::DEFAULT,
            Some(Value::String(scope)) => Scopes::parse(scope),
            Some(_) => return Err(Refused::Bad("the token's `scope` is not a string")),
        };
        Ok(Identity { user, scopes, issued_at: time(&claims, "iat")?, expires_at })
    }
}

/// Reads a `NumericDate` (RFC 7519): seconds, perhaps with a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Time>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64().map(|seconds| seconds * 1000.0) {
        Some(millis) if (0.0..=1e15).contains(&millis) => Ok(Some(Time::from_millis(millis as u64))),
        _ => Err(Refused::Bad("a time in the token is not a number of seconds")),
    }
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidAlgorithm => "the token's algorithm is not taken",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a required claim",
        _ => "the token cannot be read",
    }
}

#[cfg(test)]
mod tests;
