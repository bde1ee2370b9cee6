//! What all sessions of a run write down together: the ledger, the latencies, and how the generator itself did.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::ledger::{Event, Ledger};

/// Reasons kept apart at most; they come from the server.
const MAX_REASONS: usize = 64;

/// What a session tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// For the ledger.
    Ledger(Event),
    /// A message was written for the first time, so much later than it could have been.
    Sent { late: Duration },
    /// A message was acknowledged, so long after it was due.
    Acked(Duration),
    /// A message was delivered, so long after it was due.
    Delivered(Duration),
    /// A request was refused with this code.
    Refused(String),
    /// The first connection was greeted, so long after it was begun.
    Connected(Duration),
    /// A connection was lost, for this reason.
    Lost(String),
    /// The session was caught up again, so long after it was lost.
    Back(Duration),
    /// The server told the session to stop, for this reason.
    Stopped(String),
}

/// Durations, to three significant digits.
#[derive(Debug)]
pub(super) struct Durations(Histogram<u64>);

impl Durations {
    fn new() -> Self {
        let micros_an_hour = 3_600_000_000;
        Self(
            Histogram::new_with_bounds(1, micros_an_hour, 3)
                .unwrap_or_else(|_| unreachable!("the bounds are constant")),
        )
    }

    fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    /// Returns the percentiles, in milliseconds.
    pub(super) fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: self.0.max() as f64 / 1000.0 }
    }
}

/// Percentiles in milliseconds; all 0 where there was nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// 999 of 1 000 are at most this.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// The books of a run.
#[derive(Debug)]
pub(super) struct Book {
    /// Who got what.
    pub ledger: Ledger,
    /// Due to acknowledged.
    pub ack: Durations,
    /// Due to delivered.
    pub delivery: Durations,
    /// How late the generator wrote.
    pub late: Durations,
    /// Writes later than allowed.
    pub too_late: u64,
    /// First connections, from their beginning to `hello`.
    pub connect: Durations,
    /// Lost connection to caught up.
    pub back: Durations,
    /// Refused requests by code.
    pub refused: BTreeMap<String, u64>,
    /// Lost connections by reason.
    pub lost: BTreeMap<String, u64>,
    /// Sessions told to stop, by reason.
    pub stopped: BTreeMap<String, u64>,
    allowed_late: Duration,
}

impl Book {
    /// Opens the books.
    pub(super) fn new(ledger: Ledger, allowed_late: Duration) -> Self {
        Self {
            ledger,
            ack: Durations::new(),
            delivery: Durations::new(),
            late: Durations::new(),
            too_late: 0,
            connect: Durations::new(),
            back: Durations::new(),
            refused: BTreeMap::new(),
            lost: BTreeMap::new(),
            stopped: BTreeMap::new(),
            allowed_late,
        }
    }

    /// Writes down a note.
    pub(super) fn write(&mut self, note: Note) {
        match note {
            Note::Ledger(event) => self.ledger.record(event),
            Note::Sent { late } => {
                self.late.record(late);
                self.too_late += u64::from(late > self.allowed_late);
            }
            Note::Acked(took) => self.ack.record(took),
            Note::Delivered(took) => self.delivery.record(took),
            Note::Connected(took) => self.connect.record(took),
            Note::Back(took) => self.back.record(took),
            Note::Refused(code) => count(&mut self.refused, code),
            Note::Lost(reason) => count(&mut self.lost, reason),
            Note::Stopped(reason) => count(&mut self.stopped, reason),
        }
    }
}

fn count(reasons: &mut BTreeMap<String, u64>, reason: String) {
    if reasons.len() < MAX_REASONS || reasons.contains_key(&reason) {
        *reasons.entry(reason).or_default() += 1;
    } else {
        *reasons.entry("others".to_owned()).or_default() += 1;
    }
}

/// How the generator did, which says whether the figures are about the server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Generator {
    /// Messages due that were never written.
    pub unsent: u64,
    /// Part of the messages that were written later than allowed by the generator's own fault.
    pub late_fraction: f64,
    /// How late it wrote, 99 of 100, in milliseconds.
    pub late_p99_ms: f64,
    /// Processor time used, as a part of all the process may use.
    pub cpu: f64,
}

/// What the generator may be before its run is void.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    /// Largest part of late messages.
    pub late_fraction: f64,
    /// Largest part of the processor: beyond it, frames wait in the generator and not in the server.
    pub cpu: f64,
}

impl Generator {
    /// Returns why the run is void, `None` if it stands.
    pub(super) fn void(&self, tolerance: Tolerance) -> Option<String> {
        if self.unsent > 0 {
            return Some(format!("{} messages were never sent, as their sessions were down at the end", self.unsent));
        }
        if self.late_fraction > tolerance.late_fraction {
            let part = self.late_fraction * 100.0;
            return Some(format!("the generator was late for {part:.1} % of the messages, by its own fault"));
        }
        let busy = self.cpu > tolerance.cpu;
        busy.then(|| {
            format!("the generator used {:.0} % of its processors and may have been the bottleneck", self.cpu * 100.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_void_when_the_generator_was_the_bottleneck() {
        let tolerance = Tolerance { late_fraction: 0.01, cpu: 0.95 };
        let good = Generator { unsent: 0, late_fraction: 0.01, late_p99_ms: 3.0, cpu: 0.9 };
        assert_eq!(good.void(tolerance), None);
        for (bad, word) in [
            (Generator { late_fraction: 0.02, ..good }, "late for 2.0 %"),
            (Generator { cpu: 0.96, ..good }, "96 %"),
            (Generator { unsent: 3, ..good }, "3 messages"),
        ] {
            assert!(bad.void(tolerance).unwrap().contains(word), "{bad:?}");
        }
    }

    #[test]
    fn lateness_beyond_the_allowance_is_counted() {
        let mut book = Book::new(Ledger::new([], []), Duration::from_millis(5));
        for millis in [1, 5, 6, 7] {
            book.write(Note::Sent { late: Duration::from_millis(millis) });
        }
        assert_eq!((book.late.len(), book.too_late), (4, 2));
        book.write(Note::Acked(Duration::from_millis(10)));
        assert!((book.ack.percentiles().p99 - 10.0).abs() < 0.02);
    }

    #[test]
    fn reasons_are_bounded() {
        let mut book = Book::new(Ledger::new([], []), Duration::ZERO);
        for n in 0..200 {
            book.write(Note::Lost(n.to_string()));
            book.write(Note::Lost("0".into()));
        }
        assert_eq!(book.lost.values().sum::<u64>(), 400);
        assert_eq!(book.lost["0"], 201);
        assert!(book.lost.len() <= MAX_REASONS + 1);
    }
}
