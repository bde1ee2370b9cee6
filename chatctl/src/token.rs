//! Tokens of the local stack: HS256 with the key in the data directory.
//!
//! The key is made by `chatctl local` (mode 0600, 32 random bytes). Beside it lies what the manifest's verifier asks of
//! a token, so that `chatctl token` makes one that is taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chat_core::clock::{Clock as _, SystemClock, Time};
use chat_core::id::UserId;
use clap::Args;
use jsonwebtoken::{EncodingKey, Header};
use operator::crd::Period;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::output;

/// Name of the key's file in the data directory.
pub const KEY_FILE: &str = "jwt.key";

/// Name of the file beside it with what the verifier asks of a token.
pub const CLAIMS_FILE: &str = "jwt.json";

/// Shortest key: HS256 asks for at least as many bits as its hash has (RFC 7518, section 3.2).
pub const MIN_KEY_BYTES: usize = 32;

/// Arguments of `chatctl token`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  chatctl token --user ann
  chatctl token --user backend --scope 'read write admin' --ttl 1h
  chatctl token --user ann --key-file secrets/jwt.key
  curl -H \"Authorization: Bearer $(chatctl token --user ann)\" http://127.0.0.1:8080/v1/me")]
pub struct TokenArgs {
    /// Directory of the local stack.
    #[arg(long, value_name = "DIR", default_value = crate::local::DATA_DIR, conflicts_with = "key_file")]
    data_dir: PathBuf,
    /// HS256 key to sign with, for a server elsewhere.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// User the token is for: 1 to 128 of A-Za-z0-9._~@+:|-.
    #[arg(long)]
    user: UserId,
    /// What it allows, separated by spaces: read, write, admin. Absent: read and write.
    #[arg(long)]
    scope: Option<String>,
    /// How long it is good for: a whole number and s, m, h or d.
    #[arg(long, default_value = "24h")]
    ttl: Period,
}

/// Prints one token.
pub fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let signer = match &args.key_file {
        Some(path) => Signer::new(read_key(path)?, Claims::default()),
        None => Signer::open(&args.data_dir)?,
    };
    let token = signer.sign(&args.user, args.scope.as_deref(), args.ttl.duration(), SystemClock.now())?;
    output::line(&token)
}

/// Signs a token as the protocol's default verifier takes it: claims `sub`, `iat`, `exp` and, if given, `scope`.
pub fn sign(key: &[u8], user: &UserId, scope: Option<&str>, ttl: Duration, now: Time) -> anyhow::Result<String> {
    Signer::new(key.to_vec(), Claims::default()).sign(user, scope, ttl, now)
}

/// Reads a key and refuses one that is too short to be safe. One line feed at its end is the editor's, not the key's:
/// gateways read it so.
pub fn read_key(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut key = std::fs::read(path).with_context(|| {
        format!("cannot read the token key {}; start `chatctl local` once, it makes the key", path.display())
    })?;
    if key.last() == Some(&b'\n') {
        key.pop();
    }
    anyhow::ensure!(
        key.len() >= MIN_KEY_BYTES,
        "the token key {} has {} bytes and must have at least {MIN_KEY_BYTES}; remove it and `chatctl local` makes a new one",
        path.display(),
        key.len()
    );
    Ok(key)
}

/// What a verifier asks of a token beyond the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// The claim that holds the user id.
    pub user_claim: String,
    /// Required `iss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Required `aud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

impl Default for Claims {
    fn default() -> Self {
        Self { user_claim: "sub".to_owned(), issuer: None, audience: None }
    }
}

/// Signs tokens that one verifier takes.
#[derive(Clone)]
pub struct Signer {
    key: Vec<u8>,
    claims: Claims,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("claims", &self.claims).finish_non_exhaustive()
    }
}

impl Signer {
    /// Joins a key and what the verifier asks for.
    pub fn new(key: Vec<u8>, claims: Claims) -> Self {
        Self { key, claims }
    }

    /// Reads both from a data directory. Without a file of claims the default ones hold.
    pub fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let key = read_key(&data_dir.join(KEY_FILE))?;
        let path = data_dir.join(CLAIMS_FILE);
        let claims = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} is damaged; start `chatctl local` once, it writes the file again", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Claims::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self::new(key, claims))
    }

    /// Signs one token, good from `now` for `ttl`, in whole seconds.
    pub fn sign(&self, user: &UserId, scope: Option<&str>, ttl: Duration, now: Time) -> anyhow::Result<String> {
        let issued = now.millis() / 1000;
        let mut claims = Map::new();
        claims.insert("iat".to_owned(), Value::from(issued));
        claims.insert("exp".to_owned(), Value::from(issued.saturating_add(ttl.as_secs())));
        let texts = [
            ("scope", scope),
            ("iss", self.claims.issuer.as_deref()),
            ("aud", self.claims.audience.as_deref()),
            // Last, so that a claim chosen as the user's wins over one of the same name.
            (self.claims.user_claim.as_str(), Some(user.as_str())),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                claims.insert(name.to_owned(), Value::from(text));
            }
        }
        jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(&self.key))
            .context("cannot sign the token")
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};

    use super::*;

    fn decode(token: &str, key: &[u8], audience: Option<&str>) -> Map<String, Value> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        match audience {
            Some(audience) => validation.set_audience(&[audience]),
            None => validation.validate_aud = false,
        }
        jsonwebtoken::decode(token, &DecodingKey::from_secret(key), &validation).unwrap().claims
    }

    #[test]
    fn a_token_names_its_user_its_scope_and_its_time() {
        let key = [7; 32];
        let user = UserId::new("ann").unwrap();
        let token = sign(&key, &user, Some("read"), Duration::from_mins(1), Time::from_millis(5_999)).unwrap();
        let claims = decode(&token, &key, None);
        assert_eq!(Value::from(claims), serde_json::json!({"sub": "ann", "scope": "read", "iat": 5, "exp": 65}));
    }

    #[test]
    fn a_token_carries_what_the_verifier_asks_for() {
        let claims =
            Claims { user_claim: "uid".into(), issuer: Some("https://id".into()), audience: Some("chat".into()) };
        let signer = Signer::new(vec![7; 32], claims);
        let user = UserId::new("ann").unwrap();
        let token = signer.sign(&user, None, Duration::from_secs(1), Time::from_millis(0)).unwrap();
        let claims = decode(&token, &[7; 32], Some("chat"));
        let expected = serde_json::json!({"uid": "ann", "iss": "https://id", "aud": "chat", "iat": 0, "exp": 1});
        assert_eq!(Value::from(claims), expected);
    }

    #[test]
    fn a_short_or_missing_key_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        assert!(format!("{:#}", read_key(&path).unwrap_err()).contains("start `chatctl local` once"));
        std::fs::write(&path, [0; 31]).unwrap();
        assert!(format!("{:#}", read_key(&path).unwrap_err()).contains("has 31 bytes"));
        std::fs::write(&path, [0; 32]).unwrap();
        assert_eq!(read_key(&path).unwrap().len(), 32);
    }

    #[test]
    fn a_key_that_an_editor_saved_is_the_key_that_gateways_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(KEY_FILE);
        std::fs::write(&path, [b"k".repeat(32), b"\n".to_vec()].concat()).unwrap();
        assert_eq!(read_key(&path).unwrap(), b"k".repeat(32));
        std::fs::write(&path, [b"k".repeat(31), b"\n".to_vec()].concat()).unwrap();
        assert!(format!("{:#}", read_key(&path).unwrap_err()).contains("has 31 bytes"));
    }
}
