//! The roles behind the log.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::message_log::Topic;

/// A role behind the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerRole {
    /// Gives messages their place in their chat, keeps them and fans them out.
    Sequencer,
    /// Keeps cursors, and sweeps presence that ran out.
    Receipts,
    /// Feeds the search index.
    Indexer,
    /// Sends push notifications.
    Push,
    /// Counts hourly rollups.
    Analytics,
}

impl WorkerRole {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Sequencer, Self::Receipts, Self::Indexer, Self::Push, Self::Analytics];

    /// Returns the role's name, which is also its consumer group.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequencer => "sequencer",
            Self::Receipts => "receipts",
            Self::Indexer => "indexer",
            Self::Push => "push",
            Self::Analytics => "analytics",
        }
    }

    /// Returns what the role reads.
    pub const fn topic(self) -> Topic {
        match self {
            Self::Sequencer => Topic::Messages,
            Self::Receipts => Topic::Receipts,
            Self::Indexer | Self::Analytics => Topic::Events,
            Self::Push => Topic::Push,
        }
    }
}

impl fmt::Display for WorkerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
