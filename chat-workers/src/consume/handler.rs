//! What a role implements, and what it is given.

use std::future::{Future, pending, ready};

use chat_core::format::Versioned;
use chat_core::message_log::{LogError, Position};
use chat_core::message_store::StoreError;
use chat_core::search::SearchError;

use crate::status::BlockReason;

/// Why records could not be handled.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Search(#[from] SearchError),
    #[error("record format {found}, this version is older")]
    UnknownFormat { found: u16 },
}

impl Failure {
    /// Returns what the status shows, where waiting alone does not mend it.
    pub(super) fn block_reason(&self) -> Option<BlockReason> {
        match self {
            Self::UnknownFormat { .. } => Some(BlockReason::UnknownFormat),
            Self::Store(StoreError::Corrupt(_)) => Some(BlockReason::Corrupt),
            Self::Log(LogError::DataLost { .. }) => Some(BlockReason::DataLost),
            Self::Store(_) | Self::Log(_) | Self::Search(_) => None,
        }
    }
}

/// A record as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Received<R> {
    pub(crate) position: Position,
    pub(crate) record: R,
}

/// Records of one partition in log order, maybe none.
#[derive(Debug, Clone)]
pub(crate) struct Batch<R> {
    pub(crate) records: Vec<Received<R>>,
    /// The offset after the last record that was read.
    pub(crate) next: u64,
}

/// What a role does with what it reads. State is kept by partition.
pub(crate) trait Handler: Send {
    /// What the topic holds.
    type Record: Versioned + Send;

    /// Begins a partition, with nothing in memory of it; records follow from `committed`.
    fn begin(&mut self, partition: u32, committed: u64) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Takes records. After a failure the partition is ended, and begun again at the committed offset.
    fn take(&mut self, partition: u32, batch: Batch<Self::Record>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Waits until there is something to do that no record asks for. Cancel-safe.
    fn due(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }

    /// Does it.
    fn work(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Returns the offset below which every record of a partition is done.
    fn done(&self, partition: u32) -> u64;

    /// Returns whether the role takes more records now.
    fn has_room(&self) -> bool {
        true
    }

    /// Gives what is in flight a last chance to be done.
    fn finish(&mut self, _partition: u32) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Forgets a partition.
    fn end(&mut self, partition: u32);
}
