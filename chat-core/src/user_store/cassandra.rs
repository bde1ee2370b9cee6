//! The store of users on Cassandra.
//!
//! No record gives these rows a write timestamp, and the clocks of two gateways differ. So a write that replaces another
//! reads that one's timestamp first and stands above it: of two writes of which one was acknowledged before the other
//! was made, the later one holds. What is removed is written over with a time to live of `GONE_TTL`, not deleted,
//! because the timestamp of what is deleted cannot be read. Registers that only rise have their value as their
//! timestamp, and are not read first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::{BlockRow, DeviceRow, ErasureReport, UsageRow, UserRow, UserStore, UserWrite};
use crate::cassandra::values::{long, moment, number};
use crate::cassandra::{Cassandra, OpenError, each, unreadable, within};
use crate::clock::{Clock, Time};
use crate::id::UserId;
use crate::message_store::StoreError;

mod cells;
mod statements;
mod write;

use cells::{BlockColumns, DeviceCells, DeviceColumns, UserCells, UserColumns};
use statements::Statements;

/// How long what was removed keeps its timestamp, in seconds: longer than clocks can differ.
const GONE_TTL: i32 = 24 * 3600;

/// What stands for "none", because no null is ever written.
const NONE: Time = Time::from_millis(0);

const HOURS_OF_A_DAY: u64 = 24;

/// The store of users on Cassandra. Clones share it.
#[derive(Debug, Clone)]
pub struct CassandraUserStore {
    cassandra: Cassandra,
    statements: Arc<Statements>,
    clock: Arc<dyn Clock>,
    /// The last timestamp that was given out.
    stamp: Arc<AtomicU64>,
}

impl CassandraUserStore {
    /// Prepares the statements of the store. `clock` gives the write timestamps.
    pub async fn open(cassandra: Cassandra, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let statements = Arc::new(Statements::prepare(&cassandra).await?);
        Ok(Self { cassandra, statements, clock, stamp: Arc::default() })
    }

    /// Makes a write timestamp above that of the cells that are replaced: the clock in microseconds, different from all
    /// that this process made before.
    fn stamp_above(&self, replaced: Option<i64>) -> i64 {
        let replaced = replaced.and_then(|replaced| u64::try_from(replaced).ok()).unwrap_or_default();
        let floor = self.clock.now().millis().saturating_mul(1_000).max(replaced + 1);
        let next = |last: u64| floor.max(last + 1);
        let last = self.stamp.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        long(next(last.unwrap_or_default()))
    }

    async fn user_cells(&self, user: &UserId) -> Result<UserCells, StoreError> {
        let row: Option<UserColumns> = self.cassandra.row(&self.statements.user, (user.as_str(),)).await?;
        row.map_or_else(|| Ok(UserCells::default()), UserCells::of)
    }

    async fn devices_of(&self, user: &UserId) -> Result<Vec<DeviceCells>, StoreError> {
        let keep = |row: DeviceColumns| DeviceCells::of(row).map(Some);
        self.cassandra.rows(&self.statements.devices, (user.as_str(),), usize::MAX, keep).await
    }

    async fn is_blocked(&self, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let values = (user.as_str(), other.as_str());
        let row: Option<BlockColumns> = self.cassandra.row(&self.statements.block, values).await?;
        Ok(row.map(cells::block_of).transpose()?.flatten().is_some())
    }

    async fn report_of(&self, report_id: Uuid) -> Result<Option<ErasureReport>, StoreError> {
        let row: Option<(Option<String>, Option<i64>)> =
            self.cassandra.row(&self.statements.report, (report_id,)).await?;
        let text = row.and_then(|(text, _)| text);
        text.map(|text| serde_json::from_str(&text).map_err(unreadable)).transpose()
    }

    /// Reads the rollups of one day.
    async fn usage_of(&self, day: u64, from: u64, upto: u64) -> Result<Vec<UsageRow>, StoreError> {
        let values = (long(day), long(from), long(upto));
        self.cassandra.rows(&self.statements.usage, values, usize::MAX, |row| cells::usage_of(row).map(Some)).await
    }
}

#[async_trait]
impl UserStore for CassandraUserStore {
    async fn write(&self, writes: Vec<UserWrite>) -> Result<(), StoreError> {
        let mut places = FxHashMap::default();
        let mut parts: Vec<Vec<&UserWrite>> = Vec::new();
        for write in &writes {
            let place = *places.entry(write::row_of(write)).or_insert(parts.len());
            match parts.get_mut(place) {
                Some(part) => part.push(write),
                None => parts.push(vec![write]),
            }
        }
        // Rows at once, the writes of one in their order.
        let parts = parts.into_iter().map(async |part| {
            for write in part {
                self.apply(write).await?;
            }
            Ok(())
        });
        within(each(parts.collect::<Vec<_>>())).await.map(drop)
    }

    async fn users(&self, users: &[UserId]) -> Result<Vec<UserRow>, StoreError> {
        let parts = users.iter().map(async |user| Ok(self.user_cells(user).await?.row));
        within(each(parts.collect::<Vec<_>>())).await
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Vec<DeviceRow>>, StoreError> {
        let parts = users.iter().map(async |user| {
            let devices = self.devices_of(user).await?;
            Ok(devices.into_iter().filter_map(|device| device.row).collect())
        });
        within(each(parts.collect::<Vec<_>>())).await
    }

    async fn blocks(&self, user: &UserId, after: Option<&UserId>, limit: usize) -> Result<Vec<BlockRow>, StoreError> {
        let values = (user.as_str(), after.map(UserId::as_str).unwrap_or_default());
        within(self.cassandra.rows(&self.statements.blocks, values, limit, cells::block_of)).await
    }

    async fn blocked(&self, pairs: &[(UserId, UserId)]) -> Result<Vec<bool>, StoreError> {
        let parts = pairs.iter().map(|(user, other)| self.is_blocked(user, other));
        within(each(parts.collect::<Vec<_>>())).await
    }

    async fn usage(&self, from: u64, upto: u64) -> Result<Vec<UsageRow>, StoreError> {
        if from >= upto {
            return Ok(Vec::new());
        }
        let days = from / HOURS_OF_A_DAY..=(upto - 1) / HOURS_OF_A_DAY;
        let rows = within(each(days.map(|day| self.usage_of(day, from, upto)))).await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn report(&self, report_id: Uuid) -> Result<Option<ErasureReport>, StoreError> {
        within(self.report_of(report_id)).await
    }

    async fn unfinished(&self, limit: usize) -> Result<Vec<ErasureReport>, StoreError> {
        let read = async {
            let keep = |(report_id, open): (Uuid, Option<bool>)| Ok((open == Some(true)).then_some(report_id));
            let open = self.cassandra.rows(&self.statements.unfinished, (), limit, keep).await?;
            let reports = each(open.into_iter().map(|report_id| self.report_of(report_id)).collect::<Vec<_>>()).await?;
            Ok(reports.into_iter().flatten().filter(|report| report.finished_at.is_none()).collect())
        };
        within(read).await
    }
}
