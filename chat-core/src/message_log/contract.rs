//! The contract of the message log, as checks that every engine passes.
//!
//! Each check takes an empty log with at least two partitions a topic. [`message_log_contract!`] makes one test of
//! each:
//!
//! ```text
//! async fn make() -> (Arc<dyn MessageLog>, impl Sized) { … } // the second value lives as long as the test
//! chat_core::message_log_contract!(make);
//! ```
#![expect(clippy::missing_panics_doc, reason = "a check panics where the contract is broken; that is its answer")]

use std::time::Duration;

use bytes::Bytes;

use super::{Append, Appended, Entry, MessageLog, Topic};

mod appends;
mod consumers;

pub use appends::*;
pub use consumers::*;

/// How long a check may take; what does not come within it never comes.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Makes one `#[tokio::test]` of each check; see [the module](crate::message_log::contract).
#[macro_export]
macro_rules! message_log_contract {
    ($make:path) => {
        $crate::message_log_contract! { @checks $make:
            records_come_back_as_they_were_written,
            records_of_one_producer_keep_their_order,
            many_records_at_once_are_answered_in_order,
            concurrent_producers_share_a_partition_without_gaps,
            a_partition_that_does_not_exist_is_refused,
            topics_and_partitions_are_separate,
            reads_are_bounded_by_limit_and_end,
            a_new_group_is_assigned_every_partition_from_zero,
            a_consumer_gets_each_record_in_order,
            a_consumer_goes_on_from_the_committed_offset,
            a_delivery_has_at_most_max_records,
            a_waiting_consumer_is_woken,
            cancelling_next_loses_no_record,
            groups_are_independent,
            seek_reads_again,
            a_paused_partition_is_silent,
            a_lower_commit_changes_nothing,
            lag_counts_what_is_not_committed,
        }
    };
    (@checks $make:path: $($check:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $check() {
            let (log, _guard) = $make().await;
            let check = $crate::message_log::contract::$check(log);
            tokio::time::timeout($crate::message_log::contract::DEADLINE, check).await.expect("the check takes too long");
        })+
    };
}

fn record(topic: Topic, partition: u32, payload: &str) -> Append {
    let (key, payload) = (Bytes::from_static(b"key"), Bytes::copy_from_slice(payload.as_bytes()));
    Append { topic, partition, key, payload, headers: Vec::new() }
}

async fn append(log: &dyn MessageLog, partition: u32, payload: &str) -> Appended {
    log.append(record(Topic::Messages, partition, payload)).await.expect("append")
}

async fn append_many(log: &dyn MessageLog, partition: u32, count: usize) {
    let appends = (0..count).map(|i| record(Topic::Messages, partition, &i.to_string())).collect();
    log.append_all(appends).await.expect("append_all");
}

fn payloads(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()).collect()
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| i.to_string()).collect()
}
