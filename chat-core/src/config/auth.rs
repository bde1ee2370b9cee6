//! Who may come in: the verifiers of the customer's tokens.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The verifiers, tried by issuer, then in order; up to four, so that keys and issuers can overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuthConfig {
    /// The verifiers.
    pub verifiers: Vec<Verifier>,
}

/// One issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verifier {
    /// Name, for logs and metrics.
    pub name: String,
    /// The claim that holds the user id.
    #[serde(default = "sub")]
    pub user_claim: String,
    /// The algorithms taken; a token with any other is refused.
    pub algorithms: Vec<Algorithm>,
    /// Required `iss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Required `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Clock difference taken, in seconds.
    #[serde(default = "thirty")]
    pub leeway_seconds: u64,
    /// Where the keys are.
    pub keys: KeySource,
}

fn sub() -> String {
    "sub".to_owned()
}

fn thirty() -> u64 {
    30
}

/// Signature algorithms of RFC 7518 and RFC 8037 that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the registry")]
pub enum Algorithm {
    HS256,
    RS256,
    RS384,
    RS512,
    ES256,
    ES384,
    EdDSA,
}

/// Where the keys of a verifier are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum KeySource {
    /// A shared secret of at least 32 bytes, in a mounted file that is read again when it changes.
    Hs256File(PathBuf),
    /// A JWK set, fetched and cached.
    #[serde(rename_all = "camelCase")]
    Jwks {
        /// Where, by https.
        url: String,
        /// Certificates of the authorities to trust, PEM, beside the system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_file: Option<PathBuf>,
    },
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hs256File(path) => write!(f, "Hs256File({})", path.display()),
            Self::Jwks { url, .. } => write!(f, "Jwks({url})"),
        }
    }
}
