//! The push worker: those who are not there hear of a message on their devices.
//!
//! ```text
//!  push ──► roster ──► members without a route: now ──────┐
//!                └───► the others: 10 s later ────────────┤
//!                                                         ▼
//!            cursors, mute ──► blocks ──► devices ──► vendor, with retries ──► `push.outcomes` ──► commit
//! ```
//!
//! One task a record; it sleeps until its second half is due. Records are settled in any order and committed in log
//! order: after a restart, those that were not committed are due again. So a device may be told twice, under one
//! collapse id.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chat_core::clock::Clock;
use chat_core::event::PushRecord;
use chat_core::id::{ChatId, Seq};
use chat_core::message_log::MessageLog;
use chat_core::message_store::MessageStore;
use chat_core::push::PushSender;
use chat_core::user_store::UserStore;
use lru::LruCache;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::consume::{Batch, Failure, Handler, InFlight, Received};
use crate::metrics::PushMetrics;

mod audience;
mod deliver;
mod settle;

use settle::Settler;

/// Messages that are remembered, so that what the sequencer emits again is not pushed again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();

/// What the push worker works with.
#[derive(Debug, Clone)]
pub(crate) struct NotifyPorts {
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) push: Arc<dyn PushSender>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// How the push worker works.
#[derive(Debug, Clone, Copy)]
pub struct NotifyConfig {
    /// Whether notifications carry the message's content, which the vendor can then read.
    pub send_content: bool,
    /// How long a member who has a route may take to receive the message (protocol: 10 s).
    pub patience: Duration,
    /// Calls to the vendors that are on their way at once.
    pub concurrent_pushes: usize,
    /// Attempts a device at most.
    pub attempts: u32,
    /// Records and members without a route that are in hand at once; beyond it no more are taken.
    pub in_hand: usize,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            send_content: false,
            patience: Duration::from_secs(10),
            concurrent_pushes: 256,
            attempts: 6,
            in_hand: 100_000,
        }
    }
}

/// Pushes to devices.
#[derive(Debug)]
pub(crate) struct Notify {
    settler: Arc<Settler>,
    config: NotifyConfig,
    partitions: BTreeMap<u32, Partition>,
    /// Messages that were taken since the last partition was given up.
    taken: LruCache<(ChatId, Seq), ()>,
}

/// One partition. Dropping it ends its tasks.
#[derive(Debug)]
struct Partition {
    in_flight: InFlight,
    in_hand: usize,
    tasks: JoinSet<Task>,
    /// Ends the sleep of tasks whose second half is not due yet.
    hurry: CancellationToken,
}

/// What a task returns.
#[derive(Debug, Clone, Copy)]
struct Task {
    offset: u64,
    weight: usize,
    is_settled: bool,
}

impl Partition {
    fn note(&mut self, ended: Result<Task, tokio::task::JoinError>) {
        match ended {
            Ok(task) => {
                self.in_hand -= task.weight;
                if task.is_settled {
                    self.in_flight.close(task.offset);
                }
            }
            // Its record stays uncommitted, and is due again when the partition is begun again.
            Err(error) => error!(%error, "a push ended badly"),
        }
    }
}

impl Notify {
    pub(crate) fn new(ports: NotifyPorts, config: NotifyConfig, metrics: PushMetrics) -> Self {
        let settler = Arc::new(Settler::new(ports, config, metrics));
        Self { settler, config, partitions: BTreeMap::new(), taken: LruCache::new(REMEMBERED) }
    }
}

impl Handler for Notify {
    type Record = PushRecord;

    async fn begin(&mut self, partition: u32, committed: u64) -> Result<(), Failure> {
        let begun = Partition {
            in_flight: InFlight::from(committed),
            in_hand: 0,
            tasks: JoinSet::new(),
            hurry: CancellationToken::new(),
        };
        self.partitions.insert(partition, begun);
        Ok(())
    }

    async fn take(&mut self, partition: u32, batch: Batch<PushRecord>) -> Result<(), Failure> {
        let Some(partition) = self.partitions.get_mut(&partition) else { return Ok(()) };
        for Received { position, record } in batch.records {
            if self.taken.put((record.chat_id, record.seq), ()).is_some() {
                continue;
            }
            let (offset, weight) = (position.offset, 1 + record.offline.len());
            partition.in_flight.open(offset);
            partition.in_hand += weight;
            let (settler, hurry) = (Arc::clone(&self.settler), partition.hurry.clone());
            partition.tasks.spawn(async move {
                let is_settled = settler.settle(record, &hurry).await;
                Task { offset, weight, is_settled }
            });
        }
        partition.in_flight.read_upto(batch.next);
        Ok(())
    }

    async fn due(&mut self) {
        poll_fn(|context| {
            let mut is_due = false;
            for partition in self.partitions.values_mut() {
                while let Poll::Ready(Some(ended)) = partition.tasks.poll_join_next(context) {
                    partition.note(ended);
                    is_due = true;
                }
            }
            if is_due { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn done(&self, partition: u32) -> u64 {
        self.partitions.get(&partition).map_or(0, |partition| partition.in_flight.done())
    }

    fn has_room(&self) -> bool {
        self.partitions.values().map(|partition| partition.in_hand).sum::<usize>() < self.config.in_hand
    }

    async fn finish(&mut self, partition: u32) {
        let Some(partition) = self.partitions.get_mut(&partition) else { return };
        partition.hurry.cancel();
        while let Some(ended) = partition.tasks.join_next().await {
            partition.note(ended);
        }
    }

    fn end(&mut self, partition: u32) {
        if self.partitions.remove(&partition).is_some() {
            self.taken.clear();
        }
    }
}

#[cfg(test)]
mod tests;
