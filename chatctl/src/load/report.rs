//! What a run found, for people and for programs.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;

use super::book::{Book, Generator, Percentiles};
use super::ledger::Verdict;
use crate::output;

/// Exit code of a run that broke a promise.
const BROKEN: u8 = 1;

/// Exit code of a run that says nothing, as the generator was the bottleneck.
const VOID: u8 = 3;

/// The figures of a run; the keys of its JSON are public.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Messages written at least once.
    pub sent: u64,
    pub acked: u64,
    pub delivered: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub misordered: u64,
    pub contradicted: u64,
    pub rejected: u64,
    pub gaps: u64,
    /// From when a message was due.
    pub ack_ms: Percentiles,
    /// From when a message was due, at each member.
    pub delivery_ms: Percentiles,
    /// `message` frames of all sessions, the sender's own included, in the window.
    pub deliveries_per_s: f64,
    /// Sessions, and how fast they opened.
    pub sessions: usize,
    pub connects_per_s: f64,
    pub connect_ms: Percentiles,
    /// Lost connections by reason, and the time until such a session was caught up.
    pub disconnects: BTreeMap<String, u64>,
    pub back_ms: Percentiles,
    /// Sessions that the server told to stop, by reason.
    pub stopped: BTreeMap<String, u64>,
    /// Refused requests by code.
    pub refused: BTreeMap<String, u64>,
    /// From the end of the window until all members had all messages.
    pub drain_s: f64,
    pub generator: Generator,
    pub void: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void_reason: Option<String>,
    #[serde(skip)]
    pub verdict: Verdict,
}

/// What the books do not know.
#[derive(Debug)]
pub(super) struct Measured {
    pub sessions: usize,
    pub connects_per_s: f64,
    pub deliveries_per_s: f64,
    pub drain_s: f64,
    pub generator: Generator,
    pub void_reason: Option<String>,
}

impl Report {
    /// Closes the books.
    pub(super) fn new(book: Book, measured: Measured) -> Self {
        let verdict = book.ledger.close();
        Self {
            sent: book.late.len(),
            acked: verdict.acked,
            delivered: verdict.delivered,
            lost: verdict.lost,
            duplicated: verdict.duplicated,
            misordered: verdict.misordered,
            contradicted: verdict.contradicted,
            rejected: verdict.rejected,
            gaps: verdict.gaps,
            ack_ms: book.ack.percentiles(),
            delivery_ms: book.delivery.percentiles(),
            deliveries_per_s: measured.deliveries_per_s,
            sessions: measured.sessions,
            connects_per_s: measured.connects_per_s,
            connect_ms: book.connect.percentiles(),
            disconnects: book.lost,
            back_ms: book.back.percentiles(),
            stopped: book.stopped,
            refused: book.refused,
            drain_s: measured.drain_s,
            generator: measured.generator,
            void: measured.void_reason.is_some(),
            void_reason: measured.void_reason,
            verdict,
        }
    }

    /// Returns the exit code: a broken promise counts whether or not the run is void.
    pub(super) fn exit_code(&self) -> ExitCode {
        match (self.verdict.is_clean(), self.void) {
            (false, _) => ExitCode::from(BROKEN),
            (true, true) => ExitCode::from(VOID),
            (true, false) => ExitCode::SUCCESS,
        }
    }

    /// Prints the figures to standard output, and what is wrong to standard error.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        for found in &self.verdict.found {
            output::warning(&found.to_string());
        }
        if let Some(reason) = &self.void_reason {
            output::warning(&format!("the run is void: {reason}"));
        }
        if json {
            return output::json(self);
        }
        let counts = [
            ("sent", self.sent),
            ("acked", self.acked),
            ("delivered", self.delivered),
            ("lost", self.lost),
            ("duplicated", self.duplicated),
            ("misordered", self.misordered),
            ("contradicted", self.contradicted),
            ("rejected", self.rejected),
            ("gaps", self.gaps),
        ];
        output::table(["messages", "count"], &counts.map(|(name, count)| [name.to_owned(), count.to_string()]))?;
        output::line("")?;
        let times = [
            ("ack", self.ack_ms),
            ("delivery", self.delivery_ms),
            ("connect", self.connect_ms),
            ("back after a cut", self.back_ms),
        ];
        let cell = |ms: f64| format!("{ms:.2}");
        let row = |(name, it): (&str, Percentiles)| {
            [name.to_owned(), cell(it.p50), cell(it.p99), cell(it.p999), cell(it.max)]
        };
        output::table(["milliseconds", "p50", "p99", "p99.9", "max"], &times.map(row))?;
        output::line("")?;
        let Generator { late_fraction, late_p99_ms, cpu, .. } = self.generator;
        output::line(&format!(
            "{:.0} deliveries/s; {} sessions opened at {:.0}/s; drained in {:.2} s",
            self.deliveries_per_s, self.sessions, self.connects_per_s, self.drain_s
        ))?;
        output::line(&format!(
            "generator: {:.2} % of sends late, late p99 {late_p99_ms:.2} ms, {:.0} % of its processors",
            late_fraction * 100.0,
            cpu * 100.0
        ))?;
        let reasons = [("disconnects", &self.disconnects), ("stopped", &self.stopped), ("refused", &self.refused)];
        for (name, reasons) in reasons {
            for (reason, count) in reasons {
                output::line(&format!("{name}: {reason}: {count}"))?;
            }
        }
        Ok(())
    }
}

/// The figures of a run of idle sessions; the keys of its JSON are public.
#[derive(Debug, Serialize)]
pub(super) struct IdleReport {
    pub sessions: usize,
    pub connects_per_s: f64,
    pub connect_ms: Percentiles,
    /// Lost connections by reason; none is right.
    pub disconnects: BTreeMap<String, u64>,
    pub stopped: BTreeMap<String, u64>,
}

impl IdleReport {
    /// Returns the exit code: 0 if every session was held to the end.
    pub(super) fn exit_code(&self) -> ExitCode {
        let held = self.disconnects.is_empty() && self.stopped.is_empty();
        if held { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) }
    }

    /// Prints the figures.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return output::json(self);
        }
        let Percentiles { p50, p99, max, .. } = self.connect_ms;
        output::line(&format!(
            "{} sessions opened at {:.0}/s; to open one took {p50:.2} ms p50, {p99:.2} ms p99, {max:.2} ms at most",
            self.sessions, self.connects_per_s
        ))?;
        for (reason, count) in self.disconnects.iter().chain(&self.stopped) {
            output::line(&format!("lost: {reason}: {count}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::ledger::{Event, Ledger};

    fn report(ledger: Ledger, void_reason: Option<String>) -> Report {
        let generator = Generator { unsent: 0, late_fraction: 0.0, late_p99_ms: 0.0, cpu: 0.1 };
        let measured =
            Measured { sessions: 2, connects_per_s: 1.0, deliveries_per_s: 3.0, drain_s: 0.0, generator, void_reason };
        Report::new(Book::new(ledger, Duration::ZERO), measured)
    }

    #[test]
    fn the_exit_code_tells_clean_broken_and_void_apart() {
        let clean = || Ledger::new([(0, 2)], [0]);
        let lossy = || {
            let mut ledger = clean();
            ledger.record(Event::Acked { message: 0 });
            ledger
        };
        let code = |ledger, void: Option<&str>| format!("{:?}", report(ledger, void.map(str::to_owned)).exit_code());
        let expected = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(code(clean(), None), expected(0));
        assert_eq!(code(lossy(), None), expected(1));
        assert_eq!(code(clean(), Some("slow")), expected(3));
        assert_eq!(code(lossy(), Some("slow")), expected(1));
    }

    #[test]
    fn the_public_keys_are_there() {
        let json = serde_json::to_value(report(Ledger::new([(0, 2)], [0]), None)).unwrap();
        for key in ["acked", "delivered", "lost", "duplicated", "misordered", "deliveries_per_s", "void"] {
            assert!(json.get(key).is_some(), "{key}");
        }
        for key in ["ack_ms", "delivery_ms"] {
            for quantile in ["p50", "p99", "p999"] {
                assert!(json[key][quantile].is_number(), "{key}.{quantile}");
            }
        }
        assert_eq!(json["void"], serde_json::json!(false));
    }
}
