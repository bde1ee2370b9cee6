//! What is known of one partition without asking the database: its offsets, and its newest records.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::message_log::Entry;

/// One partition of one topic.
#[derive(Debug)]
pub(super) struct Partition {
    tail_limit: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// First offset kept, and the one after the last durable record.
    kept: Range<u64>,
    /// The newest records, without a gap up to the end. Bounded by bytes.
    tail: VecDeque<Entry>,
    tail_bytes: usize,
}

/// Returns about what an entry holds in memory.
pub(super) fn size(entry: &Entry) -> usize {
    let headers: usize = entry.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    size_of::<Entry>() + entry.key.len() + entry.payload.len() + headers
}

impl Partition {
    pub(super) fn new(kept: Range<u64>, tail_limit: usize) -> Self {
        Self { tail_limit, state: Mutex::new(State { kept, tail: VecDeque::new(), tail_bytes: 0 }) }
    }

    /// Returns the offsets that can be read.
    pub(super) fn kept(&self) -> Range<u64> {
        self.lock().kept.clone()
    }

    /// Makes durable records readable; keeps them in memory if somebody follows.
    pub(super) fn publish(&self, entries: impl IntoIterator<Item = Entry>, is_followed: bool) {
        let mut state = self.lock();
        for entry in entries {
            state.kept.end = entry.position.offset + 1;
            if is_followed {
                state.tail_bytes += size(&entry);
                state.tail.push_back(entry);
            } else {
                state.tail = VecDeque::new();
                state.tail_bytes = 0;
            }
        }
        while state.tail_bytes > self.tail_limit
            && let Some(oldest) = state.tail.pop_front()
        {
            state.tail_bytes -= size(&oldest);
        }
    }

    /// Forgets what retention dropped.
    pub(super) fn trim(&self, start: u64) {
        let mut state = self.lock();
        state.kept.start = start.max(state.kept.start);
    }

    /// Returns records from `offset` if memory has them all from there, `None` if the database must be asked.
    pub(super) fn recent(&self, offset: u64, limit: usize, bytes: usize) -> Option<Vec<Entry>> {
        let state = self.lock();
        if offset >= state.kept.end {
            return Some(Vec::new());
        }
        let oldest = state.tail.front()?.position.offset;
        let skip = usize::try_from(offset.checked_sub(oldest)?).ok()?;
        let mut left = bytes;
        let within = |entry: &&Entry| {
            let fits = left > 0;
            left = left.saturating_sub(size(entry));
            fits
        };
        Some(state.tail.range(skip..).take(limit).take_while(within).cloned().collect())
    }

    // A poisoned lock is taken over: the changes above cannot panic half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
