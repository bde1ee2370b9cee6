//! The embedded engines' one database: message log, message store and store of users in one directory, under one
//! journal.
//!
//! # Durability
//! All writes go through one journal file, in one order, and a crash loses at most a suffix of it. Log appends are
//! synced, once for each group of appends that gathered while the last sync ran; store rows and consumer commits ride
//! on the next sync. That loses nothing:
//! - A record is acknowledged after the sync that covers it.
//! - A consumer commits after its rows were acknowledged, so the commit stands behind them in the journal. A crash
//!   that keeps the commit keeps the rows; one that loses rows also loses the commit, and they are made again from
//!   the records, which are the truth.
//! - Rows that no record would make again (those of users, and who muted a chat) are synced as log appends are.
//! - A table file is written from rows that need not be synced yet; the database syncs the journal before it writes
//!   one, so a row in a table file is never ahead of an older one in the journal.
//!
//! # Recovery
//! Opening replays the journal, whose size is bounded by the sizes below, and finds the end of each partition by its
//! last key.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::clock::Clock;
use crate::message_log::embedded::{EmbeddedLog, Retention};
use crate::message_store::Kept;
use crate::message_store::embedded::EmbeddedStore;
use crate::user_store::embedded::EmbeddedUserStore;

mod directory;
mod worker;

pub(crate) use worker::{Weight, Worker};

/// Format of keys and values that this version writes and reads.
const FORMAT: u32 = 1;

/// Rows held in memory before a table file is written, for the log and for the store. Together with the journal size
/// they bound what a restart replays.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// The same for what is seldom written: settings, starts and commits, users. Small, so that it does not keep old
/// journals alive.
const META_MEMTABLE_BYTES: u64 = 1 << 20;

/// Journal files beyond this are freed by writing out whatever still needs them. The least the database takes.
const JOURNAL_BYTES: u64 = 64 << 20;

/// Blocks of table files kept in memory. Followers read the log's tail and hot rows are in the memtable, so it may be
/// small.
const CACHE_BYTES: u64 = 16 << 20;

/// What is fixed when the database is made, and what may change.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Partitions of every topic. Fixed when the database is made.
    pub partitions: u32,
    /// How long records are kept after all groups have read them.
    pub retention: Retention,
    /// Age at which messages leave the store; `None` keeps them for ever. Longer than zero.
    pub message_age: Option<Duration>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { partitions: 4, retention: Retention::default(), message_age: None }
    }
}

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Another process has it open.
    #[error("{} is in use by another process", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds something else; nothing in it was touched.
    #[error("{} is neither empty nor a ChatCluster database", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// The database was written by another version.
    #[error("{} has format {found}, this version reads {FORMAT}", dir.display())]
    Format {
        /// The directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
    },
    /// The partition count differs: chats would change their partition and lose their order.
    #[error("{} has {stored} partitions a topic, {asked} were asked for; the count is fixed", dir.display())]
    Partitions {
        /// The directory.
        dir: PathBuf,
        /// The count it was made with.
        stored: u32,
        /// The count in the options; 0 is never valid.
        asked: u32,
    },
    /// The directory cannot be read or written, or what it holds is damaged.
    #[error("{}: {reason}", dir.display())]
    Storage {
        /// The directory.
        dir: PathBuf,
        /// What the storage engine or the system said.
        reason: String,
    },
}

/// The log and the stores of one directory. The directory is free again when the last handle, consumer and call of
/// any is gone.
#[derive(Debug, Clone)]
pub struct EmbeddedDb {
    /// The log.
    pub log: Arc<EmbeddedLog>,
    /// The store.
    pub store: Arc<EmbeddedStore>,
    /// The store of users.
    pub users: Arc<EmbeddedUserStore>,
}

impl EmbeddedDb {
    /// Opens the database of a directory, or makes it where the directory is missing or empty. Blocks until the
    /// journal is replayed. `clock` gives the log's append times, and the age of messages.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>, options: &EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let storage = |error: fjall::Error| EmbeddedError::Storage { dir: dir.to_owned(), reason: error.to_string() };
        let engine = Arc::new(Engine::open(dir, options.partitions)?);
        let log = EmbeddedLog::open(Arc::clone(&engine), Arc::clone(&clock), options).map_err(storage)?;
        let kept = options.message_age.map(|age| Kept::new(age, clock));
        let store = EmbeddedStore::open(Arc::clone(&engine), kept).map_err(|error| storage(error.into()))?;
        let users = EmbeddedUserStore::open(engine).map_err(|error| storage(error.into()))?;
        Ok(Self { log: Arc::new(log), store: Arc::new(store), users: Arc::new(users) })
    }
}

/// The open database with its key spaces.
pub(crate) struct Engine {
    db: Database,
    /// Settings by name, then the keys of [`crate::message_log::embedded`].
    pub(crate) meta: Keyspace,
    /// Log records.
    pub(crate) log: Keyspace,
    /// Store rows.
    pub(crate) rows: Keyspace,
    /// Rows of the store of users.
    pub(crate) users: Keyspace,
    /// The log's life.
    pub(crate) epoch: u32,
    /// Made with the database.
    pub(crate) restore_epoch: Uuid,
    /// Whose turn it is to write to the journal. The database's own lock is held over a sync and is not fair: a log
    /// under load would take it again before a waiting store writer wakes up. This one is first come, first served.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Engine {
    fn open(dir: &Path, partitions: u32) -> Result<Self, EmbeddedError> {
        if partitions == 0 {
            return Err(EmbeddedError::Partitions { dir: dir.to_owned(), stored: 0, asked: 0 });
        }
        directory::prepare(dir)?;
        let storage = |error: fjall::Error| match error {
            fjall::Error::Locked => EmbeddedError::Locked { dir: dir.to_owned() },
            fjall::Error::InvalidVersion(_) => EmbeddedError::Foreign { dir: dir.to_owned() },
            other => EmbeddedError::Storage { dir: dir.to_owned(), reason: other.to_string() },
        };
        let io = |error: std::io::Error| storage(error.into());
        let open = || {
            Database::builder(dir)
                .max_journaling_size(JOURNAL_BYTES)
                .cache_size(CACHE_BYTES)
                // With more than one, the first spins on its queue for as long as another compacts (fjall 3.1).
                .worker_threads(1)
                .open()
        };
        let db = match open() {
            Err(fjall::Error::JournalRecovery(_)) if directory::cut_torn_journal(dir).map_err(io)? => open(),
            opened => opened,
        };
        let db = db.map_err(storage)?;
        if db.keyspace_count() > 0 && !db.keyspace_exists("meta") {
            return Err(EmbeddedError::Foreign { dir: dir.to_owned() });
        }
        let keyspace = |name, memtable| {
            db.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(memtable)).map_err(storage)
        };
        let (meta, log) = (keyspace("meta", META_MEMTABLE_BYTES)?, keyspace("log", MEMTABLE_BYTES)?);
        let (rows, users) = (keyspace("rows", MEMTABLE_BYTES)?, keyspace("users", META_MEMTABLE_BYTES)?);
        let settings = match Settings::read(&meta).map_err(storage)? {
            Some(settings) => settings,
            None => Settings::begin(&db, &meta, partitions).map_err(storage)?,
        };
        if settings.format != FORMAT {
            return Err(EmbeddedError::Format { dir: dir.to_owned(), found: settings.format });
        }
        if settings.partitions != partitions {
            let (stored, asked) = (settings.partitions, partitions);
            return Err(EmbeddedError::Partitions { dir: dir.to_owned(), stored, asked });
        }
        let (epoch, restore_epoch) = (settings.epoch, settings.restore_epoch);
        Ok(Self { db, meta, log, rows, users, epoch, restore_epoch, turn: Mutex::new(()) })
    }

    /// Begins a batch with room for so many writes.
    pub(crate) fn batch(&self, writes: usize) -> OwnedWriteBatch {
        OwnedWriteBatch::with_capacity(self.db.clone(), writes)
    }

    /// Appends a batch to the journal and makes it visible; returns after a sync if `sync` is set. An error means
    /// that the outcome is unknown and that the database takes no more writes until it is opened again.
    ///
    /// # Panics
    /// On a thread of an async runtime: it blocks.
    pub(crate) fn write(&self, batch: OwnedWriteBatch, sync: bool) -> fjall::Result<()> {
        // Without a sync still out of this process's memory, so that the end of the process alone loses nothing.
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let _turn = self.turn.blocking_lock();
        batch.durability(Some(mode)).commit()
    }
}

/// What `meta` says about the database as a whole: one row, written once.
#[derive(Debug, Clone, Copy)]
struct Settings {
    format: u32,
    partitions: u32,
    epoch: u32,
    restore_epoch: Uuid,
}

impl Settings {
    const KEY: &'static str = "settings";

    /// Returns the settings, `None` if the database was only just made.
    fn read(meta: &Keyspace) -> fjall::Result<Option<Self>> {
        let Some(bytes) = meta.get(Self::KEY)? else { return Ok(None) };
        let number =
            |at: usize| bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
        let restore_epoch = bytes.get(12..28).and_then(|bytes| Uuid::from_slice(bytes).ok()).unwrap_or_default();
        Ok(Some(Self { format: number(0), partitions: number(4), epoch: number(8), restore_epoch }))
    }

    fn begin(db: &Database, meta: &Keyspace, partitions: u32) -> fjall::Result<Self> {
        let begun = Self { format: FORMAT, partitions, epoch: 1, restore_epoch: Uuid::now_v7() };
        let mut bytes = [begun.format, begun.partitions, begun.epoch].map(u32::to_be_bytes).concat();
        bytes.extend_from_slice(begun.restore_epoch.as_bytes());
        meta.insert(Self::KEY, bytes)?;
        db.persist(PersistMode::SyncAll)?;
        Ok(begun)
    }
}

#[cfg(test)]
mod tests;
