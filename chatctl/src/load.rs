//! `chatctl load`: drives a chat server at a steady rate, and keeps a ledger of what it promised and what it did.
//!
//! The parts: `plan` decides who sends what and when; `pace` gives each message out when it is due; a `client`
//! per session, with its `machine`, speaks the protocol; the `book` takes down latencies and, in its `ledger`,
//! every promise; `report` prints what came of it.
//!
//! Latency counts from when a message was due, not from when it was written, so a server that stalls the generator
//! does not look better for it.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::id::MessageId;
use tokio::time::Instant;

mod args;
mod book;
mod client;
mod connection;
mod ledger;
mod machine;
mod pace;
mod plan;
mod report;
mod rest;
mod stage;
mod target;
mod wire;

pub use args::LoadArgs;
pub use connection::Transport;
pub use plan::Groups;
pub use wire::Scan;

use book::Book;
use plan::Plan;
use rest::Rest;
use target::Target;

/// Runs a load, prints what it found, and says by the exit code whether every promise was kept.
///
/// # Errors
/// When the run could not take place: arguments that do not fit, no key, a server that is not there.
pub async fn run(args: LoadArgs) -> anyhow::Result<ExitCode> {
    if args.idle { stage::idle(&args).await } else { stage::load(&args).await }
}

/// What all sessions know of the run.
#[derive(Debug)]
struct Run {
    plan: Plan,
    scan: Scan,
    transport: Transport,
    /// When in the window all sessions are cut, if they are.
    cut: Option<Duration>,
    /// Start of the window, once it is set: on the monotonic clock, and the wall clock's time then.
    start: OnceLock<(Instant, Time)>,
}

impl Run {
    /// Returns when a message is due; `None` before the window is set.
    fn due_at(&self, message: u32) -> Option<Instant> {
        self.start.get().map(|(start, _)| *start + self.plan.due(message))
    }

    /// Returns when all sessions are cut; `None` where they are not, and before the window is set.
    fn cut_at(&self) -> Option<Instant> {
        self.cut.and_then(|cut| self.start.get().map(|(start, _)| *start + cut))
    }

    /// Returns the id of a message; `None` before the window is set.
    fn message_id(&self, message: u32) -> Option<MessageId> {
        self.start.get().map(|(_, wall)| self.plan.message_id(message, *wall))
    }
}

/// Counts of all sessions that are read while they run.
#[derive(Debug, Default)]
struct Board {
    ready: AtomicUsize,
    frames: AtomicU64,
    /// Messages given out whose end is not known.
    open: AtomicU64,
    /// No more messages are to be given out.
    is_ended: AtomicBool,
}

impl Board {
    /// Counts a session that was synced for the first time.
    fn ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the sending before its time.
    fn end(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }

    /// Counts a message given out.
    fn begin(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts `message` frames, and messages that came to their end.
    fn count(&self, frames: u64, settled: u64) {
        if frames > 0 {
            self.frames.fetch_add(frames, Ordering::Relaxed);
        }
        if settled > 0 {
            self.open.fetch_sub(settled, Ordering::Relaxed);
        }
    }
}

/// What all sessions share.
#[derive(Debug)]
struct Shared {
    run: Arc<Run>,
    target: Target,
    rest: Rest,
    board: Arc<Board>,
    book: Mutex<Book>,
}

impl Shared {
    /// Opens the book; a session that panicked has written whole notes or none.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
