//! The store of users in memory: for tests and simulations. The same merge and reads as the embedded engine, no
//! durability.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use uuid::Uuid;

use super::tables::{Bytes, Draft, Rows};
use super::{BlockRow, DeviceRow, ErasureReport, UsageRow, UserRow, UserStore, UserWrite};
use crate::id::UserId;
use crate::message_store::StoreError;

/// Keeps all rows in one map. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryUserStore(Arc<RwLock<Map>>);

#[derive(Debug, Default)]
struct Map(BTreeMap<Bytes, Bytes>);

impl Rows for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], upto: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let rows = self.0.range::<[u8], _>((Bound::Included(from), Bound::Excluded(upto))).take(limit);
        Ok(rows.map(|(key, bytes)| (key.clone(), bytes.clone())).collect())
    }
}

impl MemoryUserStore {
    // A poisoned lock is taken over: changes are taken in only when all of them are made.
    fn read<T>(&self, read: impl FnOnce(&Map) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl UserStore for MemoryUserStore {
    async fn write(&self, writes: Vec<UserWrite>) -> Result<(), StoreError> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut draft = Draft::new(&*map);
        writes.iter().try_for_each(|write| draft.apply(write))?;
        for (key, changed) in draft.into_changes() {
            match changed {
                Some(bytes) => drop(map.0.insert(key, bytes)),
                None => drop(map.0.remove(&key)),
            }
        }
        Ok(())
    }

    async fn users(&self, users: &[UserId]) -> Result<Vec<UserRow>, StoreError> {
        self.read(|map| users.iter().map(|user| map.user(user)).collect())
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Vec<DeviceRow>>, StoreError> {
        self.read(|map| users.iter().map(|user| map.devices(user)).collect())
    }

    async fn blocks(&self, user: &UserId, after: Option<&UserId>, limit: usize) -> Result<Vec<BlockRow>, StoreError> {
        self.read(|map| map.blocks(user, after, limit))
    }

    async fn blocked(&self, pairs: &[(UserId, UserId)]) -> Result<Vec<bool>, StoreError> {
        self.read(|map| pairs.iter().map(|(user, other)| map.is_blocked(user, other)).collect())
    }

    async fn usage(&self, from: u64, upto: u64) -> Result<Vec<UsageRow>, StoreError> {
        self.read(|map| map.usage(from, upto))
    }

    async fn report(&self, report_id: Uuid) -> Result<Option<ErasureReport>, StoreError> {
        self.read(|map| map.report(report_id))
    }

    async fn unfinished(&self, limit: usize) -> Result<Vec<ErasureReport>, StoreError> {
        self.read(|map| map.unfinished(limit))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use super::*;

    fn make() -> Ready<(Arc<dyn UserStore>, ())> {
        ready((Arc::new(MemoryUserStore::default()), ()))
    }

    crate::user_store_contract!(make);
}
