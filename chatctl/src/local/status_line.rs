//! One line about the stack as it is now, below everything else and updated in place; on a terminal only.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use chat_gateway::Status;
use chat_workers::{Role, RoleStatus, WorkersStatus};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::fleet::Fleet;

/// How often it is updated; what gateways count, they count by the second.
const UPDATE_EVERY: Duration = Duration::from_secs(1);

/// The line. Clones are the same line. As a writer it is standard error, for lines that go above it.
#[derive(Debug, Clone)]
pub(crate) struct StatusLine(ProgressBar);

impl StatusLine {
    /// Makes a line that is not shown yet.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{wide_msg}");
        Self(style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)))
    }

    /// Shows how the stack is, until it is dropped. Without a terminal on standard error nothing is shown.
    pub(crate) async fn run(self, fleet: Arc<Fleet>, workers: WorkersStatus) {
        self.0.set_draw_target(ProgressDrawTarget::stderr());
        let mut updates = tokio::time::interval(UPDATE_EVERY);
        loop {
            updates.tick().await;
            self.0.set_message(text(&fleet.statuses(), &workers.roles()));
        }
    }

    /// Takes the line away for good.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }

    /// Takes the line away while something is printed.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Write for StatusLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.aside(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Says how the stack is, in a line.
fn text(gateways: &[Status], roles: &[RoleStatus]) -> String {
    let ready = gateways.iter().filter(|gateway| gateway.ready).count();
    let connections: usize = gateways.iter().map(|gateway| gateway.connections).sum();
    let sends: u64 = gateways.iter().map(|gateway| gateway.sends_per_s).sum();
    let deliveries: u64 = gateways.iter().map(|gateway| gateway.deliveries_per_s).sum();
    let lag = |role: &RoleStatus| role.partitions.iter().map(|partition| partition.lag).sum::<u64>();
    // Rollups are gathered for some seconds before they are written: their lag says nothing.
    let prompt = roles.iter().filter(|role| role.role != Role::Analytics);
    let lag = match prompt.map(|role| (lag(role), role.role)).max_by_key(|(lag, _)| *lag) {
        Some((lag, role)) if lag > 0 => format!("lag {lag} ({role})"),
        _ => "no lag".to_owned(),
    };
    format!(
        "{ready}/{} gateways ready · {connections} connections · {sends} sends/s · {deliveries} deliveries/s · {lag}",
        gateways.len()
    )
}

#[cfg(test)]
mod tests {
    use chat_gateway::Formats;
    use chat_workers::status::PartitionStatus;

    use super::*;

    fn gateway(ready: bool) -> Status {
        Status {
            gateway: "gateway-0".into(),
            boot: "b".into(),
            version: "0.1.0".into(),
            formats: Formats { reads: vec![1], writes: 1 },
            ready,
            draining: !ready,
            connections: 7,
            capacity: 100,
            sends_per_s: 20,
            deliveries_per_s: 300,
            queue_bytes: 0,
            drain: None,
        }
    }

    fn role(role: Role, lags: [u64; 2]) -> RoleStatus {
        let partition = |(id, lag)| PartitionStatus { id, lag, blocked: None };
        RoleStatus { role, partitions: [0, 1].into_iter().zip(lags).map(partition).collect() }
    }

    #[test]
    fn gateways_are_added_up_and_of_the_roles_the_last_is_told() {
        let roles = [role(Role::Sequencer, [0, 1]), role(Role::Push, [2, 3]), role(Role::Analytics, [60, 60])];
        assert_eq!(
            text(&[gateway(true), gateway(false)], &roles),
            "1/2 gateways ready · 14 connections · 40 sends/s · 600 deliveries/s · lag 5 (push)"
        );
        assert!(text(&[], &[role(Role::Sequencer, [0, 0])]).ends_with("no lag"));
    }
}
