//! The tables as one ordered map of bytes, with the keys, the merge and the reads that every single-process engine uses.
//!
//! # Keys
//! One byte for the table, then the columns: integers big-endian, a UUID as its 16 bytes, a user id or device name as
//! its bytes, followed by a zero byte where another column follows (neither contains one).
//!
//! ```text
//! 1 user              users        4 hour metric partition   usage_hourly
//! 2 user 0 device     devices      5 report                  reports
//! 3 user 0 blocked    blocks       6 report                  reports that are not finished
//! ```
//! Values are JSON.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{BlockRow, DeviceRow, ErasureReport, Metric, UsageRow, UserRow, UserWrite};
use crate::id::UserId;
use crate::message_store::StoreError;

/// A key, or a value.
pub(super) type Bytes = Vec<u8>;

/// Reads one ordered map; what the port asks for follows from the two required methods.
pub(super) trait Rows {
    /// Returns one value.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Returns the rows of `from <= key < upto`, ascending, at most `limit`.
    fn range(&self, from: &[u8], upto: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    fn user(&self, user: &UserId) -> Result<UserRow, StoreError> {
        Ok(self.row(&user_key(user))?.unwrap_or_default())
    }

    fn devices(&self, user: &UserId) -> Result<Vec<DeviceRow>, StoreError> {
        self.rows(&device_key(user, ""), usize::MAX)
    }

    fn blocks(&self, user: &UserId, after: Option<&UserId>, limit: usize) -> Result<Vec<BlockRow>, StoreError> {
        let all = block_key(user, "");
        let from = after.map_or_else(|| all.clone(), |after| [&block_key(user, after.as_str())[..], &[0]].concat());
        decode_all(&self.range(&from, &end_of(&all), limit)?)
    }

    fn is_blocked(&self, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        Ok(self.get(&block_key(user, other.as_str()))?.is_some())
    }

    fn usage(&self, from: u64, upto: u64) -> Result<Vec<UsageRow>, StoreError> {
        if from >= upto {
            return Ok(Vec::new());
        }
        decode_all(&self.range(&hour_key(from), &hour_key(upto), usize::MAX)?)
    }

    fn report(&self, report_id: Uuid) -> Result<Option<ErasureReport>, StoreError> {
        self.row(&report_key(report_id))
    }

    fn unfinished(&self, limit: usize) -> Result<Vec<ErasureReport>, StoreError> {
        self.rows(&key(UNFINISHED, &[]), limit)
    }

    fn row<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.get(key)?.map(|bytes| decode(key, &bytes)).transpose()
    }

    /// Returns the rows whose keys begin so.
    fn rows<T: DeserializeOwned>(&self, prefix: &[u8], limit: usize) -> Result<Vec<T>, StoreError> {
        decode_all(&self.range(prefix, &end_of(prefix), limit)?)
    }
}

fn decode<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(format!("{}: {error}", key.escape_ascii())))
}

fn decode_all<T: DeserializeOwned>(rows: &[(Bytes, Bytes)]) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|(key, bytes)| decode(key, bytes)).collect()
}

fn key(table: u8, columns: &[&[u8]]) -> Bytes {
    [&[table][..], &columns.concat()].concat()
}

fn user_key(user: &UserId) -> Bytes {
    key(1, &[user.as_str().as_bytes()])
}

fn device_key(user: &UserId, device: &str) -> Bytes {
    key(2, &[user.as_str().as_bytes(), &[0], device.as_bytes()])
}

fn block_key(user: &UserId, blocked: &str) -> Bytes {
    key(3, &[user.as_str().as_bytes(), &[0], blocked.as_bytes()])
}

fn hour_key(hour: u64) -> Bytes {
    key(4, &[&hour.to_be_bytes()])
}

fn usage_key(row: &UsageRow) -> Bytes {
    let metric = match row.metric {
        Metric::Messages => 1,
        Metric::Edits => 2,
        Metric::Deletes => 3,
        Metric::Chats => 4,
    };
    [&hour_key(row.hour)[..], &[metric], &row.partition.to_be_bytes()].concat()
}

fn report_key(report_id: Uuid) -> Bytes {
    key(5, &[report_id.as_bytes()])
}

/// The table of reports that are not finished, so that they are found without reading the others.
const UNFINISHED: u8 = 6;

fn unfinished_key(report_id: Uuid) -> Bytes {
    key(UNFINISHED, &[report_id.as_bytes()])
}

/// Returns the key after all that begin so, of a prefix that is not all 255s.
fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while end.pop_if(|byte| *byte == u8::MAX).is_some() {}
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// What writes change: new values by key, `None` where a row is removed.
pub(super) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// Writes in the making: reads show the changes over the rows as they are.
#[derive(Debug)]
pub(super) struct Draft<'a, R> {
    rows: &'a R,
    changes: Changes,
}

impl<'a, R: Rows> Draft<'a, R> {
    pub(super) fn new(rows: &'a R) -> Self {
        Self { rows, changes: Changes::default() }
    }

    pub(super) fn into_changes(self) -> Changes {
        self.changes
    }

    /// Takes one write. After an error nothing of it is in the draft.
    pub(super) fn apply(&mut self, write: &UserWrite) -> Result<(), StoreError> {
        match write {
            UserWrite::Seen { user, at } => {
                self.change_user(user, |row| row.last_seen_at = row.last_seen_at.max(Some(*at)))?;
            }
            UserWrite::ShowLastSeen { user, visible } => {
                self.change_user(user, |row| row.last_seen_visible = *visible)?;
            }
            UserWrite::Revoke { user, not_before } => {
                self.change_user(user, |row| row.not_before = row.not_before.max(Some(*not_before)))?;
            }
            UserWrite::PutDevice { user, device } => self.put(device_key(user, &device.device), device),
            UserWrite::InvalidateDevice { user, device, push_token, at } => {
                let key = device_key(user, device);
                if let Some(held) = self.row::<DeviceRow>(&key)?
                    && held.push_token == *push_token
                    && held.invalid_at.is_none()
                {
                    self.put(key, &DeviceRow { invalid_at: Some(*at), ..held });
                }
            }
            UserWrite::RemoveDevice { user, device } => self.remove(device_key(user, device)),
            UserWrite::Block { user, blocked, at } => {
                let key = block_key(user, blocked.as_str());
                if self.get(&key)?.is_none() {
                    self.put(key, &BlockRow { user: blocked.clone(), at: *at });
                }
            }
            UserWrite::Unblock { user, blocked } => self.remove(block_key(user, blocked.as_str())),
            UserWrite::Usage(row) => {
                let key = usage_key(row);
                if self
                    .row::<UsageRow>(&key)?
                    .is_none_or(|held| (held.position, held.value) < (row.position, row.value))
                {
                    self.put(key, row);
                }
            }
            UserWrite::Report(report) => {
                self.put(report_key(report.report_id), report);
                let open = unfinished_key(report.report_id);
                match report.finished_at {
                    None => self.put(open, report),
                    Some(_) => self.remove(open),
                }
            }
            UserWrite::Erase { user } => self.erase(user)?,
        }
        Ok(())
    }

    fn change_user(&mut self, user: &UserId, change: impl FnOnce(&mut UserRow)) -> Result<(), StoreError> {
        let before = self.user(user)?;
        let mut row = before;
        change(&mut row);
        if row != before {
            self.put(user_key(user), &row);
        }
        Ok(())
    }

    fn erase(&mut self, user: &UserId) -> Result<(), StoreError> {
        let before = self.user(user)?;
        let mut keys = Vec::new();
        for prefix in [device_key(user, ""), block_key(user, "")] {
            keys.extend(self.range(&prefix, &end_of(&prefix), usize::MAX)?.into_iter().map(|(key, _)| key));
        }
        for key in keys {
            self.remove(key);
        }
        match before.not_before {
            None => self.remove(user_key(user)),
            not_before => self.put(user_key(user), &UserRow { not_before, ..UserRow::default() }),
        }
        Ok(())
    }

    fn put(&mut self, key: Bytes, row: &impl Serialize) {
        let bytes = serde_json::to_vec(row).unwrap_or_else(|_| unreachable!("rows have string keys only"));
        self.changes.insert(key, Some(bytes));
    }

    fn remove(&mut self, key: Bytes) {
        self.changes.insert(key, None);
    }
}

impl<R: Rows> Rows for Draft<'_, R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.rows.get(key),
        }
    }

    fn range(&self, from: &[u8], upto: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let mut found: BTreeMap<Bytes, Bytes> = self.rows.range(from, upto, usize::MAX)?.into_iter().collect();
        for (key, changed) in self.changes.range::<[u8], _>((Bound::Included(from), Bound::Excluded(upto))) {
            match changed {
                Some(bytes) => drop(found.insert(key.clone(), bytes.clone())),
                None => drop(found.remove(key)),
            }
        }
        Ok(found.into_iter().take(limit).collect())
    }
}
