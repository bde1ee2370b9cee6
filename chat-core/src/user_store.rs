//! Port: what is kept by user and not derived from the log: last seen, revocation, devices, blocks, erasure reports;
//! and the hourly rollups, which are derived but read by nobody else.
//!
//! # Contract
//! - `write` MUST resolve with `Ok` only when every write of the call survives the crash of the process and of the
//!   machine: the log cannot make these rows again. The engine groups what is waiting: one sync a group.
//! - Of two writes to one cell, of which one was acknowledged before the other was made, the later one holds; registers
//!   marked as such in [`UserWrite`] only rise, whatever the order. Writes of one call hold in their order. A failed
//!   call MAY have landed in part, or MAY land later; every write is idempotent.
//! - Reads see every write acknowledged before they began. Answers are in the order asked.
//! - Every call MUST return within its deadline (engines: 5 s) with [`StoreError::Unavailable`] otherwise.

use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Time;
use crate::id::UserId;
use crate::message_log::Position;
use crate::message_store::StoreError;
use crate::push::Platform;

#[cfg(feature = "cassandra")]
pub mod cassandra;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod embedded;
pub mod memory;
mod tables;

/// Length of one rollup.
pub const HOUR_MS: u64 = 3_600_000;

/// What is known of a user. The default is that of a user who has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserRow {
    /// When the user was last there, as of their last going.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Time>,
    /// Whether others may know.
    pub last_seen_visible: bool,
    /// Tokens issued before this are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
}

impl Default for UserRow {
    fn default() -> Self {
        Self { last_seen_at: None, last_seen_visible: true, not_before: None }
    }
}

impl UserRow {
    /// Returns when the user was last there, as far as others may know.
    pub fn visible_last_seen(&self) -> Option<Time> {
        self.last_seen_at.filter(|_| self.last_seen_visible)
    }
}

/// A device that can be pushed to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// Which of the user's: 1-64 of `A-Za-z0-9._-`.
    pub device: String,
    /// By which vendor.
    pub platform: Platform,
    /// The vendor's name for it; not shown in logs.
    pub push_token: String,
    /// When it was registered, last.
    pub updated_at: Time,
    /// Since when the vendor refuses the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_at: Option<Time>,
}

impl fmt::Debug for DeviceRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, platform, updated_at, invalid_at, .. } = self;
        write!(f, "DeviceRow({device} by {platform:?}, updated {updated_at}, invalid {invalid_at:?})")
    }
}

/// A user whom another has blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Block")]
pub struct BlockRow {
    /// Who is blocked.
    pub user: UserId,
    /// Since when.
    pub at: Time,
}

/// What is counted by the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Messages that users sent; SYSTEM messages do not count.
    Messages,
    /// Edits.
    Edits,
    /// Deletes.
    Deletes,
    /// Chats that began.
    Chats,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 4] = [Self::Messages, Self::Edits, Self::Deletes, Self::Chats];
}

/// One rollup: an absolute value, so that writing it twice counts nothing twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Hours since 1970.
    pub hour: u64,
    /// What was counted.
    pub metric: Metric,
    /// The partition of the log whose records were counted.
    pub partition: u32,
    /// How many.
    pub value: u64,
    /// The last record that was counted.
    pub position: Position,
}

/// What became of the erasure of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErasureReport {
    /// Names the report.
    pub report_id: Uuid,
    /// Who is erased.
    pub user: UserId,
    /// When it was asked for.
    pub requested_at: Time,
    /// When this was written; one that nobody writes any more stands still.
    pub updated_at: Time,
    /// When the last row was gone; absent while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Chats whose messages were emptied so far.
    pub chats: u64,
    /// Messages that were emptied so far.
    pub messages: u64,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserWrite {
    /// The user was there at this time. A register that only rises.
    Seen {
        /// Who.
        user: UserId,
        /// When.
        at: Time,
    },
    /// Whether others may know when the user was last there.
    ShowLastSeen {
        /// Who.
        user: UserId,
        /// Whether they may.
        visible: bool,
    },
    /// Tokens issued before this time are refused. A register that only rises.
    Revoke {
        /// Whose.
        user: UserId,
        /// The time.
        not_before: Time,
    },
    /// A device is registered, or registered again, which makes it valid. The caller bounds how many a user has.
    PutDevice {
        /// Whose.
        user: UserId,
        /// The device.
        device: DeviceRow,
    },
    /// The vendor refuses a device's token. MUST change nothing where the device has another token by now, is gone, or
    /// is invalid already.
    InvalidateDevice {
        /// Whose.
        user: UserId,
        /// Which.
        device: String,
        /// The refused token.
        push_token: String,
        /// When.
        at: Time,
    },
    /// A device is gone.
    RemoveDevice {
        /// Whose.
        user: UserId,
        /// Which.
        device: String,
    },
    /// A user blocks another. The first time stays.
    Block {
        /// Who blocks.
        user: UserId,
        /// Whom.
        blocked: UserId,
        /// When.
        at: Time,
    },
    /// A user no longer blocks another.
    Unblock {
        /// Who blocked.
        user: UserId,
        /// Whom.
        blocked: UserId,
    },
    /// A rollup. The one with the higher position holds, of equal ones the one with the higher value.
    Usage(UsageRow),
    /// How far an erasure came.
    Report(ErasureReport),
    /// A user's row, devices and blocks are gone, the revocation excepted: it says nothing of the user, and without it
    /// an old token would be taken again. Blocks *of* the user by others stay theirs.
    Erase {
        /// Who.
        user: UserId,
    },
}

/// The store of users.
#[async_trait]
pub trait UserStore: Send + Sync + fmt::Debug {
    /// Writes; resolves when all of it is durable.
    async fn write(&self, writes: Vec<UserWrite>) -> Result<(), StoreError>;

    /// Reads users.
    async fn users(&self, users: &[UserId]) -> Result<Vec<UserRow>, StoreError>;

    /// Reads the devices of users, each user's ascending by name.
    async fn devices(&self, users: &[UserId]) -> Result<Vec<Vec<DeviceRow>>, StoreError>;

    /// Reads whom a user has blocked, ascending by user id from the one after `after`, at most `limit`.
    async fn blocks(&self, user: &UserId, after: Option<&UserId>, limit: usize) -> Result<Vec<BlockRow>, StoreError>;

    /// Returns of each pair whether the first has blocked the second.
    async fn blocked(&self, pairs: &[(UserId, UserId)]) -> Result<Vec<bool>, StoreError>;

    /// Reads the rollups of `from <= hour < upto`, ascending by hour, metric, partition.
    async fn usage(&self, from: u64, upto: u64) -> Result<Vec<UsageRow>, StoreError>;

    /// Reads the report of an erasure.
    async fn report(&self, report_id: Uuid) -> Result<Option<ErasureReport>, StoreError>;

    /// Reads the reports of erasures that are not finished, oldest id first, at most `limit`.
    async fn unfinished(&self, limit: usize) -> Result<Vec<ErasureReport>, StoreError>;
}
