use std::future::{Ready, ready};
use std::path::Path;

use bytes::Bytes;

use super::*;
use crate::clock::{ManualClock, Time};
use crate::embedded::EmbeddedDb;

const DAY_MS: u64 = 24 * 3600 * 1000;

fn clock() -> ManualClock {
    ManualClock::at(Time::from_millis(1_764_000_000_000))
}

fn open(dir: &Path, clock: &ManualClock) -> Arc<EmbeddedLog> {
    let options = EmbeddedOptions { partitions: 2, ..EmbeddedOptions::default() };
    EmbeddedDb::open(dir, Arc::new(clock.clone()), &options).unwrap().log
}

fn make() -> Ready<(Arc<dyn MessageLog>, tempfile::TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    ready((open(dir.path(), &clock()), dir))
}

crate::message_log_contract!(make);

fn record(topic: Topic, payload: &'static [u8]) -> Append {
    let payload = Bytes::from_static(payload);
    Append { topic, partition: 0, key: Bytes::from_static(b"k"), payload, headers: Vec::new() }
}

#[tokio::test]
async fn offsets_and_commits_go_on_after_a_restart() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    for round in 0..3u64 {
        let log = open(dir.path(), &clock);
        assert_eq!(log.end(Topic::Messages, 0).await, Ok(round * 10));
        assert_eq!(log.end(Topic::Messages, 1).await, Ok(0));
        let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
        assert_eq!(consumer.lag(&[0]).await, Ok(vec![0]));
        log.append_all(vec![record(Topic::Messages, b"p"); 10]).await.unwrap();
        consumer.commit(0, (round + 1) * 10).await.unwrap();
    }
    let log = open(dir.path(), &clock);
    let entries = log.read(Topic::Messages, 0, 0, 100).await.unwrap();
    assert!(entries.iter().map(|entry| entry.position.offset).eq(0..30));
}

#[tokio::test]
async fn retention_drops_what_is_read_and_old() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), clock());
    let log = open(dir.path(), &clock);
    log.append_all(vec![record(Topic::Messages, b"old"); 10]).await.unwrap();
    log.append_all(vec![record(Topic::PushDlq, b"old"); 10]).await.unwrap();
    let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
    consumer.commit(0, 6).await.unwrap();
    assert_eq!(log.trim().await, Ok(0), "all is young");
    clock.advance_millis(8 * DAY_MS);
    log.append_all(vec![record(Topic::Messages, b"new"); 5]).await.unwrap();
    assert_eq!(log.trim().await, Ok(6), "the group has read six, and nobody has dropped a dead letter");
    assert_eq!(log.trim().await, Ok(0));
    consumer.commit(0, 15).await.unwrap();
    assert_eq!(log.trim().await, Ok(4), "the other old ones");
    clock.advance_millis(30 * DAY_MS);
    assert_eq!(log.trim().await, Ok(15), "everything");
    drop(consumer);
    drop(log);
    let log = open(dir.path(), &clock);
    assert_eq!(log.end(Topic::Messages, 0).await, Ok(15), "a trimmed partition keeps its end");
    assert_eq!(log.append(record(Topic::Messages, b"next")).await.unwrap().position.offset, 15);
    let mut late = log.subscribe(Topic::Messages, "late").await.unwrap();
    assert_eq!(late.next(1).await, Err(LogError::DataLost { partition: 0, start: 15, committed: 0 }));
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_refused_at_once() {
    let (log, _dir) = make().await;
    let large = Append { payload: vec![0; QUEUE_KIB * 1024].into(), ..record(Topic::Events, b"") };
    let both = [log.append(large.clone()), log.append(large)].map(|call| async { call.await.is_ok() });
    let [first, second] = both;
    assert_eq!(tokio::join!(first, second), (true, false));
    assert!(log.append(record(Topic::Events, b"again")).await.is_ok());
}

#[tokio::test]
async fn a_follower_that_fell_behind_the_tail_reads_the_database() {
    let (log, _dir) = make().await;
    let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
    let large = Append { payload: vec![7; 1 << 20].into(), ..record(Topic::Messages, b"") };
    for _ in 0..12 {
        log.append(large.clone()).await.unwrap();
    }
    let mut offsets = Vec::new();
    while offsets.len() < 12 {
        if let crate::message_log::Delivery::Records { entries, .. } = consumer.next(100).await.unwrap() {
            assert!(entries.len() <= 5, "a read is bounded in bytes");
            offsets.extend(entries.iter().map(|entry| entry.position.offset));
        }
    }
    assert!(offsets.into_iter().eq(0..12));
}
