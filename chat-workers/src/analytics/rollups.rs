//! Counting, and what was counted already. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::event::{Event, Fact};
use chat_core::frame::{ChangeKind, ContentType};
use chat_core::message_log::Position;
use chat_core::user_store::{HOUR_MS, Metric, UsageRow};

use crate::consume::time_of;

/// Facts that are remembered, to tell one that comes late from one that comes again.
const REMEMBERED: usize = 16_384;

/// Hours kept in memory, unless they are not written yet.
const HOURS: usize = 48;

/// One fact: the record it came from, its kind, its seq or rev.
type Key = (Position, Metric, u64);

/// The rollups of one partition.
///
/// Positions are those of the records of `messages` that the facts came from, so that a fact that the sequencer emits
/// again has the position that it had before. `messages` and `events` have equally many partitions, so those of one
/// partition compare. A fact that is overtaken by later ones counts all the same, unless a restart comes between.
#[derive(Debug)]
pub(super) struct Rollups {
    partition: u32,
    hours: BTreeMap<u64, BTreeMap<Metric, Rollup>>,
    seen: BTreeSet<Key>,
    /// Facts at or below came long ago; they do not count again.
    forgotten: Position,
}

/// One value.
#[derive(Debug, Default)]
struct Rollup {
    value: u64,
    position: Position,
    /// As it was read: facts at or below are in the value.
    counted: Position,
    is_written: bool,
}

impl Rollups {
    pub(super) fn new(partition: u32) -> Self {
        Self { partition, hours: BTreeMap::new(), seen: BTreeSet::new(), forgotten: Position::default() }
    }

    /// Returns the hours of these events that are not in memory.
    pub(super) fn unread_hours<'a>(&self, events: impl Iterator<Item = &'a Event>) -> BTreeSet<u64> {
        let hours = events.filter(|event| metric(event).is_some()).map(hour_of);
        hours.filter(|hour| !self.hours.contains_key(hour)).collect()
    }

    /// Takes the rows of an hour; those of other partitions are left out.
    pub(super) fn read(&mut self, hour: u64, rows: &[UsageRow]) {
        let own = rows.iter().filter(|row| row.partition == self.partition);
        let rollups = own.map(|row| {
            let UsageRow { value, position, metric, .. } = *row;
            (metric, Rollup { value, position, counted: position, is_written: true })
        });
        self.hours.insert(hour, rollups.collect());
    }

    /// Counts an event, once.
    pub(super) fn count(&mut self, event: &Event) {
        let Some((metric, number)) = metric(event) else { return };
        let position = event.position;
        if position <= self.forgotten || !self.seen.insert((position, metric, number)) {
            return;
        }
        if self.seen.len() > REMEMBERED
            && let Some((oldest, ..)) = self.seen.pop_first()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
        let rollup = self.hours.entry(hour_of(event)).or_default().entry(metric).or_default();
        if position > rollup.counted {
            rollup.value += 1;
            rollup.position = rollup.position.max(position);
            rollup.is_written = false;
        }
    }

    /// Returns the rows that changed since they were written.
    pub(super) fn unwritten(&self) -> Vec<UsageRow> {
        let rollups = self.hours.iter().flat_map(|(hour, rollups)| {
            rollups
                .iter()
                .filter(|(_, rollup)| !rollup.is_written)
                .map(move |(metric, rollup)| (*hour, *metric, rollup))
        });
        let row = |(hour, metric, rollup): (u64, Metric, &Rollup)| {
            let (partition, value, position) = (self.partition, rollup.value, rollup.position);
            UsageRow { hour, metric, partition, value, position }
        };
        rollups.map(row).collect()
    }

    /// Notes that all rows were written; the oldest hours make room.
    pub(super) fn mark_written(&mut self) {
        for rollup in self.hours.values_mut().flat_map(BTreeMap::values_mut) {
            rollup.is_written = true;
        }
        while self.hours.len() > HOURS {
            self.hours.pop_first();
        }
    }
}

fn hour_of(event: &Event) -> u64 {
    time_of(event.ts).millis() / HOUR_MS
}

/// Returns what an event counts as, with what tells it from others of its record.
fn metric(event: &Event) -> Option<(Metric, u64)> {
    match &event.fact {
        Fact::Message(message) => {
            (message.content_type != ContentType::System).then_some((Metric::Messages, message.seq))
        }
        Fact::Updated { rev, .. } => Some((Metric::Edits, *rev)),
        Fact::Deleted { rev, .. } => Some((Metric::Deletes, *rev)),
        Fact::Changed { change, .. } => (change.kind == ChangeKind::Created).then_some((Metric::Chats, 0)),
    }
}
