//! One partition: takes records, decides, persists, tells, and says what may be committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::event::Event;
use chat_core::id::ChatId;
use chat_core::message_log::{Append, Entry, LogError, Topic, partition_of};
use chat_core::message_store::StoreError;
use chat_core::record::{Record, RecordError};
use chat_core::trace::{Span, Stage};
use lru::LruCache;
use rustc_hash::FxHashSet;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::batch::{self, Chats, Plan, Positioned};
use super::chat_state::CachedChat;
use super::emit::Emissions;
use super::fanout::{self, Fanout};
use super::lane::{Control, Feed, LaneEnd, Request};
use super::{BlockReason, Ports, SequencerConfig, SequencerStatus, load};
use crate::backoff::backoff_at;
use crate::metrics::{OutcomeLabel, SequencerMetrics};

/// Batches whose events are on their way to the log.
const EMISSIONS: usize = 4;

/// Time to finish what is in flight when the partition is given up.
const FINISH: Duration = Duration::from_secs(5);

/// Pause before gateways that missed something are told so again.
const RESYNC_PAUSE: Duration = Duration::from_secs(1);

/// Why a batch was not done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the partition is blocked: {0:?}")]
    Blocked(BlockReason),
}

/// The task of one partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) id: u32,
    pub(super) epoch: u32,
    /// Which assignment this task serves: the consumer hears only the latest one of a partition.
    pub(super) assignment: u64,
    pub(super) ports: Ports,
    pub(super) config: SequencerConfig,
    pub(super) metrics: SequencerMetrics,
    pub(super) status: SequencerStatus,
    pub(super) control: mpsc::Sender<Control>,
    /// The next offset to read as of the last commit that was asked for.
    pub(super) committed: u64,
}

/// A batch as it is read.
#[derive(Debug, Default)]
struct Decoded {
    records: Vec<Positioned>,
    dead: Vec<Append>,
    /// The offset after the last record that was read.
    next: u64,
    /// A record of a newer format follows.
    newer: bool,
}

/// What the task holds while it runs.
struct Work {
    cache: LruCache<ChatId, CachedChat>,
    fanout: Fanout,
    emissions: Emissions,
    /// Done, but not yet old enough to be committed.
    aging: VecDeque<(u64, Instant)>,
    failures: u32,
    /// The next record is of a newer format: nothing more is read, what is done is still committed.
    halted: bool,
}

impl Partition {
    /// Runs until the partition is revoked or the consumer is gone.
    pub(super) async fn run(mut self, mut lane: LaneEnd, revoked: CancellationToken) {
        let size = std::num::NonZeroUsize::new(self.config.cached_chats).unwrap_or(std::num::NonZeroUsize::MIN);
        let mut work = Work {
            cache: LruCache::new(size),
            fanout: Fanout::new(Arc::clone(&self.ports.relay)),
            emissions: Emissions::default(),
            aging: VecDeque::new(),
            failures: 0,
            halted: false,
        };
        loop {
            let resync = Instant::now() + RESYNC_PAUSE;
            let due = work.aging.front().map(|(_, since)| *since + self.config.commit_delay);
            let step = tokio::select! {
                biased;
                () = revoked.cancelled() => break,
                Some(emitted) = work.emissions.next() => {
                    emitted.map(|next| work.aging.push_back((next, Instant::now()))).map_err(Failure::from)
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.commit_aged(&mut work).await;
                    Ok(())
                }
                feed = lane.feed.recv(), if !work.halted && work.emissions.len() < EMISSIONS => {
                    let Some(feed) = feed else { break };
                    let entries = self.gather(feed, &mut lane);
                    if lane.take_stalled() {
                        self.ask(Request::Drained).await;
                    }
                    if entries.is_empty() { Ok(()) } else { self.process(entries, &mut work).await }
                }
                () = sleep_until(resync), if work.fanout.owes() => {
                    work.fanout.relay(&[]).await;
                    Ok(())
                }
            };
            match step {
                Ok(()) => {}
                Err(failure) => self.recover(failure, &mut work, &mut lane, &revoked).await,
            }
        }
        self.finish(work).await;
    }

    /// Takes what waits in the lane, up to a batch; drops what was read before a rewind.
    fn gather(&self, first: Feed, lane: &mut LaneEnd) -> Vec<Entry> {
        let mut entries = if first.generation == lane.generation { first.entries } else { Vec::new() };
        while entries.len() < self.config.batch_records
            && let Ok(feed) = lane.feed.try_recv()
        {
            if feed.generation == lane.generation {
                entries.extend(feed.entries);
            }
        }
        entries
    }

    async fn process(&mut self, entries: Vec<Entry>, work: &mut Work) -> Result<(), Failure> {
        let begun = Instant::now();
        self.metrics.batch_records.observe(entries.len() as f64);
        let Decoded { records, dead, next, newer } = self.decode(entries);
        let mut chats = self.take_chats(&records, work).await?;
        let needs = batch::needs(&chats, &records);
        let known = load::known(&*self.ports.store, needs, &records).await?;
        let plan = batch::plan(&mut chats, &records, &known);
        let mut settled = self.persist(plan).await?;
        load::first_seqs(&*self.ports.store, &mut settled).await?;
        for (chat_id, chat) in chats {
            work.cache.put(chat_id, chat);
        }
        let with_events = |settled| {
            let events = fanout::events(&settled);
            (settled, events)
        };
        let told: Vec<_> = settled.into_iter().map(with_events).collect();
        let connected = work.fanout.relay(&told).await;
        self.trace(&told, begun);
        let partitions = (self.ports.log.partitions(Topic::Events), self.ports.log.partitions(Topic::Push));
        let mut appends = fanout::records(&told, &connected, partitions.0, partitions.1);
        appends.extend(dead);
        work.emissions.push(Arc::clone(&self.ports.log), appends, next);
        work.failures = 0;
        work.halted = newer;
        if newer {
            self.status.block(self.id, BlockReason::UnknownFormat, self.ports.clock.now());
        } else {
            self.status.unblock(self.id);
        }
        Ok(())
    }

    /// Decodes records; those that nobody could apply become dead letters. One of a newer format ends the batch.
    fn decode(&self, entries: Vec<Entry>) -> Decoded {
        let count = self.ports.log.partitions(Topic::Messages);
        let first = entries.first().map_or(self.committed, |entry| entry.position.offset);
        let mut decoded = Decoded { next: first, ..Decoded::default() };
        for entry in entries {
            let offset = entry.position.offset;
            let reason = match Record::decode(&entry.payload) {
                Ok(record) if partition_of(record.chat_id, count) == self.id => {
                    decoded.next = offset + 1;
                    decoded.records.push(Positioned { position: entry.position, time: entry.time, record });
                    continue;
                }
                Ok(_) => "the key does not belong to this partition".to_owned(),
                Err(RecordError::UnknownFormat { found }) => {
                    error!(partition = self.id, offset, found, "meet a newer record format");
                    decoded.newer = true;
                    break;
                }
                Err(error) => error.to_string(),
            };
            error!(partition = self.id, offset, reason, "put a record to the dead letters");
            self.metrics.dead_letters.inc();
            decoded.next = offset + 1;
            decoded.dead.push(dead_letter(entry, reason));
        }
        decoded
    }

    /// Takes the batch's chats out of memory, and loads the others.
    async fn take_chats(&self, records: &[Positioned], work: &mut Work) -> Result<Chats, Failure> {
        let mut chats = Chats::default();
        let mut missing: Vec<(ChatId, Time)> = Vec::new();
        let mut seen = FxHashSet::default();
        for Positioned { record, time, .. } in records {
            if seen.insert(record.chat_id) {
                match work.cache.pop(&record.chat_id) {
                    Some(chat) => drop(chats.insert(record.chat_id, chat)),
                    None => missing.push((record.chat_id, *time)),
                }
            }
        }
        let loaded: Vec<ChatId> = missing.iter().map(|(chat_id, _)| *chat_id).collect();
        load::chats(&*self.ports.store, missing, &mut chats).await?;
        self.check_positions(&loaded, &chats).await?;
        Ok(chats)
    }

    /// Stops when the store knows positions that the log does not have.
    async fn check_positions(&self, loaded: &[ChatId], chats: &Chats) -> Result<(), Failure> {
        let newest = loaded.iter().filter_map(|chat_id| chats.get(chat_id)).map(|chat| chat.state.position).max();
        let Some(newest) = newest else { return Ok(()) };
        if newest.epoch > self.epoch {
            return Err(Failure::Blocked(BlockReason::TopicReplaced));
        }
        if newest.epoch == self.epoch && newest.offset >= self.committed {
            let end = self.ports.log.end(Topic::Messages, self.id).await?;
            if newest.offset >= end {
                return Err(Failure::Blocked(BlockReason::LogWentBackwards));
            }
        }
        Ok(())
    }

    /// Writes a plan: all rows are acknowledged before the first state cell is written.
    async fn persist(&self, plan: Plan) -> Result<Vec<batch::Settled>, Failure> {
        let begun = Instant::now();
        let Plan { rows, states, settled } = plan;
        if !rows.is_empty() {
            self.ports.store.write_rows(rows).await?;
        }
        if !states.is_empty() {
            self.ports.store.write_states(states).await?;
        }
        self.metrics.persist_seconds.observe(begun.elapsed().as_secs_f64());
        for settled in &settled {
            self.metrics.decided.get_or_create(&OutcomeLabel { outcome: label(settled) }).inc();
        }
        Ok(settled)
    }

    /// Tells of the records of a batch that are followed.
    fn trace(&self, told: &[(batch::Settled, Vec<Arc<Event>>)], begun: Instant) {
        for (settled, _) in told {
            let verdict = &settled.verdict;
            if self.ports.tracer.follows(verdict.id) {
                self.ports.tracer.record(Span {
                    of: verdict.id,
                    chat_id: verdict.chat_id,
                    stage: Stage::Sequence,
                    took: begun.elapsed(),
                    position: Some(settled.position),
                    outcome: label(settled),
                    recipients: None,
                });
            }
        }
    }

    async fn commit_aged(&mut self, work: &mut Work) {
        let mut next = None;
        while let Some((offset, since)) = work.aging.front()
            && since.elapsed() >= self.config.commit_delay
        {
            next = Some(*offset);
            work.aging.pop_front();
        }
        if let Some(next) = next {
            self.committed = next;
            self.ask(Request::Commit { next }).await;
        }
    }

    /// Drops all that was derived from what may not be in the store, waits, and begins again at the committed offset.
    async fn recover(&mut self, failure: Failure, work: &mut Work, lane: &mut LaneEnd, revoked: &CancellationToken) {
        if matches!(failure, Failure::Blocked(_)) {
            self.let_emissions_end(work).await;
        }
        work.cache.clear();
        work.emissions = Emissions::default();
        work.aging.clear();
        work.halted = false;
        work.failures = work.failures.saturating_add(1);
        self.metrics.rewinds.inc();
        let pause = backoff_at(work.failures, (self.id, self.ports.clock.now()));
        warn!(partition = self.id, error = %failure, ?pause, "begin again at the committed offset");
        if let Some(reason) = block_reason(&failure) {
            self.status.block(self.id, reason, self.ports.clock.now());
        }
        tokio::select! {
            biased;
            () = revoked.cancelled() => return,
            () = sleep(pause) => {}
        }
        lane.generation += 1;
        self.ask(Request::Rewind { offset: self.committed, generation: lane.generation }).await;
    }

    /// Gives what is in flight a last chance to be committed, and gateways that missed something one to hear of it.
    async fn finish(mut self, mut work: Work) {
        self.let_emissions_end(&mut work).await;
        if work.fanout.owes() {
            work.fanout.relay(&[]).await;
        }
    }

    async fn let_emissions_end(&mut self, work: &mut Work) {
        let emptied = timeout(FINISH, async {
            while let Some(Ok(next)) = work.emissions.next().await {
                work.aging.push_back((next, Instant::now()));
            }
        });
        if emptied.await.is_err() {
            info!(partition = self.id, "leave a batch to the next reading");
        }
        self.commit_aged(work).await;
    }

    /// Asks the consumer, which never waits for this task, so that the two cannot block each other. When it is gone,
    /// so is the partition.
    async fn ask(&self, request: Request) {
        let control = Control { partition: self.id, assignment: self.assignment, request };
        if self.control.send(control).await.is_err() {
            info!(partition = self.id, "the consumer is gone");
        }
    }
}

fn dead_letter(entry: Entry, reason: String) -> Append {
    let mut headers = entry.headers;
    headers.push(("reason".to_owned(), reason.into()));
    headers.push(("position".to_owned(), entry.position.to_string().into()));
    Append { topic: Topic::MessagesDlq, partition: 0, key: entry.key, payload: entry.payload, headers }
}

fn label(settled: &batch::Settled) -> &'static str {
    use chat_core::event::Outcome;
    match settled.verdict.outcome {
        _ if settled.is_replay => "replayed",
        Outcome::Applied { .. } => "applied",
        Outcome::Duplicate { .. } => "duplicate",
        Outcome::Refused { .. } => "refused",
    }
}

fn block_reason(failure: &Failure) -> Option<BlockReason> {
    match failure {
        Failure::Blocked(reason) => Some(*reason),
        Failure::Store(StoreError::Corrupt(_)) => Some(BlockReason::Corrupt),
        Failure::Log(LogError::DataLost { .. }) => Some(BlockReason::DataLost),
        Failure::Store(_) | Failure::Log(_) => None,
    }
}
