//! The one thread that writes rows: reads what is stored, merges, writes a group as one batch.

use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::unavailable;
use crate::embedded::{Engine, Weight};
use crate::id::ChatId;
use crate::message_store::tables::{RowKey, Scan, StoredRow};
use crate::message_store::{ChatState, Row, StoreError};

/// What one call writes.
#[derive(Debug)]
pub(super) enum Writes {
    Rows(Vec<Row>),
    States(Vec<(ChatId, ChatState)>),
}

impl Writes {
    /// Returns whether the log cannot make all of it again.
    fn stand_alone(&self) -> bool {
        matches!(self, Self::Rows(rows) if rows.iter().any(|row| !row.is_derived()))
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) writes: Writes,
    pub(super) reply: oneshot::Sender<Result<(), StoreError>>,
}

impl Weight for Command {
    fn weight(&self) -> usize {
        match &self.writes {
            Writes::Rows(rows) => rows.len(),
            Writes::States(states) => states.len(),
        }
    }
}

/// Rows kept in memory because the same ones are written again and again: state cells, cursors, activity. A few
/// hundred bytes each.
const HOT_ROWS: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// The writer. That there is one makes read, merge, write safe without a lock on rows.
#[derive(Debug)]
pub(super) struct Writer {
    engine: Arc<Engine>,
    hot: LruCache<RowKey, StoredRow>,
}

/// Rows that a group touches, and whether they changed.
type Touched = FxHashMap<RowKey, (StoredRow, bool)>;

impl Writer {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, hot: LruCache::new(HOT_ROWS) }
    }

    /// Merges and writes a group of calls and answers them all.
    pub(super) fn run(&mut self, group: Vec<Command>) {
        let mut touched = Touched::default();
        let mut waiting = Vec::with_capacity(group.len());
        let sync = group.iter().any(|command| command.writes.stand_alone());
        for Command { writes, reply } in group {
            match self.merge(&mut touched, &writes) {
                Ok(()) => waiting.push(reply),
                // A caller that no longer waits has met its deadline and repeats the batch.
                Err(error) => _ = reply.send(Err(error)),
            }
        }
        let written = self.write(&touched, sync);
        if written.is_ok() {
            self.keep_hot(touched);
        } else {
            self.hot.clear();
        }
        for reply in waiting {
            _ = reply.send(written.clone());
        }
    }

    fn merge(&mut self, touched: &mut Touched, writes: &Writes) -> Result<(), StoreError> {
        match writes {
            Writes::Rows(rows) => rows.iter().try_for_each(|row| {
                let (stored, changed) = self.row(touched, RowKey::of(row))?;
                *changed |= stored.apply(row);
                Ok(())
            }),
            Writes::States(states) => states.iter().try_for_each(|(chat, state)| {
                let (stored, changed) = self.row(touched, RowKey::State(*chat))?;
                *changed |= stored.apply_state(state);
                Ok(())
            }),
        }
    }

    fn row<'a>(&mut self, touched: &'a mut Touched, key: RowKey) -> Result<&'a mut (StoredRow, bool), StoreError> {
        match touched.entry(key) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let stored = match self.hot.get(entry.key()) {
                    Some(hot) => hot.clone(),
                    None => self.engine.get(entry.key())?.unwrap_or_else(|| StoredRow::unset(entry.key())),
                };
                Ok(entry.insert((stored, false)))
            }
        }
    }

    fn keep_hot(&mut self, touched: Touched) {
        for (key, (row, _)) in touched {
            if matches!(row, StoredRow::State(_) | StoredRow::Member(_) | StoredRow::Inbox(_)) {
                self.hot.put(key, row);
            }
        }
    }

    fn write(&self, touched: &Touched, sync: bool) -> Result<(), StoreError> {
        let mut batch = self.engine.batch(touched.len());
        for (key, (row, _)) in touched.iter().filter(|(_, (_, changed))| *changed) {
            batch.insert(&self.engine.rows, key.encode(), row.encode());
        }
        self.engine.write(batch, sync).map_err(unavailable)
    }
}
