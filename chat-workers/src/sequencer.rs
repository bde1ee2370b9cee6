//! The sequencer: owner of log partitions, the single writer of every chat in them.
//!
//! ```text
//!  log ──entries──► consume ──feed──► partition: load → decide → persist rows → persist states → relay → emit
//!                      ▲                                                                              │
//!                      └───────────────────────────── commit, rewind ◄────────────────────────────────┘
//! ```
//!
//! One task consumes; each partition has a task of its own. A batch goes through all steps before the next one of its
//! partition is decided; only the emission of `events` and `push` overlaps with the next batch, and an offset is
//! committed when all before it is persisted, relayed and emitted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_core::clock::{Clock, Time};
use chat_core::message_log::{LogError, MessageLog};
use chat_core::message_store::MessageStore;
use chat_core::relay::Relay;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::metrics::SequencerMetrics;

pub mod batch;
pub mod chat_state;
mod consume;
pub mod decide;
mod fanout;
mod lane;
mod load;
mod partition;
mod replay;

/// What the sequencer works with.
#[derive(Debug, Clone)]
pub struct Ports {
    /// The log.
    pub log: Arc<dyn MessageLog>,
    /// The store.
    pub store: Arc<dyn MessageStore>,
    /// The way to the gateways.
    pub relay: Arc<dyn Relay>,
    /// The time, for the status only.
    pub clock: Arc<dyn Clock>,
}

/// How the sequencer works.
#[derive(Debug, Clone, Copy)]
pub struct SequencerConfig {
    /// Records a batch at most.
    pub batch_records: usize,
    /// Chats kept in memory per partition.
    pub cached_chats: usize,
    /// How long a position must have been persisted before it is committed. Zero only where a commit cannot be more
    /// durable than the rows before it (one journal for both).
    pub commit_delay: Duration,
}

impl Default for SequencerConfig {
    fn default() -> Self {
        Self { batch_records: 1_024, cached_chats: 20_000, commit_delay: Duration::from_secs(15) }
    }
}

/// Why a partition does not go on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum BlockReason {
    /// A record is of a newer format than this version reads.
    UnknownFormat,
    /// Records between the committed offset and the log's start are gone.
    DataLost,
    /// The log ends below what was decided from it.
    LogWentBackwards,
    /// The store holds positions of a later life of the log.
    TopicReplaced,
    /// The store or the log holds something unreadable.
    Corrupt,
}

/// A stop of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// Why.
    pub reason: BlockReason,
    /// Since when.
    pub since: Time,
}

/// One partition as `/status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// Which.
    pub id: u32,
    /// Records not yet committed.
    pub lag: u64,
    /// Set while the partition does not go on by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
}

/// The partitions this sequencer owns, as they are now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SequencerStatus(Arc<Mutex<BTreeMap<u32, PartitionStatus>>>);

impl SequencerStatus {
    /// Returns the partitions, by number.
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn update(&self, partition: u32, change: impl FnOnce(&mut PartitionStatus)) {
        let mut partitions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = partitions.entry(partition);
        change(status.or_insert(PartitionStatus { id: partition, lag: 0, blocked: None }));
    }

    fn remove(&self, partition: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }
}

/// Owns partitions of the `messages` log.
#[derive(Debug)]
pub struct Sequencer {
    ports: Ports,
    config: SequencerConfig,
    metrics: SequencerMetrics,
    status: SequencerStatus,
}

impl Sequencer {
    /// Makes a sequencer; it does nothing until [`run`](Self::run).
    pub fn new(ports: Ports, config: SequencerConfig, metrics: SequencerMetrics) -> Self {
        Self { ports, config, metrics, status: SequencerStatus::default() }
    }

    /// Returns a handle that shows the partitions while the sequencer runs.
    pub fn status(&self) -> SequencerStatus {
        self.status.clone()
    }

    /// Runs until `shutdown`, then finishes what is in flight (at most 5 s) and commits.
    ///
    /// # Errors
    /// Only when the log refuses the subscription for good; an unavailable log or store is waited for.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), LogError> {
        consume::run(self, shutdown).await
    }
}
