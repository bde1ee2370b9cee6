//! The arguments of `chatctl load`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use operator::crd::Period;

use super::connection::Transport;
use super::plan::{Groups, Schedule};
use super::wire::Scan;
use crate::token::{self, Claims, Signer};

/// Arguments of `chatctl load`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Exit codes: 0 every promise was kept; 1 something was lost, doubled, out of order or not what \
was sent, or the run could not take place; 2 the command line is wrong; 3 the run is void, as the generator was the \
bottleneck.

Ctrl-C ends the sending, or the holding, and what was sent until then is judged; a second one ends the wait too.

With --json the last line of standard output is one object: sent, acked, delivered, lost, duplicated, misordered,
contradicted, rejected, gaps, ack_ms and delivery_ms {p50, p99, p999, max} from when each message was due,
deliveries_per_s (message frames of all sessions in the window, the sender's own included), sessions, connects_per_s,
connect_ms, disconnects, back_ms, stopped, refused, drain_s, generator {unsent, late_fraction, late_p99_ms, cpu}, void.

Examples:
  chatctl load --users 100 --rate 500
  chatctl load --users 500 --groups 1x500 --rate 50 --duration 30s --json
  chatctl load --users 10000 --idle --duration 1m"
)]
pub struct LoadArgs {
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,
    /// Directory of the local stack, for the key that signs tokens.
    #[arg(long, value_name = "DIR", default_value = crate::local::DATA_DIR, conflicts_with = "key_file")]
    data_dir: PathBuf,
    /// HS256 key that signs tokens, for a server elsewhere.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Users, load-0001 and on, one session each; the open files limit has to allow them.
    #[arg(long, default_value_t = 100)]
    pub(super) users: usize,
    /// So many groups of so many of the users each, such as 5x20; without it the users talk in random pairs.
    #[arg(long, value_name = "GROUPSxMEMBERS")]
    pub(super) groups: Option<Groups>,
    /// Messages a second in all, evenly spread.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// How long messages are sent, or idle sessions held: a whole number and s, m, h or d.
    #[arg(long, default_value = "15s")]
    duration: Period,
    /// Bytes of content of each message.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Only opens the sessions and holds them.
    #[arg(long)]
    pub(super) idle: bool,
    /// What carries the frames of each session.
    #[arg(long, value_enum, default_value_t)]
    pub(super) transport: Transport,
    /// Cuts every session at once, this long after the first message was due; the report tells how long they took to catch up.
    #[arg(long, value_name = "PERIOD")]
    cut: Option<Period>,
    /// How much of each received message is read: all of it, or by its place in the text chat, seq and id only, for
    /// more than 200 000 deliveries a second.
    #[arg(long, value_enum, default_value_t)]
    pub(super) scan: Scan,
    /// Sessions opened a second; 0 = all at once.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1000)]
    connect_rate: u32,
    /// Longest wait, after the last message was due, for all members to have all messages.
    #[arg(long, default_value = "30s")]
    drain: Period,
    /// The run is void if more than --late-fraction of the messages are written more than this late, in milliseconds,
    /// by the generator's own fault.
    #[arg(long, value_name = "MS", default_value_t = 10)]
    late_ms: u64,
    /// See --late-ms.
    #[arg(long, value_name = "FRACTION", default_value_t = 0.01)]
    pub(super) late_fraction: f64,
    /// Chooses the pairs, the groups and the senders; the same seed makes the same choice.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Prints one JSON object as the last line.
    #[arg(long)]
    pub(super) json: bool,
}

impl LoadArgs {
    /// Returns how much is to be sent.
    pub(super) fn schedule(&self) -> anyhow::Result<Schedule> {
        ensure!(self.rate.is_finite() && self.rate > 0.0, "--rate must be more than 0");
        ensure!((1..=16 * 1024).contains(&self.size), "--size must be 1 to 16384, the longest content");
        let total = (self.rate * self.duration().as_secs_f64()).round();
        ensure!(total >= 1.0, "--rate times --duration makes no message: raise one of them");
        ensure!(total < f64::from(u32::MAX / 2), "--rate times --duration makes too many messages: lower one of them");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked above")]
        let total = total as u32;
        Ok(Schedule { total, rate: self.rate, size: self.size })
    }

    /// Returns how long the window is.
    pub(super) fn duration(&self) -> Duration {
        self.duration.duration()
    }

    /// Returns when in the window all sessions are cut.
    pub(super) fn cut(&self) -> Option<Duration> {
        self.cut.as_ref().map(Period::duration)
    }

    /// Returns the longest wait after the window.
    pub(super) fn drain(&self) -> Duration {
        self.drain.duration()
    }

    /// Returns how late a message may be written.
    pub(super) fn allowed_late(&self) -> Duration {
        Duration::from_millis(self.late_ms)
    }

    /// Returns when session `n` is opened, from the first one on.
    pub(super) fn opens_after(&self, n: u32) -> Duration {
        if self.connect_rate == 0 { Duration::ZERO } else { Duration::from_secs(1) * n / self.connect_rate }
    }

    /// Reads the key.
    pub(super) fn signer(&self) -> anyhow::Result<Signer> {
        match &self.key_file {
            Some(path) => Ok(Signer::new(token::read_key(path)?, Claims::default())),
            None => Signer::open(&self.data_dir).context("no key to sign tokens with; give --data-dir or --key-file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn parse(line: &str) -> Result<LoadArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once("load").chain(line.split_whitespace())).map(|cli| cli.load)
    }

    #[test]
    fn the_command_line_of_the_manual_is_read() {
        let line = "--url http://10.0.0.1:80 --key-file k --users 100 --groups 5x20 --rate 500 --duration 15s --json";
        let args = parse(line).unwrap();
        assert_eq!((args.users, args.groups, args.json), (100, Some(Groups { groups: 5, members: 20 }), true));
        let schedule = args.schedule().unwrap();
        assert_eq!((schedule.total, args.duration()), (7500, Duration::from_secs(15)));
        assert_eq!(args.opens_after(500), Duration::from_millis(500));
        assert_eq!(parse("--connect-rate 0").unwrap().opens_after(500), Duration::ZERO);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--groups 5", "--duration soon", "--data-dir a --key-file b", "--scan none", "--users -1"] {
            assert!(parse(line).is_err(), "{line}");
        }
        for line in ["--rate 0", "--rate NaN", "--rate 1e9 --duration 1h", "--size 0", "--size 20000", "--rate 0.01"] {
            assert!(parse(line).unwrap().schedule().is_err(), "{line}");
        }
    }
}
