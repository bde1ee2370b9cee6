//! A JWK set as it is used: public keys, each with the algorithms that fit it. Pure.

use std::sync::Arc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The most keys taken: a token without a `kid` is tried with each that fits.
const MAX_KEYS: usize = 32;

/// Why a text is no set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It is not JSON of the form.
    #[error("the text is not a JWK set")]
    Form(#[from] serde_json::Error),
    /// Nothing in it can be used.
    #[error("no key in the set can check a signature")]
    Empty,
    /// There is too much in it.
    #[error("the set has more than 32 keys")]
    TooMany,
}

/// The usable keys of a set.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<PublicKey>,
}

struct PublicKey {
    jwk: Jwk,
    kind: Kind,
    key: Arc<DecodingKey>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.kind, self.jwk.common.key_id)
    }
}

/// What makes a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    /// Returns the kind of key; shared secrets are none that may be published.
    fn of_key(jwk: &Jwk) -> Option<Self> {
        match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Some(Self::Rsa),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Some(Self::P256),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Some(Self::P384),
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Some(Self::Ed25519),
            _ => None,
        }
    }

    fn of_algorithm(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Some(Self::Rsa),
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            Algorithm::EdDSA => Some(Self::Ed25519),
            _ => None,
        }
    }
}

impl PublicKey {
    /// Reads one key; those for other uses, and those of kinds that are not ours, are none.
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let kind = Kind::of_key(&jwk)?;
        let is_to_sign = jwk.common.public_key_use.as_ref().is_none_or(|what| *what == PublicKeyUse::Signature);
        let is_to_verify = jwk.common.key_operations.as_ref().is_none_or(|what| what.contains(&KeyOperations::Verify));
        let key = Arc::new(DecodingKey::from_jwk(&jwk).ok()?);
        (is_to_sign && is_to_verify).then_some(Self { jwk, kind, key })
    }

    fn fits(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let is_of_kind = Kind::of_algorithm(algorithm) == Some(self.kind);
        let own = self.jwk.common.key_algorithm;
        let is_own = own.is_none_or(|own| own == KeyAlgorithm::from(algorithm));
        is_of_kind && is_own && kid.is_none_or(|kid| self.jwk.common.key_id.as_deref() == Some(kid))
    }
}

impl KeySet {
    /// Reads a set. Keys that cannot be used are passed over, as RFC 7517 section 5 asks.
    pub(super) fn parse(text: &[u8]) -> Result<Self, SetError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(text)?;
        let keys: Vec<PublicKey> = document.keys.into_iter().filter_map(PublicKey::read).collect();
        match keys.len() {
            0 => Err(SetError::Empty),
            1..=MAX_KEYS => Ok(Self { keys }),
            _ => Err(SetError::TooMany),
        }
    }

    /// Returns how many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether the other has the same keys in the same order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.keys.iter().map(|key| &key.jwk).eq(other.keys.iter().map(|key| &key.jwk))
    }

    /// Returns the keys that fit; without a `kid` all of the algorithm.
    pub(super) fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Vec<Arc<DecodingKey>> {
        self.keys.iter().filter(|key| key.fits(algorithm, kid)).map(|key| Arc::clone(&key.key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(keys: &Value) -> Result<KeySet, SetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_key_fits_its_kind_its_algorithm_and_its_name() {
        let set = set(&json!([
            { "kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB", "alg": "RS256", "use": "sig" },
            { "kty": "RSA", "kid": "b", "n": "AQAB", "e": "AQAB", "key_ops": ["verify"], "x5t": "of no interest" },
            { "kty": "EC", "crv": "P-256", "kid": "c", "x": "AQAB", "y": "AQAB" },
            { "kty": "OKP", "crv": "Ed25519", "x": "AQAB" },
        ]))
        .unwrap();
        let found = |algorithm, kid| set.find(algorithm, kid).len();
        assert_eq!(found(Algorithm::RS256, None), 2);
        assert_eq!(found(Algorithm::RS256, Some("a")), 1);
        assert_eq!(found(Algorithm::RS512, Some("a")), 0);
        assert_eq!(found(Algorithm::RS512, Some("b")), 1);
        assert_eq!(found(Algorithm::ES256, Some("c")), 1);
        assert_eq!(found(Algorithm::ES384, Some("c")), 0);
        assert_eq!(found(Algorithm::EdDSA, None), 1);
        assert_eq!(found(Algorithm::EdDSA, Some("c")), 0);
        assert_eq!(found(Algorithm::HS256, None), 0);
    }

    #[test]
    fn what_cannot_check_a_signature_is_passed_over() {
        for key in [
            json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" }),
            json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc" }),
            json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "key_ops": ["encrypt"] }),
            json!({ "kty": "RSA", "n": "not base64!", "e": "AQAB" }),
            json!({ "kty": "EC", "crv": "P-521", "x": "AQAB", "y": "AQAB" }),
            json!({ "kty": "of tomorrow" }),
            json!(7),
        ] {
            assert!(matches!(set(&json!([key])), Err(SetError::Empty)), "{key}");
        }
        for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert!(matches!(KeySet::parse(text.as_bytes()), Err(SetError::Form(_))), "{text}");
        }
        let key = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
        assert!(set(&vec![key.clone(); 32].into()).is_ok());
        assert!(matches!(set(&vec![key; 33].into()), Err(SetError::TooMany)));
    }
}
