//! The loop that every role behind the sequencer shares: subscribe, decode, hand over, back off and rewind, commit.
//!
//! ```text
//!  log ──entries──► decode ──batch──► Handler::take ──► Handler::done ──► age ──► commit
//!                     │ unreadable      │ failure
//!                     ▼                 ▼
//!               dead letters      drop state, back off, rewind to the committed offset
//! ```
//!
//! One task a role; it keeps asking the log for what comes next while a partition backs off, so that no engine takes
//! the role for dead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::{Clock, Time};
use chat_core::message_log::{Consumer, Delivery, Entry, LogError, MessageLog, Topic};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::backoff::backoff;
use crate::metrics::RoleMetrics;
use crate::status::{BlockReason, Partitions};

mod decode;
mod handler;
mod in_flight;

use decode::{Decoded, dead_letter, decode};
pub(crate) use handler::{Batch, Failure, Handler, Received};
pub(crate) use in_flight::InFlight;

/// How often is committed what is done, and lag looked at.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Pause after an error of the log.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a partition may take to finish when it is given up.
const FINISH: Duration = Duration::from_secs(5);

/// How a role consumes.
#[derive(Debug, Clone, Copy)]
pub struct ConsumeConfig {
    /// Records a batch at most.
    pub batch_records: usize,
    /// How long a record must have been done before it is committed. Zero only where a commit cannot be more durable
    /// than the rows before it (one journal for both).
    pub commit_delay: Duration,
}

impl Default for ConsumeConfig {
    fn default() -> Self {
        Self { batch_records: 512, commit_delay: Duration::from_secs(15) }
    }
}

/// What a role reads from, and where it shows how it is.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) topic: Topic,
    pub(crate) group: &'static str,
    /// Where records go that nobody can read; absent where they are only counted.
    pub(crate) dead_letters: Option<Topic>,
    pub(crate) config: ConsumeConfig,
    /// The time, for the status only.
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) status: Partitions,
    pub(crate) metrics: RoleMetrics,
}

/// Runs a role until `shutdown`, then lets it finish what is in flight (at most 5 s) and commits.
///
/// # Errors
/// Only when the log refuses the subscription for good.
pub(crate) async fn run<H: Handler>(handler: H, source: Source, shutdown: CancellationToken) -> Result<(), LogError> {
    let consumer = loop {
        match source.log.subscribe(source.topic, source.group).await {
            Ok(consumer) => break consumer,
            Err(error) if error.is_retryable() => {
                warn!(%error, group = source.group, "subscribe to the log");
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = shutdown.cancelled() => return Ok(()),
                }
            }
            Err(error) => return Err(error),
        }
    };
    Consume { handler, source, consumer, lanes: BTreeMap::new() }.run(shutdown).await;
    Ok(())
}

/// Where a partition's records begin again.
#[derive(Debug, Clone, Copy)]
enum Resume {
    /// At the committed offset, with nothing in memory.
    Afresh,
    /// At this offset: what came before it is in hand.
    At(u64),
}

/// One partition.
#[derive(Debug)]
struct Lane {
    committed: u64,
    /// Done, but not yet old enough to be committed.
    aging: VecDeque<(u64, Instant)>,
    failures: u32,
    /// Set while nothing is taken.
    resume: Option<(Instant, Resume)>,
    is_paused: bool,
}

struct Consume<H> {
    handler: H,
    source: Source,
    consumer: Box<dyn Consumer>,
    lanes: BTreeMap<u32, Lane>,
}

impl<H: Handler> Consume<H> {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut tick = interval(COMMIT_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let resume_at = self.lanes.values().filter_map(|lane| lane.resume).map(|(at, _)| at).min();
            if let Err(error) = self.settle_pauses().await {
                // Never a reason not to listen: the partition may be another's by now. What is delivered in spite of
                // it is read again.
                warn!(%error, group = self.source.group, "pause or go on");
            }
            let outcome = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = tick.tick() => {
                    let outcome = self.commit_and_observe().await;
                    // From now on, however long it took: in between the role must hear of the log, which may wait for
                    // this very role before it answers a commit.
                    tick.reset();
                    outcome
                }
                () = sleep_until(resume_at.unwrap_or_else(Instant::now)), if resume_at.is_some() => self.resume().await,
                () = self.handler.due() => {
                    self.handler.work().await;
                    Ok(())
                }
                delivery = self.consumer.next(self.source.config.batch_records) => match delivery {
                    Ok(delivery) => self.take(delivery).await,
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = outcome {
                if let LogError::DataLost { partition, .. } = error {
                    self.source.status.block(partition, BlockReason::DataLost, self.source.clock.now());
                }
                warn!(%error, group = self.source.group, "consume the log");
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = shutdown.cancelled() => break,
                }
            }
        }
        for partition in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.give_up(partition).await;
        }
    }

    /// Stops the delivery of partitions that take nothing now, and goes on with the others.
    async fn settle_pauses(&mut self) -> Result<(), LogError> {
        let is_full = !self.handler.has_room();
        for (partition, lane) in &mut self.lanes {
            let pause = is_full || lane.resume.is_some();
            if pause != lane.is_paused {
                self.consumer.pause(*partition, pause).await?;
                lane.is_paused = pause;
            }
        }
        Ok(())
    }

    async fn take(&mut self, delivery: Delivery) -> Result<(), LogError> {
        let group = self.source.group;
        match delivery {
            Delivery::Assigned { partition, epoch, committed } => {
                info!(group, partition, epoch, committed, "own a partition");
                self.source.status.update(partition, |_| {});
                self.handler.end(partition);
                let resume = Some((Instant::now(), Resume::Afresh));
                let lane = Lane { committed, aging: VecDeque::new(), failures: 0, resume, is_paused: false };
                self.lanes.insert(partition, lane);
            }
            Delivery::Revoked { partition } => {
                info!(group, partition, "give a partition up");
                self.give_up(partition).await;
                self.source.status.remove(partition);
            }
            Delivery::Records { partition, entries } => self.take_records(partition, entries).await,
        }
        Ok(())
    }

    async fn take_records(&mut self, partition: u32, entries: Vec<Entry>) {
        // What was read before a pause took hold is read again.
        if self.lanes.get(&partition).is_none_or(|lane| lane.resume.is_some()) {
            return;
        }
        let begun = Instant::now();
        let Decoded { batch, unreadable, newer } = decode(entries);
        let next = batch.next;
        self.source.metrics.records.inc_by(batch.records.len() as u64);
        let taken = match self.put_aside(unreadable).await {
            Ok(()) => self.handler.take(partition, batch).await,
            Err(error) => Err(error.into()),
        };
        self.source.metrics.take_seconds.observe(begun.elapsed().as_secs_f64());
        match (taken, newer) {
            (Err(failure), _) => self.back_off(partition, &failure, Resume::Afresh),
            (Ok(()), Some(found)) => {
                self.back_off(partition, &Failure::UnknownFormat { found }, Resume::At(next));
            }
            (Ok(()), None) => {
                if let Some(lane) = self.lanes.get_mut(&partition).filter(|lane| lane.failures > 0) {
                    lane.failures = 0;
                    self.source.status.unblock(partition);
                }
            }
        }
    }

    async fn put_aside(&mut self, unreadable: Vec<(Entry, String)>) -> Result<(), LogError> {
        let mut dead = Vec::new();
        for (entry, reason) in unreadable {
            error!(group = self.source.group, position = %entry.position, reason, "meet an unreadable record");
            self.source.metrics.unreadable.inc();
            dead.extend(self.source.dead_letters.map(|topic| dead_letter(topic, entry, reason)));
        }
        if !dead.is_empty() {
            self.source.log.append_all(dead).await?;
        }
        Ok(())
    }

    fn back_off(&mut self, partition: u32, failure: &Failure, resume: Resume) {
        let Some(lane) = self.lanes.get_mut(&partition) else { return };
        if matches!(resume, Resume::Afresh) {
            self.handler.end(partition);
            lane.aging.clear();
        }
        lane.failures = lane.failures.saturating_add(1);
        let pause = backoff(lane.failures);
        lane.resume = Some((Instant::now() + pause, resume));
        self.source.metrics.failures.inc();
        warn!(group = self.source.group, partition, error = %failure, ?pause, ?resume, "back off");
        if let Some(reason) = failure.block_reason() {
            self.source.status.block(partition, reason, self.source.clock.now());
        }
    }

    /// Begins, or goes on with, each partition whose time has come.
    async fn resume(&mut self) -> Result<(), LogError> {
        let now = Instant::now();
        let due: Vec<(u32, Resume, u64)> = self
            .lanes
            .iter()
            .filter_map(|(partition, lane)| lane.resume.map(|(at, resume)| (partition, lane.committed, at, resume)))
            .filter(|(.., at, _)| *at <= now)
            .map(|(partition, committed, _, resume)| (*partition, resume, committed))
            .collect();
        for (partition, resume, committed) in due {
            let begun = match resume {
                Resume::Afresh => self.handler.begin(partition, committed).await,
                Resume::At(_) => Ok(()),
            };
            if let Err(failure) = begun {
                self.back_off(partition, &failure, resume);
                continue;
            }
            let offset = if let Resume::At(offset) = resume { offset } else { committed };
            self.consumer.seek(partition, offset).await?;
            if let Some(lane) = self.lanes.get_mut(&partition) {
                lane.resume = None;
            }
        }
        Ok(())
    }

    async fn commit_and_observe(&mut self) -> Result<(), LogError> {
        for partition in self.lanes.keys().copied().collect::<Vec<_>>() {
            self.note_done(partition);
            self.commit_aged(partition).await?;
        }
        let owned: Vec<u32> = self.lanes.keys().copied().collect();
        for (partition, lag) in owned.iter().zip(self.consumer.lag(&owned).await?) {
            self.source.status.update(*partition, |status| status.lag = lag);
            self.source.metrics.set_lag(*partition, lag);
        }
        Ok(())
    }

    /// Asks the role how far it is; what is done begins to age.
    fn note_done(&mut self, partition: u32) {
        let Some(lane) = self.lanes.get_mut(&partition) else { return };
        if matches!(lane.resume, Some((_, Resume::Afresh))) {
            return;
        }
        let done = self.handler.done(partition);
        if done > lane.aging.back().map_or(lane.committed, |(offset, _)| *offset) {
            lane.aging.push_back((done, Instant::now()));
        }
    }

    async fn commit_aged(&mut self, partition: u32) -> Result<(), LogError> {
        let Some(lane) = self.lanes.get_mut(&partition) else { return Ok(()) };
        let aged = lane.aging.iter().take_while(|(_, since)| since.elapsed() >= self.source.config.commit_delay);
        let count = aged.count();
        if let Some((next, _)) = lane.aging.drain(..count).next_back() {
            self.consumer.commit(partition, next).await?;
            lane.committed = next;
        }
        Ok(())
    }

    async fn give_up(&mut self, partition: u32) {
        if timeout(FINISH, self.handler.finish(partition)).await.is_ok() {
            self.note_done(partition);
        } else {
            info!(group = self.source.group, partition, "leave what is in flight to the next owner");
        }
        if let Err(error) = self.commit_aged(partition).await {
            warn!(%error, group = self.source.group, partition, "commit on the way out");
        }
        self.handler.end(partition);
        self.lanes.remove(&partition);
    }
}

/// Returns the time that a write timestamp was made from: milliseconds of the log, times 1 000.
pub(crate) fn time_of(ts: u64) -> Time {
    Time::from_millis(ts / 1_000)
}

#[cfg(test)]
mod tests;
