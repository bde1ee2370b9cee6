//! Checks of the write side and of `read`.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use super::{append, append_many, numbers, payloads, record};
use crate::message_log::{Append, Entry, LogError, MessageLog, Topic};

async fn read_all(log: &dyn MessageLog, topic: Topic, partition: u32) -> Vec<Entry> {
    let end = log.end(topic, partition).await.expect("end");
    let mut entries: Vec<Entry> = Vec::new();
    let mut offset = 0;
    while offset < end {
        let more = log.read(topic, partition, offset, 1000).await.expect("read");
        offset = more.last().expect("records before the end").position.offset + 1;
        entries.extend(more);
    }
    entries
}

/// Polls futures for the first time in this order, then drives them all.
async fn in_order<T>(mut calls: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = calls.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (call, slot) in calls.iter_mut().zip(&mut done).filter(|(_, slot)| slot.is_none()) {
            if let Poll::Ready(value) = call.as_mut().poll(context) {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Key, payload, headers, position and time of a record are what was written and what `append` answered.
pub async fn records_come_back_as_they_were_written(log: Arc<dyn MessageLog>) {
    let headers = vec![("reason".to_owned(), Bytes::from_static(b"\x00\xff")), (String::new(), Bytes::new())];
    let odd = [
        record(Topic::MessagesDlq, 0, "a"),
        Append { key: Bytes::new(), payload: Bytes::new(), ..record(Topic::MessagesDlq, 0, "") },
        Append { headers, payload: vec![0xfe; 200_000].into(), ..record(Topic::MessagesDlq, 0, "") },
    ];
    let mut answers = Vec::new();
    for append in &odd {
        answers.push(log.append(append.clone()).await.expect("append"));
    }
    let entries = read_all(&*log, Topic::MessagesDlq, 0).await;
    assert_eq!(entries.len(), odd.len());
    for ((entry, written), answer) in entries.iter().zip(&odd).zip(&answers) {
        assert_eq!((&entry.key, &entry.payload, &entry.headers), (&written.key, &written.payload, &written.headers));
        assert_eq!((entry.position, entry.time), (answer.position, answer.time));
        assert_eq!(entry.position.partition, 0);
    }
    assert_eq!(entries[0].position.epoch, entries[2].position.epoch);
}

/// Appends called one after the other, none awaited before the next, stand in that order.
pub async fn records_of_one_producer_keep_their_order(log: Arc<dyn MessageLog>) {
    let texts = numbers(0..200);
    let calls = texts.iter().map(|text| log.append(record(Topic::Messages, 1, text))).collect();
    let answers = in_order(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(payloads(&read_all(&*log, Topic::Messages, 1).await), texts);
}

/// `append_all` answers in the order asked and keeps it in each partition.
pub async fn many_records_at_once_are_answered_in_order(log: Arc<dyn MessageLog>) {
    let texts = numbers(0..500);
    let partition = |i: usize| u32::from(!i.is_multiple_of(3));
    let appends = texts.iter().enumerate().map(|(i, text)| record(Topic::Messages, partition(i), text)).collect();
    let answers = log.append_all(appends).await.expect("append_all");
    assert_eq!(answers.len(), texts.len());
    let entries = [read_all(&*log, Topic::Messages, 0).await, read_all(&*log, Topic::Messages, 1).await];
    for (i, (answer, text)) in answers.iter().zip(&texts).enumerate() {
        let offset = usize::try_from(answer.position.offset).expect("small");
        assert_eq!(payloads(&entries[partition(i) as usize][offset..=offset]), [text.as_str()]);
    }
    assert_eq!(log.append_all(Vec::new()).await, Ok(Vec::new()));
}

/// Offsets are given once each and without gaps, however many append at once.
pub async fn concurrent_producers_share_a_partition_without_gaps(log: Arc<dyn MessageLog>) {
    let producers: Vec<_> = (0..8)
        .map(|producer| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut offsets = Vec::new();
                for i in 0..50 {
                    offsets.push(append(&*log, 0, &format!("{producer}/{i}")).await.position.offset);
                }
                offsets
            })
        })
        .collect();
    let mut all = BTreeSet::new();
    for producer in producers {
        let offsets = producer.await.expect("producer");
        assert!(offsets.is_sorted(), "a later append got a lower offset");
        all.extend(offsets);
    }
    assert!(all.iter().copied().eq(0..400), "offsets are not 0 to 399 once each: {all:?}");
    assert_eq!(log.end(Topic::Messages, 0).await, Ok(400));
}

/// A partition past the count is an error that is not worth a retry, and nothing is written.
pub async fn a_partition_that_does_not_exist_is_refused(log: Arc<dyn MessageLog>) {
    let past = log.partitions(Topic::Messages);
    let refused = LogError::NoPartition { topic: "messages", partition: past };
    assert!(!refused.is_retryable());
    assert_eq!(log.append(record(Topic::Messages, past, "x")).await, Err(refused.clone()));
    let mixed = vec![record(Topic::Messages, 0, "x"), record(Topic::Messages, past, "x")];
    assert_eq!(log.append_all(mixed).await, Err(refused.clone()));
    assert_eq!(log.read(Topic::Messages, past, 0, 1).await, Err(refused.clone()));
    assert_eq!(log.end(Topic::Messages, past).await, Err(refused));
    let mut consumer = log.subscribe(Topic::Messages, "g").await.expect("subscribe");
    assert!(consumer.commit(past, 1).await.is_err() && consumer.seek(past, 0).await.is_err());
    assert!(consumer.pause(past, true).await.is_err() && consumer.lag(&[past]).await.is_err());
}

/// What is written to one topic and partition is in no other.
pub async fn topics_and_partitions_are_separate(log: Arc<dyn MessageLog>) {
    for topic in Topic::ALL {
        for partition in 0..2 {
            log.append(record(topic, partition, &format!("{topic:?}/{partition}"))).await.expect("append");
        }
    }
    for topic in Topic::ALL {
        for partition in 0..2 {
            let found = payloads(&read_all(&*log, topic, partition).await);
            assert_eq!(found, [format!("{topic:?}/{partition}")]);
        }
    }
}

/// `read` returns what was asked for and no more; at or past the end it returns nothing.
pub async fn reads_are_bounded_by_limit_and_end(log: Arc<dyn MessageLog>) {
    assert_eq!(log.end(Topic::Messages, 0).await, Ok(0));
    assert_eq!(log.read(Topic::Messages, 0, 0, 10).await, Ok(Vec::new()));
    append_many(&*log, 0, 10).await;
    let read = async |offset, limit| payloads(&log.read(Topic::Messages, 0, offset, limit).await.expect("read"));
    assert_eq!(read(0, 3).await, numbers(0..3));
    assert_eq!(read(8, 10).await, numbers(8..10));
    assert_eq!(read(10, 10).await, numbers(0..0));
    assert_eq!(read(u64::MAX, 10).await, numbers(0..0));
}
