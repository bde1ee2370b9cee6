//! The receipts worker: keeps cursors, and tells those who wait for a tick.
//!
//! ```text
//!  receipts ──► merge by chat and user ──► cut to what the user may see ──► write `read` ──► relay `receipt`
//!                                                     │
//!                                                     ├─ `delivered`: held, written within `hold`
//!                                                     └─ groups: counted again within `summary_every`, relay `receipt.summary`
//! ```
//!
//! Cursors are max registers, so a replay writes the same again. What was relayed before a crash is relayed again: a
//! record below the end that the log had when the partition was taken over counts as moved, whatever the store says.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::Clock;
use chat_core::frame::Push;
use chat_core::id::ChatId;
use chat_core::message_log::{MessageLog, Topic};
use chat_core::message_store::{MessageStore, Row, StoreError};
use chat_core::receipt::ReceiptRecord;
use chat_core::relay::Relay;
use chat_core::relay::frames::{self, Addressed};
use rustc_hash::FxHashMap;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::backoff::backoff;
use crate::consume::{Batch, Failure, Handler};
use crate::metrics::{FrameLabel, ReceiptsMetrics};

mod cache;
mod chat;
mod held;
mod load;
mod moves;
mod summary;

use cache::ChatCache;
use chat::HotChat;
use held::Held;
use moves::{Moves, ToldByChat, merge};
use summary::Untold;

/// Rows that one call writes at most.
const WRITE_ROWS: usize = 1_024;

/// Chats whose summaries are told at once.
const TELL_CHATS: usize = 256;

/// What the receipts worker works with.
#[derive(Debug, Clone)]
pub(crate) struct ReceiptsPorts {
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// How the receipts worker works.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptsConfig {
    /// How long `delivered` cursors are held before they are written, at most 10 s (design: receipts). Half of the
    /// push worker's patience, so that it finds the receipts of those who were there.
    pub hold: Duration,
    /// Held cursors beyond which they are written at once.
    pub held_cursors: usize,
    /// How long the moves of a group are gathered before its senders are told.
    pub summary_every: Duration,
    /// Members of chats kept in memory, in all.
    pub cached_members: usize,
}

impl Default for ReceiptsConfig {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(5),
            held_cursors: 50_000,
            summary_every: Duration::from_millis(500),
            cached_members: 500_000,
        }
    }
}

/// Keeps cursors.
#[derive(Debug)]
pub(crate) struct Receipts {
    ports: ReceiptsPorts,
    config: ReceiptsConfig,
    metrics: ReceiptsMetrics,
    cache: ChatCache,
    partitions: BTreeMap<u32, Partition>,
}

/// One partition.
#[derive(Debug)]
struct Partition {
    /// The offset after the last record taken.
    next: u64,
    /// Records below may have been written, but not relayed.
    replay_until: u64,
    held: Held,
    untold: Untold,
    failures: u32,
}

impl Receipts {
    pub(crate) fn new(ports: ReceiptsPorts, config: ReceiptsConfig, metrics: ReceiptsMetrics) -> Self {
        let cache = ChatCache::new(config.cached_members);
        Self { ports, config, metrics, cache, partitions: BTreeMap::new() }
    }

    /// Takes the chats of a batch out of memory, and reads those that are not there, or that a cursor is ahead of.
    async fn chats(&mut self, partition: u32, told: &ToldByChat) -> Result<FxHashMap<ChatId, HotChat>, StoreError> {
        let mut chats = FxHashMap::default();
        let mut stale = Vec::new();
        for (chat_id, told) in told {
            let known = self.cache.pop(*chat_id);
            if known.as_ref().is_none_or(|chat| told.iter().any(|told| !chat.covers(&told.cursors))) {
                stale.push(*chat_id);
            }
            chats.extend(known.map(|chat| (*chat_id, chat)));
        }
        let held = self.partitions.get(&partition).map(|partition| &partition.held);
        load::refresh(&*self.ports.store, &stale, &mut chats, held).await?;
        Ok(chats)
    }

    /// Moves the cursors in memory, and sorts what follows from it.
    fn apply(&self, told: ToldByChat, chats: &mut FxHashMap<ChatId, HotChat>, partition: &mut Partition) -> Moves {
        let mut follow = Moves::default();
        for (chat_id, told) in told {
            let Some(chat) = chats.get_mut(&chat_id) else {
                self.metrics.strangers.inc_by(told.len() as u64);
                continue;
            };
            for told in told {
                let Some(moved) = chat.apply(&told.cursors) else {
                    self.metrics.strangers.inc();
                    continue;
                };
                self.metrics.cut.inc_by(u64::from(moved.was_cut));
                follow.take(chat, &moved, &told, &mut partition.held, &mut partition.untold);
            }
        }
        follow
    }

    async fn relay(&self, frames: Vec<Addressed>) {
        for frame in &frames {
            let name = if matches!(frame.push, Push::ReceiptSummary { .. }) { "receipt.summary" } else { "receipt" };
            self.metrics.frames.get_or_create(&FrameLabel { frame: name }).inc();
        }
        frames::relay(&*self.ports.relay, frames).await;
    }

    /// Writes what a partition holds. It stays held where the store does not take it.
    async fn flush(&mut self, id: u32) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        match write(&*self.ports.store, partition.held.rows()).await {
            Ok(()) => {
                partition.held.clear();
                partition.failures = 0;
            }
            Err(error) => {
                partition.failures = partition.failures.saturating_add(1);
                let pause = backoff(partition.failures);
                warn!(partition = id, %error, ?pause, "write held cursors");
                partition.held.write_at(Instant::now() + pause);
            }
        }
    }

    /// Tells senders of a partition's groups how many have their messages now.
    async fn tell(&mut self, id: u32) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let asked = partition.untold.take(TELL_CHATS);
        match self.summaries(id, &asked).await {
            Ok((frames, left)) => {
                self.relay(frames).await;
                if let Some(partition) = self.partitions.get_mut(&id) {
                    partition.untold.put_off(left, Instant::now() + self.config.summary_every);
                    partition.failures = 0;
                }
            }
            Err(error) => {
                let Some(partition) = self.partitions.get_mut(&id) else { return };
                partition.failures = partition.failures.saturating_add(1);
                let pause = backoff(partition.failures);
                warn!(partition = id, %error, ?pause, "count for summaries");
                partition.untold.put_back(asked, Instant::now() + pause);
            }
        }
    }

    /// Counts again, as the chats are now; returns what is to be told, and what is left for the next time.
    async fn summaries(
        &mut self,
        id: u32,
        asked: &summary::ByChat,
    ) -> Result<(Vec<Addressed>, summary::ByChat), StoreError> {
        let ids: Vec<ChatId> = asked.keys().copied().collect();
        let mut chats: FxHashMap<ChatId, HotChat> =
            ids.iter().filter_map(|chat_id| Some((*chat_id, self.cache.pop(*chat_id)?))).collect();
        let held = self.partitions.get(&id).map(|partition| &partition.held);
        load::refresh(&*self.ports.store, &ids, &mut chats, held).await?;
        load::advance(&*self.ports.store, &mut chats).await?;
        let (mut frames, mut left) = (Vec::new(), summary::ByChat::new());
        let now = self.ports.clock.now();
        for (chat_id, asked) in asked {
            let Some(mut chat) = chats.remove(chat_id) else { continue };
            let mut seqs = asked.seqs.clone();
            frames.extend(summary::tell(*chat_id, &mut chat, &mut seqs, now));
            if !seqs.is_empty() {
                // What does not fit now no longer keeps its records from being committed: a busy chat would never let
                // them go.
                left.insert(*chat_id, summary::Asked { seqs, offset: None });
            }
            self.cache.put(*chat_id, chat);
        }
        Ok((frames, left))
    }
}

/// Writes rows, a bounded number at a time.
async fn write(store: &dyn MessageStore, rows: Vec<Row>) -> Result<(), StoreError> {
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        store.write_rows(rows.by_ref().take(WRITE_ROWS).collect()).await?;
    }
    Ok(())
}

impl Handler for Receipts {
    type Record = ReceiptRecord;

    async fn begin(&mut self, partition: u32, committed: u64) -> Result<(), Failure> {
        let replay_until = self.ports.log.end(Topic::Receipts, partition).await?;
        let held = Held::new(self.config.hold, self.config.held_cursors);
        let untold = Untold::new(self.config.summary_every);
        let begun = Partition { next: committed, replay_until, held, untold, failures: 0 };
        self.partitions.insert(partition, begun);
        Ok(())
    }

    async fn take(&mut self, id: u32, batch: Batch<ReceiptRecord>) -> Result<(), Failure> {
        let Some(replay_until) = self.partitions.get(&id).map(|partition| partition.replay_until) else {
            return Ok(());
        };
        let next = batch.next;
        let told = merge(batch, replay_until);
        let mut chats = self.chats(id, &told).await?;
        let Some(mut partition) = self.partitions.remove(&id) else { return Ok(()) };
        let Moves { rows, frames } = self.apply(told, &mut chats, &mut partition);
        write(&*self.ports.store, rows).await?;
        partition.next = next;
        self.partitions.insert(id, partition);
        for (chat_id, chat) in chats {
            self.cache.put(chat_id, chat);
        }
        self.relay(frames).await;
        Ok(())
    }

    async fn due(&mut self) {
        let waits = self.partitions.values().flat_map(|partition| [partition.held.due(), partition.untold.due()]);
        match waits.flatten().min() {
            Some(due) => sleep_until(due).await,
            None => pending().await,
        }
    }

    async fn work(&mut self) {
        let now = Instant::now();
        for id in self.partitions.keys().copied().collect::<Vec<_>>() {
            let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let due = self.partitions.get(&id).map(|partition| (partition.held.due(), partition.untold.due()));
            let Some((held, untold)) = due else { continue };
            if is_due(untold) {
                self.tell(id).await;
            }
            if is_due(held) {
                self.flush(id).await;
            }
        }
    }

    fn done(&self, partition: u32) -> u64 {
        let Some(partition) = self.partitions.get(&partition) else { return 0 };
        let unfinished = [partition.held.oldest(), partition.untold.oldest()];
        unfinished.into_iter().flatten().min().unwrap_or(partition.next)
    }

    fn has_room(&self) -> bool {
        self.partitions.values().all(|partition| !partition.held.is_full())
    }

    async fn finish(&mut self, partition: u32) {
        self.tell(partition).await;
        self.flush(partition).await;
    }

    fn end(&mut self, partition: u32) {
        self.partitions.remove(&partition);
        let count = self.ports.log.partitions(Topic::Receipts);
        self.cache.drop_partition(partition, count);
    }
}

#[cfg(test)]
mod tests;
