//! The data directory of a local stack: one process at a time, secrets for its owner's eyes only.
//!
//! ```text
//! DIR/  0700      lock           locked while a process runs; the kernel frees it however the process ends
//!                 jwt.key  0600  the key of the tokens          jwt.json  what the verifier asks of a token
//!                 admin.token 0600  bearer token of the admin ports
//!                 control.sock 0600 what `chatctl gateways` talks to
//!                 engines/       the log and the stores         search/   the search index
//!                 push.jsonl     what would have gone to Apple and Google
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::control::SOCKET_FILE;
use crate::token::{self, Claims, Signer};

const LOCK_FILE: &str = "lock";
const ADMIN_TOKEN_FILE: &str = "admin.token";
const ENGINES: &str = "engines";
const SEARCH_INDEX: &str = "search";
const PUSH_RECORDS: &str = "push.jsonl";

/// Random bytes of a key or a bearer token.
const SECRET_BYTES: usize = 32;

/// Their digits: whoever reads such a file may take a line feed at its end for an editor's.
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A data directory that this process holds the lock of, until dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is not there, and takes it for this process alone.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
            format!("cannot make the data directory {shown}; name another with --data-dir, one you may write to")
        })?;
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK_FILE))
            .with_context(|| format!("cannot write to the data directory {shown}; name another with --data-dir"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another chatctl{} runs on the data directory {shown}; stop it, or name another with --data-dir",
                holder(&mut lock)
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| {
                    format!("cannot lock the data directory {shown}; name one on a file system with locks")
                });
            }
        }
        lock.set_len(0)
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .with_context(|| format!("cannot write to the data directory {shown}; is the disk full?"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Returns the path as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where the engines keep their files.
    pub(crate) fn engines(&self) -> PathBuf {
        self.path.join(ENGINES)
    }

    /// Returns where the search index keeps its files.
    pub(crate) fn search_index(&self) -> PathBuf {
        self.path.join(SEARCH_INDEX)
    }

    /// Makes the file of the push notifications that would have been sent, if there is none; returns it.
    pub(crate) fn push_records(&self) -> anyhow::Result<PathBuf> {
        let file = self.path.join(PUSH_RECORDS);
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&file)
            .with_context(|| format!("cannot write to {}; is it yours?", file.display()))?;
        Ok(file)
    }

    /// Returns the path of the key of the tokens.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.path.join(token::KEY_FILE)
    }

    /// Returns the path of the control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join(SOCKET_FILE)
    }

    /// Makes the key of the tokens if there is none, and remembers what the verifier asks for.
    pub(crate) fn signer(&self, claims: &Claims) -> anyhow::Result<Signer> {
        let key = self.key_file();
        if !key.exists() {
            self.write_secret(&key, &secret()?)?;
        }
        let text = serde_json::to_vec(claims).context("cannot write the claims")?;
        self.write_secret(&self.path.join(token::CLAIMS_FILE), &text)?;
        Signer::open(&self.path)
    }

    /// Makes the bearer token of the admin ports if there is none; returns its file.
    pub(crate) fn admin_token_file(&self) -> anyhow::Result<PathBuf> {
        let file = self.path.join(ADMIN_TOKEN_FILE);
        if !file.exists() {
            self.write_secret(&file, &secret()?)?;
        }
        Ok(file)
    }

    /// Writes a file that only its owner reads, whole or not at all: under another name first, made anew so that no
    /// file with wider permissions is written into. The lock makes this process the only writer.
    fn write_secret(&self, file: &Path, content: &[u8]) -> anyhow::Result<()> {
        let new = file.with_extension("new");
        let written = match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
        .and_then(|()| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new))
        .and_then(|mut made| made.write_all(content).and_then(|()| made.sync_all()))
        .and_then(|()| fs::rename(&new, file))
        .and_then(|()| File::open(&self.path)?.sync_all());
        written.with_context(|| format!("cannot write {}; is the disk full?", file.display()))
    }
}

/// Tells who holds the lock, as far as the lock file says.
fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.rewind().and_then(|()| lock.take(20).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!(" (process {pid})"),
        _ => String::new(),
    }
}

/// Makes a secret, as hex.
fn secret() -> anyhow::Result<Vec<u8>> {
    let mut bytes = [0; SECRET_BYTES];
    SysRng.try_fill_bytes(&mut bytes).context("the machine has no random numbers")?;
    let digits = |byte: u8| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    Ok(bytes.into_iter().flat_map(digits).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_reads_the_directory_and_its_secrets() {
        let outer = tempfile::tempdir().unwrap();
        let data = DataDir::open(&outer.path().join("a/b")).unwrap();
        data.signer(&Claims::default()).unwrap();
        let token = data.admin_token_file().unwrap();
        assert_eq!(mode(data.path()), 0o700);
        assert_eq!(mode(&data.key_file()), 0o600);
        assert_eq!(mode(&token), 0o600);
        assert_eq!(fs::read(&token).unwrap().len(), 64);
    }

    #[test]
    fn secrets_are_made_once() {
        let outer = tempfile::tempdir().unwrap();
        let read = || {
            let data = DataDir::open(outer.path()).unwrap();
            data.signer(&Claims::default()).unwrap();
            (fs::read(data.key_file()).unwrap(), fs::read(data.admin_token_file().unwrap()).unwrap())
        };
        assert_eq!(read(), read());
    }

    #[test]
    fn a_half_written_key_of_a_killed_process_is_made_anew() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("jwt.new"), "half").unwrap();
        let data = DataDir::open(outer.path()).unwrap();
        data.signer(&Claims::default()).unwrap();
        let key = fs::read(data.key_file()).unwrap();
        assert_eq!(key.len(), 2 * SECRET_BYTES);
        assert!(key.iter().all(u8::is_ascii_hexdigit), "a reader that takes a line feed off its end has the same key");
    }

    #[test]
    fn the_directory_is_taken_by_one_at_a_time_and_free_again_after() {
        let outer = tempfile::tempdir().unwrap();
        let first = DataDir::open(outer.path()).unwrap();
        let refusal = DataDir::open(outer.path()).unwrap_err().to_string();
        assert!(refusal.contains(&format!("(process {})", std::process::id())), "{refusal}");
        drop(first);
        DataDir::open(outer.path()).unwrap();
    }
}
