//! Retention: drops what every group has read and is old enough, a little at a time.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::Sender;

use super::writer::{Command, TrimPlan};
use super::{Shared, keys, record};
use crate::clock::{Clock, Time};
use crate::message_log::{Position, Topic};

const HOUR_MS: u64 = 3600 * 1000;

/// How long records are kept after all groups have read them, by topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention([u64; Topic::ALL.len()]);

impl Retention {
    /// Least retention of `messages`: a week in which projections can be made again.
    pub const MIN_MESSAGES_MS: u64 = 7 * 24 * HOUR_MS;

    /// Returns the retention of a topic in milliseconds.
    pub fn millis(&self, topic: Topic) -> u64 {
        self.0[topic as usize]
    }

    /// Sets the retention of a topic; `messages` never falls below [`MIN_MESSAGES_MS`](Self::MIN_MESSAGES_MS).
    #[must_use]
    pub fn with(mut self, topic: Topic, millis: u64) -> Self {
        let least = if topic == Topic::Messages { Self::MIN_MESSAGES_MS } else { 0 };
        self.0[topic as usize] = millis.max(least);
        self
    }
}

impl Default for Retention {
    /// A week for `messages` and `events`, three days for `push.outcomes`, one for `receipts` and `push`, thirty for
    /// dead letters, which wait for people.
    fn default() -> Self {
        Self(Topic::ALL.map(|topic| match topic {
            Topic::Messages => Self::MIN_MESSAGES_MS,
            Topic::Events => 7 * 24 * HOUR_MS,
            Topic::PushOutcomes => 3 * 24 * HOUR_MS,
            Topic::Receipts | Topic::Push => 24 * HOUR_MS,
            Topic::MessagesDlq | Topic::PushDlq => 30 * 24 * HOUR_MS,
        }))
    }
}

/// Records of one partition that one step drops at most: the writer does it between two groups of appends.
const STEP: u64 = 4096;

/// Time between steps while there is nothing to drop, and while there is.
const IDLE: Duration = Duration::from_mins(1);
const BUSY: Duration = Duration::from_secs(1);

/// Drops old records in the background. Dropping it stops the thread.
#[derive(Debug)]
pub(super) struct Trimmer {
    planner: Planner,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone)]
struct Planner {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    retention: Retention,
}

impl Trimmer {
    pub(super) fn spawn(
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        retention: Retention,
        writer: Sender<Command>,
    ) -> std::io::Result<Self> {
        let planner = Planner { shared, clock, retention };
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new().name("log-trimmer".to_owned()).spawn({
            let planner = planner.clone();
            move || {
                let mut pause = IDLE;
                while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    let plans = planner.plan().unwrap_or_else(|error| {
                        tracing::warn!(%error, "retention cannot read the log");
                        Vec::new()
                    });
                    pause = if plans.is_empty() { IDLE } else { BUSY };
                    for plan in plans {
                        if writer.blocking_send(Command::Trim { plan, reply: None }).is_err() {
                            return;
                        }
                    }
                }
            }
        })?;
        Ok(Self { planner, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the next step, to be run where it may block.
    pub(super) fn plan(&self) -> impl FnOnce() -> fjall::Result<Vec<TrimPlan>> + Send + 'static {
        let planner = self.planner.clone();
        move || planner.plan()
    }
}

impl Drop for Trimmer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was already reported by its own thread.
            _ = thread.join();
        }
    }
}

impl Planner {
    /// Returns what one step drops: at most [`STEP`] records of each partition.
    fn plan(&self) -> fjall::Result<Vec<TrimPlan>> {
        let now = self.clock.now();
        let mut plans = Vec::new();
        for topic in Topic::ALL {
            for partition in 0..self.shared.count {
                let kept = self.shared.partition(topic, partition).kept();
                let floor = self.shared.groups.floor(topic, partition).unwrap_or(kept.end).min(kept.end);
                let last = floor.min(kept.start + STEP);
                let end = self.first_young(topic, partition, kept.start..last, now)?;
                if end > kept.start {
                    plans.push(TrimPlan { topic, partition, offsets: kept.start..end });
                }
            }
        }
        Ok(plans)
    }

    /// Returns the offset of the first record that is not old enough, the end of the range if all are.
    fn first_young(
        &self,
        topic: Topic,
        partition: u32,
        offsets: std::ops::Range<u64>,
        now: Time,
    ) -> fjall::Result<u64> {
        let mut end = offsets.start;
        if offsets.is_empty() {
            return Ok(end);
        }
        let keys = keys::record(topic, partition, offsets.start)..keys::record(topic, partition, offsets.end);
        for pair in self.shared.engine.log.range(keys) {
            let (key, value) = pair.into_inner()?;
            let offset = keys::offset_of(&key).unwrap_or(end);
            let position = Position { epoch: self.shared.engine.epoch, partition, offset };
            // An unreadable record stops retention here; the consumer that meets it reports it.
            let Some(entry) = record::decode(position, bytes::Bytes::copy_from_slice(&value)) else { break };
            if now.millis_since(entry.time) < self.retention.millis(topic) {
                break;
            }
            end = offset + 1;
        }
        Ok(end)
    }
}
