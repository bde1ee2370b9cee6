//! Watches the workers of a local stack, and tells of partitions that they do not go on with by themselves.

use std::collections::BTreeSet;
use std::time::Duration;

use chat_workers::status::BlockReason;
use chat_workers::{Role, RoleStatus, WorkersStatus};
use serde::Serialize;

use super::report::{Event, Report};

/// How often the workers are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A partition that a role does not go on with by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Block {
    /// Who stopped.
    pub(crate) role: Role,
    /// Where.
    pub(crate) partition: u32,
    /// Why.
    pub(crate) reason: BlockReason,
}

/// Tells of each block once, until it is dropped or nobody listens.
pub(crate) async fn run(status: WorkersStatus, report: Report) {
    let mut known = BTreeSet::new();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let now = blocks(&status.roles());
        for block in now.difference(&known) {
            if let Err(error) = report.tell(&Event::Blocked(block)) {
                return tracing::warn!(error = format!("{error:#}"), "nothing more is told of blocked partitions");
            }
        }
        known = now;
    }
}

fn blocks(roles: &[RoleStatus]) -> BTreeSet<Block> {
    let of_role = |status: &RoleStatus| {
        let role = status.role;
        let blocked = |partition: &chat_workers::status::PartitionStatus| {
            let reason = partition.blocked.as_ref()?.reason;
            Some(Block { role, partition: partition.id, reason })
        };
        status.partitions.iter().filter_map(blocked).collect::<Vec<_>>()
    };
    roles.iter().flat_map(of_role).collect()
}

#[cfg(test)]
mod tests {
    use chat_core::clock::Time;
    use chat_workers::status::{Blocked, PartitionStatus};

    use super::*;

    #[test]
    fn a_block_is_known_by_its_role_its_partition_and_its_reason() {
        let partition = |id, blocked| PartitionStatus { id, lag: 1, blocked };
        let corrupt = |millis| Some(Blocked { reason: BlockReason::Corrupt, since: Time::from_millis(millis) });
        let status = |since| {
            [RoleStatus { role: Role::Sequencer, partitions: vec![partition(0, None), partition(3, corrupt(since))] }]
        };
        let found = blocks(&status(1));
        let expected = Block { role: Role::Sequencer, partition: 3, reason: BlockReason::Corrupt };
        assert_eq!(found, BTreeSet::from([expected]));
        assert_eq!(blocks(&status(2)).difference(&found).count(), 0, "it is told once");
        assert_eq!(blocks(&[]).difference(&found).count(), 0, "its end is no news");
    }
}
