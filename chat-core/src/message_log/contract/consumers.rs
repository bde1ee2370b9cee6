//! Checks of the read side.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{append, append_many, numbers, payloads};
use crate::message_log::{Consumer, Delivery, Entry, MessageLog, Topic};

async fn subscribe(log: &dyn MessageLog, group: &str) -> Box<dyn Consumer> {
    log.subscribe(Topic::Messages, group).await.expect("subscribe")
}

/// Takes records of one partition until there are `count`; assignments may come in between.
async fn take(consumer: &mut dyn Consumer, partition: u32, count: usize) -> Vec<Entry> {
    let mut taken = Vec::new();
    while taken.len() < count {
        if let Delivery::Records { partition: of, entries } = consumer.next(1000).await.expect("next") {
            assert_eq!(of, partition, "records of a partition that has none");
            taken.extend(entries);
        }
    }
    taken
}

/// Lets a consumer see its assignment, so that what follows is records only.
async fn assigned(consumer: &mut dyn Consumer, log: &dyn MessageLog) -> Vec<(u32, u32, u64)> {
    let mut seen = Vec::new();
    while seen.len() < log.partitions(Topic::Messages) as usize {
        match consumer.next(1).await.expect("next") {
            Delivery::Assigned { partition, epoch, committed } => seen.push((partition, epoch, committed)),
            other => panic!("{other:?} before the assignment was told"),
        }
    }
    seen
}

/// The first assignment is told before any record, once a partition, from 0.
pub async fn a_new_group_is_assigned_every_partition_from_zero(log: Arc<dyn MessageLog>) {
    append(&*log, 0, "x").await;
    let epoch = log.read(Topic::Messages, 0, 0, 1).await.expect("read")[0].position.epoch;
    let mut consumer = subscribe(&*log, "g").await;
    let mut seen = assigned(&mut *consumer, &*log).await;
    seen.sort_unstable();
    let all: Vec<_> = (0..log.partitions(Topic::Messages)).map(|partition| (partition, epoch, 0)).collect();
    assert_eq!(seen, all);
}

/// Each record of each partition comes in offset order.
pub async fn a_consumer_gets_each_record_in_order(log: Arc<dyn MessageLog>) {
    append_many(&*log, 0, 300).await;
    append_many(&*log, 1, 200).await;
    let mut consumer = subscribe(&*log, "g").await;
    assigned(&mut *consumer, &*log).await;
    let mut found = [Vec::new(), Vec::new()];
    while found[0].len() < 300 || found[1].len() < 200 {
        let Delivery::Records { partition, entries } = consumer.next(37).await.expect("next") else {
            panic!("only records are left to tell of")
        };
        assert!(!entries.is_empty() && entries.iter().all(|entry| entry.position.partition == partition));
        found[partition as usize].extend(entries);
    }
    for entries in &found {
        assert!(entries.iter().zip(0..).all(|(entry, offset)| entry.position.offset == offset), "a gap");
        assert_eq!(payloads(entries), numbers(0..entries.len()));
    }
}

/// The next consumer of a group begins where the last one committed, not where it had read to.
pub async fn a_consumer_goes_on_from_the_committed_offset(log: Arc<dyn MessageLog>) {
    append_many(&*log, 0, 10).await;
    let mut consumer = subscribe(&*log, "g").await;
    take(&mut *consumer, 0, 10).await;
    consumer.commit(0, 4).await.expect("commit");
    drop(consumer);
    let mut consumer = subscribe(&*log, "g").await;
    let seen = assigned(&mut *consumer, &*log).await;
    assert!(seen.iter().all(|(partition, _, committed)| *committed == if *partition == 0 { 4 } else { 0 }));
    assert_eq!(payloads(&take(&mut *consumer, 0, 6).await), numbers(4..10));
}

/// `max` bounds a delivery.
pub async fn a_delivery_has_at_most_max_records(log: Arc<dyn MessageLog>) {
    append_many(&*log, 0, 50).await;
    let mut consumer = subscribe(&*log, "g").await;
    assigned(&mut *consumer, &*log).await;
    let mut left = 50;
    while left > 0 {
        let Delivery::Records { entries, .. } = consumer.next(7).await.expect("next") else { panic!("records") };
        assert!((1..=7).contains(&entries.len()));
        left -= entries.len();
    }
}

/// A consumer that waits gets a record as it is appended.
pub async fn a_waiting_consumer_is_woken(log: Arc<dyn MessageLog>) {
    let mut consumer = subscribe(&*log, "g").await;
    assigned(&mut *consumer, &*log).await;
    for i in 0..20 {
        let writer = async {
            tokio::task::yield_now().await;
            append(&*log, i % 2, "x").await;
        };
        let (entries, ()) = tokio::join!(take(&mut *consumer, i % 2, 1), writer);
        assert_eq!(entries.len(), 1);
    }
}

/// `next` may be dropped at any time.
pub async fn cancelling_next_loses_no_record(log: Arc<dyn MessageLog>) {
    append_many(&*log, 0, 100).await;
    let mut consumer = subscribe(&*log, "g").await;
    let mut found = Vec::new();
    for round in 0u64.. {
        // Each wait is a little longer than the last, so that every stage of `next` is cut short at some time.
        if let Ok(delivery) = timeout(Duration::from_micros(round), consumer.next(3)).await
            && let Delivery::Records { entries, .. } = delivery.expect("next")
        {
            found.extend(entries);
        }
        if found.len() >= 100 {
            break;
        }
    }
    assert_eq!(payloads(&found), numbers(0..100));
}

/// What one group reads and commits is nothing to another.
pub async fn groups_are_independent(log: Arc<dyn MessageLog>) {
    append_many(&*log, 0, 5).await;
    let mut first = subscribe(&*log, "first").await;
    take(&mut *first, 0, 5).await;
    first.commit(0, 5).await.expect("commit");
    let mut second = subscribe(&*log, "second").await;
    assert_eq!(payloads(&take(&mut *second, 0, 5).await), numbers(0..5));
    assert_eq!((first.lag(&[0]).await, second.lag(&[0]).await), (Ok(vec![0]), Ok(vec![5])));
}

/// After `seek` the records from that offset come again.
pub async fn seek_reads_again(log: Arc<dyn MessageLog>) {
    append_many(&*log, 0, 10).await;
    let mut consumer = subscribe(&*log, "g").await;
    take(&mut *consumer, 0, 10).await;
    consumer.commit(0, 2).await.expect("commit");
    consumer.seek(0, 6).await.expect("seek");
    assert_eq!(payloads(&take(&mut *consumer, 0, 4).await), numbers(6..10));
    consumer.seek(0, 2).await.expect("seek");
    assert_eq!(payloads(&take(&mut *consumer, 0, 8).await), numbers(2..10));
}

/// A paused partition delivers nothing and loses nothing; the others go on.
pub async fn a_paused_partition_is_silent(log: Arc<dyn MessageLog>) {
    let mut consumer = subscribe(&*log, "g").await;
    assigned(&mut *consumer, &*log).await;
    consumer.pause(0, true).await.expect("pause");
    append_many(&*log, 0, 3).await;
    append_many(&*log, 1, 3).await;
    assert_eq!(payloads(&take(&mut *consumer, 1, 3).await), numbers(0..3));
    let silence = timeout(Duration::from_millis(50), consumer.next(10)).await;
    assert!(silence.is_err(), "{silence:?} from a paused partition");
    consumer.pause(0, false).await.expect("pause");
    assert_eq!(payloads(&take(&mut *consumer, 0, 3).await), numbers(0..3));
}

/// Commits only rise.
pub async fn a_lower_commit_changes_nothing(log: Arc<dyn MessageLog>) {
    append_many(&*log, 0, 10).await;
    let mut consumer = subscribe(&*log, "g").await;
    take(&mut *consumer, 0, 10).await;
    consumer.commit(0, 8).await.expect("commit");
    consumer.commit(0, 3).await.expect("commit");
    assert_eq!(consumer.lag(&[0]).await, Ok(vec![2]));
    drop(consumer);
    let mut consumer = subscribe(&*log, "g").await;
    assert_eq!(payloads(&take(&mut *consumer, 0, 2).await), numbers(8..10));
}

/// Lag is the end of the log minus the committed offset.
pub async fn lag_counts_what_is_not_committed(log: Arc<dyn MessageLog>) {
    let mut consumer = subscribe(&*log, "g").await;
    assigned(&mut *consumer, &*log).await;
    assert_eq!(consumer.lag(&[0]).await, Ok(vec![0]));
    append_many(&*log, 0, 10).await;
    assert_eq!(consumer.lag(&[0]).await, Ok(vec![10]));
    take(&mut *consumer, 0, 10).await;
    assert_eq!(consumer.lag(&[0]).await, Ok(vec![10]), "reading alone is no progress");
    consumer.commit(0, 7).await.expect("commit");
    assert_eq!(consumer.lag(&[1, 0]).await, Ok(vec![0, 3]), "in the order asked");
    assert_eq!(consumer.lag(&[]).await, Ok(vec![]));
}
