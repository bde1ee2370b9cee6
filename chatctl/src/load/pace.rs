//! The open loop: gives every message to its sender when it is due, whatever became of those before.
//!
//! It runs on a thread of its own, as the runtime's timer rounds up to the millisecond, and a rate of thousands a second
//! would come in lumps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Board, Run};

/// Between two looks at whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// Calls `send` for each message no earlier than it is due; a late start of one does not delay the next. Returns how
/// many there were when `is_ended` said so, or all were sent.
fn pace(
    total: u32,
    due: impl Fn(u32) -> Instant,
    mut now: impl FnMut() -> Instant,
    mut sleep: impl FnMut(Duration),
    is_ended: impl Fn() -> bool,
    mut send: impl FnMut(u32),
) -> u32 {
    for message in 0..total {
        let due = due(message);
        loop {
            if is_ended() {
                return message;
            }
            let left = due.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            sleep(left.min(LOOK));
        }
        send(message);
    }
    total
}

/// Starts the thread; it ends after the last message is due, and returns how many were given out.
pub(super) fn start(
    run: Arc<Run>,
    board: Arc<Board>,
    start: Instant,
    senders: Vec<mpsc::Sender<u32>>,
) -> std::io::Result<std::thread::JoinHandle<u32>> {
    std::thread::Builder::new().name("pace".to_owned()).spawn(move || {
        let send = |message| {
            let sender = &senders[run.plan.assignment(message).sender as usize];
            // Counted first: the session may be done with it before this thread goes on.
            board.begin();
            if sender.try_send(message).is_err() {
                board.count(0, 1);
            }
        };
        let due = |message| start + run.plan.due(message);
        pace(run.plan.total, due, Instant::now, std::thread::sleep, || board.is_ended.load(Ordering::Relaxed), send)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Runs ten messages, one a millisecond, on a clock whose sleep takes `extra` more at the fourth message.
    fn sent_at(extra: Duration) -> Vec<Duration> {
        let start = Instant::now();
        let clock = Cell::new(start);
        let mut sent = Vec::new();
        pace(
            10,
            |message| start + Duration::from_millis(u64::from(message)),
            || clock.get(),
            |left| {
                let before = clock.get() - start;
                let extra = if before == Duration::from_millis(3) { extra } else { Duration::ZERO };
                clock.set(clock.get() + left + extra);
            },
            || false,
            |_| sent.push(clock.get() - start),
        );
        sent
    }

    #[test]
    fn nothing_leaves_once_it_is_to_end() {
        let (start, sent) = (Instant::now(), Cell::new(0));
        let given = pace(10, |_| start, || start, |_| {}, || sent.get() == 4, |_| sent.set(sent.get() + 1));
        assert_eq!((given, sent.get()), (4, 4));
    }

    #[test]
    fn each_message_leaves_when_it_is_due() {
        assert_eq!(sent_at(Duration::ZERO), (0..10).map(Duration::from_millis).collect::<Vec<_>>());
    }

    #[test]
    fn what_became_late_leaves_at_once_and_the_rest_on_time() {
        let late = sent_at(Duration::from_millis(3));
        let expected = [0, 1, 2, 3, 7, 7, 7, 7, 8, 9];
        assert_eq!(late, expected.map(Duration::from_millis));
    }
}
