//! Where the keys of a verifier come from. JWK sets are the second source; the enum is the seam for them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use chat_core::config::{Algorithm, KeySource};
use jsonwebtoken::DecodingKey;

use super::ConfigError;

/// Shortest shared secret taken: RFC 7518 section 3.2 asks for at least the hash's own length.
const MIN_SECRET_BYTES: usize = 32;

/// The keys of one verifier.
#[derive(Debug)]
pub(super) enum Keys {
    /// A shared secret in a file.
    Shared(SharedSecret),
}

impl Keys {
    /// Opens a source. Blocks on one small file.
    pub(super) fn open(verifier: &str, algorithms: &[Algorithm], source: &KeySource) -> Result<Self, ConfigError> {
        match source {
            KeySource::Hs256File(path) => {
                if algorithms != [Algorithm::HS256] {
                    return Err(ConfigError::Algorithms { verifier: verifier.to_owned() });
                }
                SharedSecret::open(verifier, path).map(Self::Shared)
            }
            KeySource::Jwks { .. } => Err(ConfigError::KeySource { verifier: verifier.to_owned() }),
        }
    }

    /// Returns the key that a token with this `kid` is checked with.
    pub(super) fn find(&self, _kid: Option<&str>) -> Arc<DecodingKey> {
        match self {
            Self::Shared(secret) => secret.current(),
        }
    }

    /// Reads the source again where it changed; on an error the old keys stay. Blocks on one small file.
    pub(super) fn reload(&self) -> Result<bool, ConfigError> {
        match self {
            Self::Shared(secret) => secret.reload(),
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
