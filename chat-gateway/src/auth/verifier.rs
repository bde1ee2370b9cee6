//! Checks tokens. The library checks signature, algorithm, issuer and audience; times are checked here, against the
//! gateway's own clock.

use std::collections::HashSet;
use std::path::PathBuf;

use chat_core::clock::Time;
use chat_core::config::{Algorithm, AuthConfig};
use chat_core::id::UserId;
use futures_util::future::join_all;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::keys::Keys;
use super::{FetchError, Identity, MAX_TOKEN_BYTES, Refused, Scopes};

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
    #[error(
        "verifier {verifier}: the algorithms do not fit its keys; a shared secret is for HS256, and for that alone"
    )]
    Algorithms {
        /// The verifier.
        verifier: String,
    },
    /// The address of published keys, or the file of its authorities, cannot be used.
    #[error("the keys of verifier {verifier}")]
    Address {
        /// The verifier.
        verifier: String,
        /// Why.
        source: FetchError,
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
    /// One for each algorithm taken, because the library wants all of one to be of one family.
    validations: Vec<(jsonwebtoken::Algorithm, Validation)>,
    keys: Keys,
}

/// Why one verifier does not take a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Refused(Refused),
    /// None of the keys at hand made the signature, but one of tomorrow's may have.
    UnknownKey,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
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
                validations: verifier.algorithms.iter().map(|taken| validation(verifier, *taken)).collect(),
                keys,
            })
        };
        Ok(Self { verifiers: config.verifiers.iter().map(open).collect::<Result<_, _>>()? })
    }

    /// Fetches published keys until the gateway stops.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let published = self.verifiers.iter().filter_map(|verifier| match &verifier.keys {
            Keys::Shared(_) => None,
            Keys::Published(keys) => Some(keys.run(shutdown.clone())),
        });
        join_all(published).await;
    }

    /// Returns whether every verifier has keys, so that no good token is refused here which another gateway takes.
    pub(crate) fn have_keys(&self) -> bool {
        self.verifiers.iter().all(|verifier| verifier.keys.are_known())
    }

    /// Checks a token: by the verifiers of its issuer, then by those without one, in order. Waits a few seconds where
    /// its key has to be fetched first.
    pub(crate) async fn verify(&self, token: &str, now: Time) -> Result<Identity, Refused> {
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
        let mut to_learn = Vec::new();
        for verifier in of_issuer.chain(of_any) {
            match verifier.verify(token, &unverified.header, now) {
                Ok(identity) => return Ok(identity),
                Err(Failure::UnknownKey) => to_learn.push(verifier),
                // An expired token had a good signature, so that is the more helpful answer.
                Err(Failure::Refused(why)) if refused != Refused::Expired => refused = why,
                Err(Failure::Refused(_)) => {}
            }
        }
        for verifier in to_learn {
            let learned = verifier.learn(token, &unverified.header, now).await;
            match learned {
                Ok(identity) => return Ok(identity),
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

fn validation(verifier: &chat_core::config::Verifier, taken: Algorithm) -> (jsonwebtoken::Algorithm, Validation) {
    let taken = algorithm(taken);
    let mut validation = Validation {
        algorithms: vec![taken],
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
    (taken, validation)
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

const WRONG_SIGNATURE: Refused = Refused::Bad("the token's signature is wrong");

impl Verifier {
    /// Fetches the keys, then checks again.
    async fn learn(&self, token: &str, header: &Header, now: Time) -> Result<Identity, Refused> {
        let Keys::Published(keys) = &self.keys else { return Err(WRONG_SIGNATURE) };
        if !keys.learn().await {
            return Err(Refused::Unsure);
        }
        self.verify(token, header, now).map_err(|failure| match failure {
            Failure::Refused(why) => why,
            Failure::UnknownKey => Refused::Bad("the token's issuer publishes no such key"),
        })
    }

    /// Checks a token with the keys at hand.
    fn verify(&self, token: &str, header: &Header, now: Time) -> Result<Identity, Failure> {
        let pinned = self.validations.iter().find(|(algorithm, _)| *algorithm == header.alg);
        let (_, validation) = pinned.ok_or(Refused::Bad("the token's algorithm is not taken"))?;
        let claims = self.claims(token, header, validation)?;
        Ok(self.identity(&claims, now)?)
    }

    fn claims(&self, token: &str, header: &Header, validation: &Validation) -> Result<Map<String, Value>, Failure> {
        let keys = self.keys.find(header.alg, header.kid.as_deref());
        let has_candidates = !keys.is_empty();
        for key in keys {
            match decode::<Map<String, Value>>(token, &key, validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(error) => return Err(Refused::Bad(reason(error.kind())).into()),
            }
        }
        // Of a named key the signature is wrong; where none is named it may be that of a key not seen yet.
        let is_named = header.kid.is_some() || matches!(self.keys, Keys::Shared(_));
        Err(if has_candidates && is_named { WRONG_SIGNATURE.into() } else { Failure::UnknownKey })
    }

    fn identity(&self, claims: &Map<String, Value>, now: Time) -> Result<Identity, Refused> {
        let expires_at = time(claims, "exp")?.ok_or(Refused::Bad("the token has no `exp`"))?;
        if expires_at.plus_millis(self.leeway_ms) <= now {
            return Err(Refused::Expired);
        }
        if time(claims, "nbf")?.is_some_and(|from| from > now.plus_millis(self.leeway_ms)) {
            return Err(Refused::Bad("the token is not valid yet"));
        }
        let user = claims.get(&self.user_claim).and_then(Value::as_str).and_then(|text| UserId::new(text).ok());
        let user = user.ok_or(Refused::Bad("the token names no valid user id"))?;
        let scopes = match claims.get("scope") {
            None => Scopes::DEFAULT,
            Some(Value::String(scope)) => Scopes::parse(scope),
            Some(_) => return Err(Refused::Bad("the token's `scope` is not a string")),
        };
        Ok(Identity { user, scopes, issued_at: time(claims, "iat")?, expires_at })
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
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks a required claim",
        _ => "the token cannot be read",
    }
}

#[cfg(test)]
mod tests;
