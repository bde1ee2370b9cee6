//! The tables of the store as one ordered map of rows, with the one merge that every single-process engine uses.
//!
//! A [`StoredRow`] is made of cells, each merged by itself as a Cassandra cell is: the higher write timestamp wins, a
//! cursor or active slot is a max register, and of two state cells with one timestamp the lower position wins. So the
//! same writes give the same tables in any order, any number of times.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

use super::{ChatState, Order, Row, StoreError};
use crate::id::ChatId;

mod cells;
mod key;
mod scan;

pub use cells::{ChatCells, InboxCells, MemberCells, MessageCells, Register, StoredRow};
pub use key::RowKey;
pub use scan::Scan;

/// All tables of one store, as a value: for the memory engine, and for models and simulations that hold it in a state.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tables(BTreeMap<RowKey, StoredRow>);

impl Tables {
    /// Merges one write of stage 1.
    pub fn apply(&mut self, row: &Row) {
        let key = RowKey::of(row);
        if let Some(stored) = self.0.get_mut(&key) {
            stored.apply(row);
        } else {
            let mut stored = StoredRow::unset(&key);
            stored.apply(row);
            self.0.insert(key, stored);
        }
    }

    /// Merges one state cell, the write of stage 2.
    pub fn apply_state(&mut self, chat: ChatId, state: &ChatState) {
        let key = RowKey::State(chat);
        let unset = StoredRow::unset(&key);
        self.0.entry(key).or_insert(unset).apply_state(state);
    }

    /// Returns every row in key order.
    pub fn rows(&self) -> impl Iterator<Item = (&RowKey, &StoredRow)> {
        self.0.iter()
    }
}

impl Scan for Tables {
    fn get(&self, key: &RowKey) -> Result<Option<StoredRow>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(
        &self,
        keys: RangeInclusive<RowKey>,
        order: Order,
        visit: &mut dyn FnMut(RowKey, StoredRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut rows = self.0.range(keys);
        let mut next = || match order {
            Order::OldestFirst => rows.next(),
            Order::NewestFirst => rows.next_back(),
        };
        while let Some((key, row)) = next() {
            if visit(key.clone(), row.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
