//! The way from the consumer to one partition's task: bounded, with a generation so that what was read before a
//! rewind is never taken for what is read after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_core::message_log::Entry;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Deliveries that wait for a partition's task.
const LANE_DEPTH: usize = 4;

/// Records on their way to a partition's task.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) generation: u64,
    pub(super) entries: Vec<Entry>,
}

/// What a partition's task asks the consumer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// Everything below this offset is done.
    Commit { next: u64 },
    /// Read again from this offset; deliveries from now on are of this generation.
    Rewind { offset: u64, generation: u64 },
    /// The lane has room again.
    Drained,
}

/// A request with its sender. One whose partition was assigned anew since may still commit what it has done, and
/// nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) partition: u32,
    pub(super) assignment: u64,
    pub(super) request: Request,
}

/// The consumer's end of a lane.
#[derive(Debug)]
pub(super) struct Lane {
    feed: mpsc::Sender<Feed>,
    waiting: VecDeque<Feed>,
    pub(super) assignment: u64,
    pub(super) generation: u64,
    stalled: Arc<AtomicBool>,
    pub(super) revoked: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

/// The partition's end of a lane.
#[derive(Debug)]
pub(super) struct LaneEnd {
    pub(super) feed: mpsc::Receiver<Feed>,
    stalled: Arc<AtomicBool>,
    pub(super) generation: u64,
}

impl Lane {
    /// Makes a lane whose far end is given to the task that `spawn` starts.
    pub(super) fn new(
        assignment: u64,
        revoked: CancellationToken,
        spawn: impl FnOnce(LaneEnd) -> JoinHandle<()>,
    ) -> Self {
        let (feed, end) = mpsc::channel(LANE_DEPTH);
        let stalled = Arc::new(AtomicBool::new(false));
        let far = LaneEnd { feed: end, stalled: Arc::clone(&stalled), generation: 0 };
        Self { feed, waiting: VecDeque::new(), assignment, generation: 0, stalled, revoked, task: spawn(far) }
    }

    /// Hands records over; returns whether the partition must be paused, because its task does not keep up.
    pub(super) fn offer(&mut self, entries: Vec<Entry>) -> bool {
        self.waiting.push_back(Feed { generation: self.generation, entries });
        !self.push_on()
    }

    /// Hands over what waits; returns whether all of it went.
    pub(super) fn push_on(&mut self) -> bool {
        // Set before the attempt, so that a task that drains the lane right after it says so.
        self.stalled.store(true, Ordering::SeqCst);
        while let Some(feed) = self.waiting.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(feed)) = self.feed.try_send(feed) {
                self.waiting.push_front(feed);
                return false;
            }
        }
        self.stalled.store(false, Ordering::SeqCst);
        true
    }

    /// Forgets what waits and begins a generation.
    pub(super) fn rewind(&mut self, generation: u64) {
        self.waiting.clear();
        self.generation = generation;
    }
}

impl LaneEnd {
    /// Returns whether the consumer waits to hear that there is room.
    pub(super) fn take_stalled(&self) -> bool {
        self.stalled.swap(false, Ordering::SeqCst)
    }
}
