//! What a role shows of itself on `/status`: its partitions, how far behind they are, and what stops them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::clock::Time;
use serde::Serialize;

/// Why a partition does not go on by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownFormat => "a record is of a newer format than this version reads",
            Self::DataLost => "records that were not yet read are gone from the log",
            Self::LogWentBackwards => "the log ends below what was decided from it",
            Self::TopicReplaced => "the store holds positions of a later life of the log",
            Self::Corrupt => "the store or the log holds something unreadable",
        })
    }
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

/// The partitions that a role owns, as they are now. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Partitions(Arc<Mutex<BTreeMap<u32, PartitionStatus>>>);

impl Partitions {
    /// Returns the partitions, by number.
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn update(&self, partition: u32, change: impl FnOnce(&mut PartitionStatus)) {
        let mut partitions = self.lock();
        let status = partitions.entry(partition);
        change(status.or_insert(PartitionStatus { id: partition, lag: 0, blocked: None }));
    }

    /// Shows what stops a partition; a reason that is shown already keeps its time.
    pub(crate) fn block(&self, partition: u32, reason: BlockReason, now: Time) {
        self.update(partition, |status| {
            if status.blocked.as_ref().is_none_or(|blocked| blocked.reason != reason) {
                status.blocked = Some(Blocked { reason, since: now });
            }
        });
    }

    pub(crate) fn unblock(&self, partition: u32) {
        if let Some(status) = self.lock().get_mut(&partition) {
            status.blocked = None;
        }
    }

    pub(crate) fn remove(&self, partition: u32) {
        self.lock().remove(&partition);
    }

    // A poisoned lock is taken over: every change is of one field.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, PartitionStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
