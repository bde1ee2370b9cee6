//! Credentials in mounted files, read again when they change.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tracing::{error, info};

use crate::clock::Time;

/// How often a file is looked at, in milliseconds.
const LOOK_EVERY_MS: u64 = 10_000;

/// Why a file with credentials cannot be used. Tells nothing of what is in it.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{} is not {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
}

/// Credentials that follow their file. A file that cannot be used leaves the old ones in place.
pub(super) struct Credential<T> {
    path: PathBuf,
    expected: &'static str,
    parse: fn(&[u8]) -> Option<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    bytes: Vec<u8>,
    value: Arc<T>,
    looked_at: Time,
    is_broken: bool,
}

impl<T> Credential<T> {
    /// Opens a file. `expected` says what is in it, for the error. Blocks on one small file.
    pub(super) fn open(
        path: &Path,
        expected: &'static str,
        parse: fn(&[u8]) -> Option<T>,
        now: Time,
    ) -> Result<Self, CredentialError> {
        let (bytes, value) = read(path, expected, parse)?;
        let state = State { bytes, value: Arc::new(value), looked_at: now, is_broken: false };
        Ok(Self { path: path.to_owned(), expected, parse, state: Mutex::new(state) })
    }

    /// Returns what the file held when it was looked at last, at most 10 s ago; another `Arc` after a change. Blocks on
    /// one small file when it is time to look.
    pub(super) fn current(&self, now: Time) -> Arc<T> {
        let mut state = self.state();
        if now.millis().abs_diff(state.looked_at.millis()) >= LOOK_EVERY_MS {
            state.looked_at = now;
            match read(&self.path, self.expected, self.parse) {
                Ok((bytes, value)) => {
                    if bytes != state.bytes {
                        info!(file = %self.path.display(), "push credentials changed");
                        (state.bytes, state.value) = (bytes, Arc::new(value));
                    }
                    state.is_broken = false;
                }
                Err(error) => {
                    if !state.is_broken {
                        error!(%error, "push credentials stay as they were");
                    }
                    state.is_broken = true;
                }
            }
        }
        Arc::clone(&state.value)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Credential<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.path.display())
    }
}

fn read<T>(
    path: &Path,
    expected: &'static str,
    parse: fn(&[u8]) -> Option<T>,
) -> Result<(Vec<u8>, T), CredentialError> {
    let bytes = std::fs::read(path).map_err(|source| CredentialError::Read { path: path.to_owned(), source })?;
    let value = parse(&bytes).ok_or_else(|| CredentialError::Content { path: path.to_owned(), expected })?;
    Ok((bytes, value))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn number(bytes: &[u8]) -> Option<u32> {
        std::str::from_utf8(bytes).ok()?.parse().ok()
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        let at = Time::from_millis;
        assert!(matches!(Credential::open(&path, "a number", number, at(0)), Err(CredentialError::Read { .. })));
        fs::write(&path, "1").unwrap();
        let credential = Credential::open(&path, "a number", number, at(0)).unwrap();
        let first = credential.current(at(0));
        fs::write(&path, "2").unwrap();
        assert_eq!(*credential.current(at(9_999)), 1, "it is not looked at each time");
        assert_eq!(*credential.current(at(10_000)), 2);
        assert_eq!(*first, 1);
        fs::write(&path, "secret").unwrap();
        assert_eq!(*credential.current(at(20_000)), 2);
        fs::remove_file(&path).unwrap();
        assert_eq!(*credential.current(at(30_000)), 2);
        fs::write(&path, "3").unwrap();
        assert_eq!(*credential.current(at(1)), 3, "a clock that was set back does not stop it");
        fs::write(&path, "secret").unwrap();
        let error = Credential::open(&path, "a number", number, at(0)).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is not a number", path.display()));
    }
}
