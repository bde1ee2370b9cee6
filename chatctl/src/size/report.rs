//! A plan for people, and for scripts.

use serde::Serialize;

use super::costs::UnitCosts;
use super::load::Load;
use super::plan::{COPIES, Plan, Sized};
use crate::output::{self, STRONG};

/// Said where a number would be a guess.
const NOT_MEASURED: &str = "not measured";

/// What scripts get.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    /// What was asked for, assumptions included.
    pub(super) load: &'a Load,
    /// What it rests on.
    pub(super) costs: &'a UnitCosts,
    /// What it needs.
    pub(super) plan: &'a Plan,
    /// The manifest of that.
    pub(super) manifest: &'a str,
}

/// Prints a plan as a table and some sentences.
pub(super) fn for_people(load: &Load, costs: &UnitCosts, plan: &Plan) -> anyhow::Result<()> {
    let messages = load.messages_per_s();
    output::line(&format!(
        "{STRONG}{} users, {} online at the peak, {} messages a day{STRONG:#}",
        short(load.users),
        short(load.online),
        short(load.messages_a_day)
    ))?;
    output::line(&format!(
        "  busiest second: {} messages, {} deliveries, {} pushes ({}x the mean; {} of the other members are connected)",
        short(messages),
        short(messages * load.deliveries_a_message()),
        short(messages * load.pushes_a_message()),
        load.peak,
        percent(load.members_online)
    ))?;
    output::line(&format!(
        "  content alone: {}B a day in Cassandra, {COPIES} copies",
        short(load.messages_a_day * load.message_bytes * COPIES)
    ))?;
    output::line("")?;
    let rows: Vec<[String; 5]> = plan.parts.iter().map(row).collect();
    output::table(["PART", "LOAD", "ONE CARRIES", "NUMBER", "FULL"], &rows)?;
    output::line("")?;
    output::line(&format!(
        "{STRONG}full first: {}{STRONG:#}, at {:.1} times this load, of what was measured",
        plan.first, plan.grows
    ))?;
    output::line(&format!(
        "a gateway: {} connections, {} cores, {}B of memory for its sessions when full",
        short(plan.target_connections.into()),
        plan.gateway_cores,
        short(plan.gateway_bytes)
    ))?;
    output::line(&format!("unit costs of {}: {}; {}", costs.date, costs.machine, costs.source))?;
    for (name, cost) in
        [("a message", &costs.message_core_seconds), ("a partition", &costs.partition_messages_per_second)]
    {
        output::line(&format!("  {name}: {}", cost.how))?;
    }
    output::line("--manifest prints it as a ChatCluster")
}

fn row(part: &Sized) -> [String; 5] {
    let or = |text: Option<String>| text.unwrap_or_else(|| NOT_MEASURED.to_owned());
    [
        part.part.to_owned(),
        format!("{} {}", short(part.load), part.unit),
        or(part.one_carries.map(short)),
        or(part.count.map(|count| count.to_string())),
        part.full.map(percent).unwrap_or_default(),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Writes a number with three digits and a unit, as people say it.
fn short(number: f64) -> String {
    let units = [(1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    let (scaled, unit) = units
        .into_iter()
        .find(|(from, _)| number >= from * 0.999_5)
        .map_or((number, " "), |(from, unit)| (number / from, unit));
    let digits = match scaled {
        _ if scaled >= 99.95 || scaled.fract() == 0.0 => 0,
        _ if scaled >= 9.995 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{}", unit.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, expected) in [
            (0.0, "0"),
            (2.0, "2"),
            (31.4, "31.4"),
            (999.6, "1.00 k"),
            (115_740.7, "116 k"),
            (5e8, "500 M"),
            (1e10, "10 G"),
            (1.23e12, "1.23 T"),
        ] {
            assert_eq!(short(number), expected, "{number}");
        }
    }

    #[test]
    fn a_part_that_was_not_measured_says_so() {
        let part =
            Sized { part: "Redis shards", load: 5e4, unit: "operations/s", one_carries: None, count: None, full: None };
        assert_eq!(row(&part), ["Redis shards", "50 k operations/s", NOT_MEASURED, NOT_MEASURED, ""]);
    }
}
