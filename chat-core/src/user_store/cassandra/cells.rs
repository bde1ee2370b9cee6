//! The rows of the engine as those of the port, and the write timestamps of what may be replaced.

use scylla::value::CqlTimestamp;

use super::{NONE, number};
use crate::cassandra::unreadable;
use crate::cassandra::values::{of_word, position_of, time};
use crate::id::UserId;
use crate::message_store::StoreError;
use crate::user_store::{BlockRow, DeviceRow, Metric, UsageRow, UserRow};

pub(super) type UserColumns = (Option<CqlTimestamp>, Option<bool>, Option<CqlTimestamp>, Option<i64>, Option<i64>);

#[derive(Debug, Default)]
pub(super) struct UserCells {
    pub(super) row: UserRow,
    pub(super) seen_ts: Option<i64>,
    pub(super) visible_ts: Option<i64>,
}

impl UserCells {
    pub(super) fn of((seen, visible, not_before, seen_ts, visible_ts): UserColumns) -> Result<Self, StoreError> {
        let row = UserRow {
            last_seen_at: seen.map(time).transpose()?.filter(|at| *at != NONE),
            last_seen_visible: visible.unwrap_or(true),
            not_before: not_before.map(time).transpose()?,
        };
        Ok(Self { row, seen_ts, visible_ts })
    }
}

pub(super) type DeviceColumns = (
    String,
    Option<String>,
    Option<String>,
    Option<CqlTimestamp>,
    Option<String>,
    Option<CqlTimestamp>,
    Option<i64>,
    Option<i64>,
);

#[derive(Debug)]
pub(super) struct DeviceCells {
    pub(super) device: String,
    /// `None` where the device is gone.
    pub(super) row: Option<DeviceRow>,
    pub(super) ts: Option<i64>,
}

impl DeviceCells {
    pub(super) fn of(columns: DeviceColumns) -> Result<Self, StoreError> {
        let (device, platform, push_token, updated_at, invalid_token, invalid_at, token_ts, invalid_ts) = columns;
        let ts = token_ts.max(invalid_ts);
        let push_token = push_token.filter(|token| !token.is_empty());
        let (Some(platform), Some(push_token), Some(updated_at)) = (platform, push_token, updated_at) else {
            return Ok(Self { device, row: None, ts });
        };
        // The vendor's word is about a token: one that the device no longer has does not count.
        let invalid_at = invalid_at.filter(|_| invalid_token.is_some_and(|token| token == push_token));
        let row = DeviceRow {
            device: device.clone(),
            platform: of_word(platform)?,
            push_token,
            updated_at: time(updated_at)?,
            invalid_at: invalid_at.map(time).transpose()?,
        };
        Ok(Self { device, row: Some(row), ts })
    }
}

pub(super) type BlockColumns = (String, Option<CqlTimestamp>, Option<i64>);

/// Makes a block, `None` where it was ended.
pub(super) fn block_of((user, at, _): BlockColumns) -> Result<Option<BlockRow>, StoreError> {
    let at = at.map(time).transpose()?.filter(|at| *at != NONE);
    at.map(|at| Ok(BlockRow { user: UserId::try_from(user).map_err(unreadable)?, at })).transpose()
}

pub(super) fn metric_number(metric: Metric) -> i32 {
    match metric {
        Metric::Messages => 1,
        Metric::Edits => 2,
        Metric::Deletes => 3,
        Metric::Chats => 4,
    }
}

pub(super) type UsageColumns = (i64, i32, i32, i64, Vec<u8>);

pub(super) fn usage_of((hour, metric, partition, value, position): UsageColumns) -> Result<UsageRow, StoreError> {
    let known = Metric::ALL.into_iter().find(|known| metric_number(*known) == metric);
    Ok(UsageRow {
        hour: number(hour)?,
        metric: known.ok_or_else(|| unreadable(format!("metric {metric}")))?,
        partition: u32::try_from(partition).map_err(unreadable)?,
        value: number(value)?,
        position: position_of(&position)?,
    })
}
