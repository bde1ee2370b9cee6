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

use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::Clock;
use chat_core::message_log::{LogError, MessageLog};
use chat_core::message_store::MessageStore;
use chat_core::relay::Relay;
use chat_core::trace::Tracer;
use tokio_util::sync::CancellationToken;

use crate::metrics::SequencerMetrics;
pub use crate::status::{BlockReason, Blocked, PartitionStatus, Partitions as SequencerStatus};

pub mod batch;
pub mod chat_state;
mod consume;
pub mod decide;
mod emit;
mod fanout;
mod lane;
pub mod load;
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
    /// Which records are followed.
    pub tracer: Tracer,
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
