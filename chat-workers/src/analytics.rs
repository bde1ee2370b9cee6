//! Analytics: hourly rollups of what happened, as absolute values with the position they were counted up to.
//!
//! Nothing is incremented in the store: a rollup is read, counted on in memory and written whole. So records that are
//! read again, or that the sequencer emitted again, count once.
//!
//! How many users sent something is not counted: a user's chats are in many partitions, so what partitions count does
//! not add up.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chat_core::event::Event;
use chat_core::user_store::{UserStore, UserWrite};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::backoff::backoff;
use crate::consume::{Batch, Failure, Handler};

mod rollups;

use rollups::Rollups;

/// How long counts are gathered before they are written.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// Counts what happened.
#[derive(Debug)]
pub(crate) struct Analytics {
    users: Arc<dyn UserStore>,
    partitions: BTreeMap<u32, Partition>,
}

/// One partition.
#[derive(Debug)]
struct Partition {
    rollups: Rollups,
    /// The offset after the last record counted.
    next: u64,
    /// The same as of the last writing.
    written: u64,
    /// When counts are to be written; set while there are any.
    due: Option<Instant>,
    failures: u32,
}

impl Analytics {
    pub(crate) fn new(users: Arc<dyn UserStore>) -> Self {
        Self { users, partitions: BTreeMap::new() }
    }

    async fn flush(&mut self, id: u32) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let writes: Vec<UserWrite> = partition.rollups.unwritten().into_iter().map(UserWrite::Usage).collect();
        let written = if writes.is_empty() { Ok(()) } else { self.users.write(writes).await };
        match written {
            Ok(()) => {
                partition.rollups.mark_written();
                partition.written = partition.next;
                (partition.due, partition.failures) = (None, 0);
            }
            Err(error) => {
                partition.failures = partition.failures.saturating_add(1);
                let pause = backoff(partition.failures);
                warn!(partition = id, %error, ?pause, "write rollups");
                partition.due = Some(Instant::now() + pause);
            }
        }
    }
}

impl Handler for Analytics {
    type Record = Event;

    async fn begin(&mut self, partition: u32, committed: u64) -> Result<(), Failure> {
        let rollups = Rollups::new(partition);
        let begun = Partition { rollups, next: committed, written: committed, due: None, failures: 0 };
        self.partitions.insert(partition, begun);
        Ok(())
    }

    async fn take(&mut self, partition: u32, batch: Batch<Event>) -> Result<(), Failure> {
        let Some(partition) = self.partitions.get_mut(&partition) else { return Ok(()) };
        for hour in partition.rollups.unread_hours(batch.records.iter().map(|received| &received.record)) {
            partition.rollups.read(hour, &self.users.usage(hour, hour + 1).await?);
        }
        for received in &batch.records {
            partition.rollups.count(&received.record);
        }
        partition.next = batch.next;
        partition.due.get_or_insert_with(|| Instant::now() + WRITE_EVERY);
        Ok(())
    }

    async fn due(&mut self) {
        match self.partitions.values().filter_map(|partition| partition.due).min() {
            Some(due) => sleep_until(due).await,
            None => pending().await,
        }
    }

    async fn work(&mut self) {
        let now = Instant::now();
        let is_due = |partition: &Partition| partition.due.is_some_and(|due| due <= now);
        let due: Vec<u32> =
            self.partitions.iter().filter(|(_, partition)| is_due(partition)).map(|(id, _)| *id).collect();
        for id in due {
            self.flush(id).await;
        }
    }

    fn done(&self, partition: u32) -> u64 {
        self.partitions.get(&partition).map_or(0, |partition| partition.written)
    }

    async fn finish(&mut self, partition: u32) {
        self.flush(partition).await;
    }

    fn end(&mut self, partition: u32) {
        self.partitions.remove(&partition);
    }
}

#[cfg(test)]
mod tests;
