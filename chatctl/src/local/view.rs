//! The live view: a snapshot as lines for a terminal. Pure; what draws them is [`super::status_line`].

use clap::builder::styling::{AnsiColor, Style};

use super::snapshot::{DrainSnapshot, GatewaySnapshot, Snapshot};
use crate::control::GatewayState;

/// Gateways shown each on its line; the rest are counted.
const MAX_ROWS: usize = 12;

/// Lag from which a role is told to be behind. The indexer gathers up to a second's records, which is none.
const BEHIND_FROM: u64 = 1_000;

/// Characters of a bar.
const BAR: usize = 20;

const PLAIN: Style = Style::new();
const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const MOVING: Style = AnsiColor::Yellow.on_default();
const BEHIND: Style = AnsiColor::Red.on_default();

/// A line, as pieces of one style each.
type Line = Vec<(Style, String)>;

/// Returns the lines of a snapshot, none wider than `width` characters, coloured or not.
pub(crate) fn lines(snapshot: &Snapshot, width: usize, colour: bool) -> Vec<String> {
    let mut lines = vec![head(snapshot)];
    lines.extend(snapshot.gateways.iter().take(MAX_ROWS).map(gateway));
    let hidden = snapshot.gateways.len().saturating_sub(MAX_ROWS);
    if hidden > 0 {
        lines.push(vec![(FAINT, format!("  and {hidden} more"))]);
    }
    lines.push(workers(snapshot));
    if let Some(scaling) = &snapshot.scaling {
        let style = if scaling.settled { FAINT } else { MOVING };
        let text = format!("{} wanted: {}", plural(scaling.desired, "gateway"), scaling.reason);
        lines.push(vec![(FAINT, format!("  {:<12}", "scaling")), (style, text)]);
    }
    lines.into_iter().map(|line| render(line, width, colour)).collect()
}

fn head(snapshot: &Snapshot) -> Line {
    let text = format!(
        "{} of {} ready · {} · {} sends/s · {} deliveries/s",
        snapshot.ready(),
        plural(snapshot.gateways.len(), "gateway"),
        plural(snapshot.connections, "connection"),
        grouped(snapshot.sends_per_s),
        grouped(snapshot.deliveries_per_s)
    );
    vec![(STRONG, text)]
}

fn gateway(gateway: &GatewaySnapshot) -> Line {
    let style = match gateway.state {
        GatewayState::Ready => GOOD,
        GatewayState::Starting | GatewayState::Draining => MOVING,
    };
    // A drain shows how much of it is still to do, anybody else how much of the room is taken.
    let of = gateway.drain.as_ref().map_or(gateway.capacity, |drain| drain.initial);
    let (full, empty) = bar(gateway.connections, of);
    let numbers = format!(" {:>7}/{of:<7}", gateway.connections);
    let tail = match &gateway.drain {
        Some(DrainSnapshot { reconnects_per_s, left_s, .. }) => {
            format!("left, {reconnects_per_s} a second, {left_s} s to go")
        }
        None => format!(
            "{:>7} sends/s {:>9} deliveries/s{}",
            grouped(gateway.sends_per_s),
            grouped(gateway.deliveries_per_s),
            queued(gateway.queue_bytes)
        ),
    };
    vec![
        (PLAIN, format!("  {:<12}", gateway.name)),
        (style, format!("{:<10}", gateway.state.as_str())),
        (style, full),
        (FAINT, empty),
        (PLAIN, numbers),
        (PLAIN, tail),
    ]
}

fn workers(snapshot: &Snapshot) -> Line {
    let mut line = vec![(FAINT, format!("  {:<12}{:<10}", "workers", "lag"))];
    for (n, lag) in snapshot.lag.iter().enumerate() {
        let style = match lag.records {
            0 => FAINT,
            few if few < BEHIND_FROM => PLAIN,
            _ => BEHIND,
        };
        let gap = if n == 0 { "" } else { " · " };
        line.push((FAINT, gap.to_owned()));
        line.push((style, format!("{} {}", lag.role, grouped(lag.records))));
    }
    line
}

fn bar(part: usize, whole: usize) -> (String, String) {
    let full = (part.min(whole) * BAR).checked_div(whole).unwrap_or(0);
    // Somebody is told from nobody.
    let full = if part > 0 { full.max(1) } else { full };
    ("█".repeat(full), "░".repeat(BAR - full))
}

fn queued(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!(" {} KiB queued", grouped(bytes.div_ceil(1024))) }
}

fn plural(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Returns a number with a space between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn render(line: Line, width: usize, colour: bool) -> String {
    let mut left = width;
    let cut = |(style, piece): (Style, String)| {
        let piece: String = piece.chars().take(left).collect();
        left -= piece.chars().count();
        if colour && !piece.is_empty() { format!("{style}{piece}{style:#}") } else { piece }
    };
    line.into_iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::snapshot::tests::two_gateways;

    #[test]
    fn a_stack_is_seen_at_a_glance() {
        let expected = "\
1 of 2 gateways ready · 140 connections · 40 sends/s · 600 deliveries/s
  gateway-0   ready     ██████████████░░░░░░      70/100         20 sends/s       300 deliveries/s 2 KiB queued
  gateway-1   draining  ██████████░░░░░░░░░░      70/140    left, 50 a second, 12 s to go
  workers     lag       sequencer 1 · push 5
  scaling     1 gateway wanted: waits for a drain";
        assert_eq!(lines(&two_gateways(), 200, false).join("\n"), expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for line in lines(&two_gateways(), 40, false) {
            assert!(line.chars().count() <= 40, "{line}");
        }
    }

    #[test]
    fn without_colour_no_escape_is_written() {
        assert!(lines(&two_gateways(), 80, true).iter().any(|line| line.contains('\u{1b}')));
        assert!(!lines(&two_gateways(), 80, false).iter().any(|line| line.contains('\u{1b}')));
    }

    #[test]
    fn many_gateways_do_not_fill_the_screen() {
        let mut snapshot = two_gateways();
        snapshot.gateways = vec![snapshot.gateways[0].clone(); 50];
        let lines = lines(&snapshot, 80, false);
        assert_eq!((lines.len(), lines[13].as_str()), (16, "  and 38 more"));
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
    }
}
