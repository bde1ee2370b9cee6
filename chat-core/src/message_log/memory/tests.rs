use std::future::{Ready, ready};

use super::*;
use crate::clock::{ManualClock, Time};
use crate::message_log::Delivery;

fn log() -> MemoryLog {
    MemoryLog::new(Arc::new(ManualClock::at(Time::from_millis(1_000))), 2)
}

fn make() -> Ready<(Arc<dyn MessageLog>, ())> {
    ready((Arc::new(log()), ()))
}

crate::message_log_contract!(make);

fn record() -> Append {
    Append { topic: Topic::Messages, partition: 0, key: "k".into(), payload: "p".into(), headers: Vec::new() }
}

#[tokio::test]
async fn trimmed_records_that_a_group_has_not_read_are_lost_data() {
    let log = log();
    for _ in 0..5 {
        log.append(record()).await.unwrap();
    }
    log.trim(Topic::Messages, 0, 3);
    let mut late = log.subscribe(Topic::Messages, "late").await.unwrap();
    let lost = LogError::DataLost { partition: 0, start: 3, committed: 0 };
    assert_eq!(late.next(10).await, Err(lost));
    assert_eq!(late.next(10).await, Ok(Delivery::Assigned { partition: 1, epoch: 1, committed: 0 }));
    assert_eq!(log.read(Topic::Messages, 0, 0, 10).await.unwrap().len(), 2);
    assert_eq!(log.end(Topic::Messages, 0).await, Ok(5));
}

#[tokio::test]
async fn a_second_follower_of_a_group_takes_over() {
    let log = log();
    let mut first = log.subscribe(Topic::Messages, "g").await.unwrap();
    for partition in 0..2 {
        assert_eq!(first.next(10).await, Ok(Delivery::Assigned { partition, epoch: 1, committed: 0 }));
    }
    log.append(record()).await.unwrap();
    let mut second = log.subscribe(Topic::Messages, "g").await.unwrap();
    for partition in 0..2 {
        assert_eq!(first.next(10).await, Ok(Delivery::Revoked { partition }));
        assert_eq!(second.next(10).await, Ok(Delivery::Assigned { partition, epoch: 1, committed: 0 }));
    }
    first.commit(0, 1).await.unwrap();
    assert_eq!(second.lag(&[0]).await, Ok(vec![0]));
    assert!(matches!(second.next(10).await, Ok(Delivery::Records { partition: 0, .. })));
}
