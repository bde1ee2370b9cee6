//! `chatctl stats`: what was used, by the hour.

use chat_core::clock::{Clock as _, SystemClock, Time};
use chat_core::user_store::HOUR_MS;
use clap::Args;
use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::api::{Api, ApiArgs};
use crate::output;

/// Arguments of `chatctl stats`.
#[derive(Debug, Args)]
#[command(after_help = "Hours in which nothing happened are left out. The numbers are some seconds behind.

Examples:
  chatctl stats
  chatctl stats --from 2026-11-01T00:00:00.000Z --to 2026-12-01T00:00:00.000Z --json")]
pub(crate) struct StatsArgs {
    /// The first hour. Absent: 24 hours ago.
    #[arg(long, value_name = "TIME")]
    from: Option<Time>,
    /// The end, which is not part of it. Absent: now, with the hour that has begun.
    #[arg(long, value_name = "TIME")]
    to: Option<Time>,
    /// Print one JSON object a line, one an hour.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Deserialize)]
struct Stats {
    items: Vec<Usage>,
}

/// What was used in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Usage {
    hour: Time,
    messages: u64,
    edits: u64,
    deletes: u64,
    chats: u64,
}

/// Prints the hours.
pub(crate) async fn run(args: StatsArgs) -> anyhow::Result<()> {
    let now = SystemClock.now().millis();
    let from = args.from.unwrap_or_else(|| Time::from_millis((now / HOUR_MS - 24) * HOUR_MS));
    let to = args.to.unwrap_or_else(|| Time::from_millis(now));
    let path = format!("/v1/stats?from={from}&to={to}");
    let stats: Stats = Api::new(&args.api)?.call(Method::GET, &path).await?;
    if args.json { stats.items.iter().try_for_each(output::json) } else { print(&stats.items) }
}

fn print(hours: &[Usage]) -> anyhow::Result<()> {
    output::table(["HOUR", "MESSAGES", "EDITS", "DELETES", "CHATS"], &rows(hours))
}

/// Makes the rows, a line of sums below.
fn rows(hours: &[Usage]) -> Vec<[String; 5]> {
    let row = |name: String, numbers: [u64; 4]| {
        let [messages, edits, deletes, chats] = numbers.map(|number| number.to_string());
        [name, messages, edits, deletes, chats]
    };
    let numbers = |usage: &Usage| [usage.messages, usage.edits, usage.deletes, usage.chats];
    let mut rows: Vec<_> = hours.iter().map(|usage| row(usage.hour.to_string(), numbers(usage))).collect();
    let sums = hours.iter().map(numbers).fold([0; 4], |sums, hour| std::array::from_fn(|at| sums[at] + hour[at]));
    rows.push(row("all".to_owned(), sums));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_sum() {
        let hour = |n: u64| Usage { hour: Time::from_millis(n * HOUR_MS), messages: n, edits: 1, deletes: 0, chats: 2 };
        let rows = rows(&[hour(3), hour(5)]);
        assert_eq!(rows[0][0], "1970-01-01T03:00:00.000Z");
        assert_eq!(rows[2], ["all", "8", "2", "0", "4"]);
        assert_eq!(super::rows(&[]), [["all", "0", "0", "0", "0"].map(str::to_owned)]);
    }
}
