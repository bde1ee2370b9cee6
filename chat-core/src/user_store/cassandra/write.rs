//! One write of the port as statements.

use uuid::Uuid;

use super::cells::{BlockColumns, DeviceCells, DeviceColumns, block_of, metric_number};
use super::{CassandraUserStore, GONE_TTL, HOURS_OF_A_DAY, NONE, each, long, moment};
use crate::cassandra::values::{position_bytes, word};
use crate::id::UserId;
use crate::message_store::StoreError;
use crate::user_store::{DeviceRow, ErasureReport, Metric, UsageRow, UserWrite};

/// What writes have to be in order about.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum RowName<'a> {
    User(&'a UserId),
    Usage(u64, Metric, u32),
    Report(Uuid),
}

pub(super) fn row_of(write: &UserWrite) -> RowName<'_> {
    match write {
        UserWrite::Seen { user, .. }
        | UserWrite::ShowLastSeen { user, .. }
        | UserWrite::Revoke { user, .. }
        | UserWrite::PutDevice { user, .. }
        | UserWrite::InvalidateDevice { user, .. }
        | UserWrite::RemoveDevice { user, .. }
        | UserWrite::Block { user, .. }
        | UserWrite::Unblock { user, .. }
        | UserWrite::Erase { user } => RowName::User(user),
        UserWrite::Usage(row) => RowName::Usage(row.hour, row.metric, row.partition),
        UserWrite::Report(report) => RowName::Report(report.report_id),
    }
}

impl CassandraUserStore {
    pub(super) async fn apply(&self, write: &UserWrite) -> Result<(), StoreError> {
        let (cassandra, statements) = (&self.cassandra, &*self.statements);
        match write {
            UserWrite::Seen { user, at } => {
                // In microseconds, so that it compares with the clock where the user is erased.
                let ts = long(at.millis().saturating_mul(1_000));
                cassandra.execute(&statements.put_seen, (ts, moment(*at), user.as_str())).await
            }
            UserWrite::ShowLastSeen { user, visible } => {
                let ts = self.stamp_above(self.user_cells(user).await?.visible_ts);
                cassandra.execute(&statements.put_visible, (ts, visible, user.as_str())).await
            }
            UserWrite::Revoke { user, not_before } => {
                let values = (long(not_before.millis()), moment(*not_before), user.as_str());
                cassandra.execute(&statements.put_not_before, values).await
            }
            UserWrite::PutDevice { user, device } => self.put_device(user, device).await,
            UserWrite::InvalidateDevice { user, device, push_token, at } => {
                let Some(held) = self.device(user, device).await? else { return Ok(()) };
                let is_meant = |row: &DeviceRow| row.push_token == *push_token && row.invalid_at.is_none();
                if !held.row.as_ref().is_some_and(is_meant) {
                    return Ok(());
                }
                let values = (self.stamp_above(held.ts), push_token, moment(*at), user.as_str(), device);
                cassandra.execute(&statements.put_invalid, values).await
            }
            UserWrite::RemoveDevice { user, device } => match self.device(user, device).await? {
                Some(held) => self.clear_device(user, &held).await,
                None => Ok(()),
            },
            UserWrite::Block { user, blocked, at } => {
                let row: Option<BlockColumns> =
                    cassandra.row(&statements.block, (user.as_str(), blocked.as_str())).await?;
                let ts = row.as_ref().and_then(|(_, _, ts)| *ts);
                if row.map(block_of).transpose()?.flatten().is_some() {
                    return Ok(());
                }
                let values = (self.stamp_above(ts), moment(*at), user.as_str(), blocked.as_str());
                cassandra.execute(&statements.put_block, values).await
            }
            UserWrite::Unblock { user, blocked } => {
                let row = cassandra.row(&statements.block, (user.as_str(), blocked.as_str())).await?;
                match row {
                    Some(row) => self.clear_block(user, row).await,
                    None => Ok(()),
                }
            }
            UserWrite::Usage(row) => self.put_usage(row).await,
            UserWrite::Report(report) => self.put_report(report).await,
            UserWrite::Erase { user } => self.erase(user).await,
        }
    }

    async fn device(&self, user: &UserId, device: &str) -> Result<Option<DeviceCells>, StoreError> {
        let row: Option<DeviceColumns> = self.cassandra.row(&self.statements.device, (user.as_str(), device)).await?;
        row.map(DeviceCells::of).transpose()
    }

    async fn put_device(&self, user: &UserId, device: &DeviceRow) -> Result<(), StoreError> {
        let held = self.device(user, &device.device).await?;
        let (invalid_token, invalid_at) = match device.invalid_at {
            Some(at) => (device.push_token.as_str(), at),
            None => ("", NONE),
        };
        let values = (
            self.stamp_above(held.and_then(|held| held.ts)),
            word(&device.platform),
            &device.push_token,
            moment(device.updated_at),
            invalid_token,
            moment(invalid_at),
            user.as_str(),
            &device.device,
        );
        self.cassandra.execute(&self.statements.put_device, values).await
    }

    async fn clear_device(&self, user: &UserId, held: &DeviceCells) -> Result<(), StoreError> {
        let none = moment(NONE);
        let values = (self.stamp_above(held.ts), GONE_TTL, none, none, user.as_str(), &held.device);
        self.cassandra.execute(&self.statements.clear_device, values).await
    }

    async fn clear_block(&self, user: &UserId, (blocked, _, ts): BlockColumns) -> Result<(), StoreError> {
        let values = (self.stamp_above(ts), GONE_TTL, moment(NONE), user.as_str(), blocked);
        self.cassandra.execute(&self.statements.clear_block, values).await
    }

    /// Writes a rollup with its place in the log as its timestamp; of two with one place the engine keeps the greater
    /// bytes, which is the higher value.
    async fn put_usage(&self, row: &UsageRow) -> Result<(), StoreError> {
        let UsageRow { hour, metric, partition, value, position } = *row;
        let ts = long((u64::from(position.epoch) << 48).saturating_add(position.offset));
        let partition = i32::try_from(partition).map_err(crate::cassandra::unreadable)?;
        let day = long(hour / HOURS_OF_A_DAY);
        let values = (ts, long(value), position_bytes(position), day, long(hour), metric_number(metric), partition);
        self.cassandra.execute(&self.statements.put_usage, values).await
    }

    async fn put_report(&self, report: &ErasureReport) -> Result<(), StoreError> {
        let row: Option<(Option<String>, Option<i64>)> =
            self.cassandra.row(&self.statements.report, (report.report_id,)).await?;
        let ts = self.stamp_above(row.and_then(|(_, ts)| ts));
        let text = serde_json::to_string(report).unwrap_or_else(|_| unreachable!("it has string keys only"));
        self.cassandra.execute(&self.statements.put_report, (ts, text, report.report_id)).await?;
        match report.finished_at {
            None => self.cassandra.execute(&self.statements.put_unfinished, (ts, report.report_id)).await,
            Some(_) => {
                self.cassandra.execute(&self.statements.clear_unfinished, (ts, GONE_TTL, report.report_id)).await
            }
        }
    }

    /// Writes over all that is known of a user but the revocation.
    async fn erase(&self, user: &UserId) -> Result<(), StoreError> {
        let (cassandra, statements) = (&self.cassandra, &*self.statements);
        let held = self.user_cells(user).await?;
        if held.seen_ts.is_some() {
            let values = (self.stamp_above(held.seen_ts), GONE_TTL, moment(NONE), user.as_str());
            cassandra.execute(&statements.clear_seen, values).await?;
        }
        if held.visible_ts.is_some() {
            let values = (self.stamp_above(held.visible_ts), GONE_TTL, user.as_str());
            cassandra.execute(&statements.clear_visible, values).await?;
        }
        let devices = self.devices_of(user).await?;
        each(devices.iter().map(|device| self.clear_device(user, device)).collect::<Vec<_>>()).await?;
        let keep = |row: BlockColumns| Ok(Some(row));
        let blocks = cassandra.rows(&statements.blocks, (user.as_str(), ""), usize::MAX, keep).await?;
        each(blocks.into_iter().map(|block| self.clear_block(user, block)).collect::<Vec<_>>()).await?;
        Ok(())
    }
}
