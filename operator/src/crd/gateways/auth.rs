//! Whose tokens are accepted.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::{rules, secrets::SecretKeyRef, syntax};

/// Says whose tokens are accepted.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Issuers of tokens, at most 4, so that keys and issuers can overlap while they change; the first that takes a token
    /// wins. None: an HS256 key is generated in Secret NAME-jwt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub verifiers: Vec<Verifier>,
}

/// Checks the tokens of one issuer.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::one_key(), rules::algorithms_fit_key()]))]
#[serde(rename_all = "camelCase")]
pub struct Verifier {
    /// Name of the verifier, in logs and metrics; unique in the list.
    #[schemars(length(max = 40), regex(pattern = syntax::LABEL))]
    pub name: String,

    /// Claim that holds the user id. Default: `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = syntax::CLAIM))]
    pub user_claim: Option<String>,

    /// Signatures accepted, at most 8. Default: `HS256` with `hs256`; `RS256`, `ES256` and `EdDSA` with `jwks`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub algorithms: Vec<Algorithm>,

    /// Value `iss` must have, at most 512 characters. Absent: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub issuer: Option<String>,

    /// Value `aud` must contain, at most 512 characters. Absent: not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub audience: Option<String>,

    /// Seconds by which clocks may differ, 0 to 300. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub leeway_seconds: Option<u32>,

    /// Shared secret. Excludes `jwks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hs256: Option<Hs256>,

    /// Public keys behind an address. Excludes `hs256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
}

impl Verifier {
    /// Returns the claim that holds the user id.
    pub fn user_claim(&self) -> &str {
        self.user_claim.as_deref().unwrap_or("sub")
    }

    /// Returns the signatures accepted.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        match (&self.hs256, self.algorithms.is_empty()) {
            (_, false) => self.algorithms.clone(),
            (Some(_), true) => vec![Algorithm::Hs256],
            (None, true) => vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
        }
    }

    /// Returns the time by which clocks may differ.
    pub fn leeway(&self) -> Duration {
        Duration::from_secs(self.leeway_seconds.unwrap_or(30).into())
    }
}

/// Points at a secret shared with the issuer.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hs256 {
    /// Key of at least 32 bytes, as it is. Default key: `key`. Read again when it changes.
    pub secret_ref: SecretKeyRef,
}

/// Says where an issuer publishes its keys.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Jwks {
    /// Address of the key set, over TLS; fetched again as keys rotate.
    #[schemars(length(max = 2048), regex(pattern = syntax::HTTPS_URL))]
    pub url: String,

    /// Authority that signed the certificate of that address. Default key: `ca.crt`. Absent: the public authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// Names a signature of tokens.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}
