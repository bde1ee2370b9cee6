//! Where the keys of a verifier come from: a file with a shared secret, or an address with public keys.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use chat_core::config::{Algorithm, KeySource};
use jsonwebtoken::DecodingKey;

use super::ConfigError;
use super::jwks::Published;

/// Shortest shared secret taken: RFC 7518 section 3.2 asks for at least the hash's own length.
const MIN_SECRET_BYTES: usize = 32;

/// The keys of one verifier.
#[derive(Debug)]
pub(super) enum Keys {
    /// A shared secret in a file.
    Shared(SharedSecret),
    /// Public keys behind an address.
    Published(Published),
}

impl Keys {
    /// Opens a source. Blocks on small files.
    pub(super) fn open(verifier: &str, algorithms: &[Algorithm], source: &KeySource) -> Result<Self, ConfigError> {
        let is_shared = |algorithm: &Algorithm| *algorithm == Algorithm::HS256;
        // A public key taken for a shared secret would let anyone sign (RFC 8725 section 2.1).
        let (do_fit, keys) = match source {
            KeySource::Hs256File(path) => {
                (algorithms.iter().all(is_shared), SharedSecret::open(verifier, path).map(Self::Shared))
            }
            KeySource::Jwks { url, ca_file } => (
                !algorithms.iter().any(is_shared),
                Published::open(verifier, url, ca_file.as_deref()).map(Self::Published),
            ),
        };
        if algorithms.is_empty() || !do_fit {
            return Err(ConfigError::Algorithms { verifier: verifier.to_owned() });
        }
        keys
    }

    /// Returns whether tokens can be checked at all.
    pub(super) fn are_known(&self) -> bool {
        match self {
            Self::Shared(_) => true,
            Self::Published(keys) => keys.is_known(),
        }
    }

    /// Returns the keys that a token with this algorithm and `kid` may be signed with.
    pub(super) fn find(&self, algorithm: jsonwebtoken::Algorithm, kid: Option<&str>) -> Vec<Arc<DecodingKey>> {
        match self {
            Self::Shared(secret) => vec![secret.current()],
            Self::Published(keys) => keys.find(algorithm, kid),
        }
    }

    /// Reads a file again where it changed; on an error the old keys stay. Blocks on one small file.
    pub(super) fn reload(&self) -> Result<bool, ConfigError> {
        match self {
            Self::Shared(secret) => secret.reload(),
            Self::Published(_) => Ok(false),
        }
    }
}

/// A shared secret that follows its file.
#[derive(Debug)]
pub(super) struct SharedSecret {
    verifier: String,
    path: PathBuf,
    current: RwLock<Loaded>,
}

struct Loaded {
    bytes: Vec<u8>,
    key: Arc<DecodingKey>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

impl SharedSecret {
    fn open(verifier: &str, path: &Path) -> Result<Self, ConfigError> {
        let loaded = Loaded::read(verifier, path)?;
        Ok(Self { verifier: verifier.to_owned(), path: path.to_owned(), current: RwLock::new(loaded) })
    }

    fn current(&self) -> Arc<DecodingKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).key)
    }

    fn reload(&self) -> Result<bool, ConfigError> {
        let loaded = Loaded::read(&self.verifier, &self.path)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = current.bytes != loaded.bytes;
        if is_new {
            *current = loaded;
        }
        Ok(is_new)
    }
}

impl Loaded {
    /// Reads the file. One line feed at its end is the editor's, not the secret's.
    fn read(verifier: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut bytes = std::fs::read(path).map_err(|source| ConfigError::Read {
            verifier: verifier.to_owned(),
            path: path.to_owned(),
            source,
        })?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(ConfigError::ShortSecret { verifier: verifier.to_owned(), path: path.to_owned() });
        }
        let key = Arc::new(DecodingKey::from_secret(&bytes));
        Ok(Self { bytes, key })
    }
}
