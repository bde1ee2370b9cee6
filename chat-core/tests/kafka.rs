//! The message log on a real Kafka: its contract, and what only this engine has. `tests/run.sh engines` starts the
//! broker and says by `KAFKA_*` where it is. Every test has topics of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_core::config::KafkaConfig;
use chat_core::config::kafka::{Sasl, SaslMechanism, Tls};
use chat_core::message_log::kafka::{KafkaLog, NewTopics, OpenError, Rewound, claim, create_topics};
use chat_core::message_log::{Append, Consumer, Delivery, LogError, MessageLog, Topic};
use tokio::time::{Instant, sleep, timeout};

const DEADLINE: Duration = Duration::from_mins(1);

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `tests/run.sh engines`"))
}

fn config() -> KafkaConfig {
    KafkaConfig {
        bootstrap_servers: vec![variable("KAFKA_BOOTSTRAP")],
        prefix: format!("t-{}-", uuid::Uuid::now_v7().simple()),
        partitions: 2,
        epoch: 1,
        sasl: None,
        tls: None,
    }
}

async fn opened(config: &KafkaConfig) -> KafkaLog {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match KafkaLog::open(config).await {
            Ok(log) => return log,
            Err(error) if error.is_retryable() && Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn log() -> KafkaLog {
    let config = config();
    let topics = NewTopics { replication: 1, retention: Duration::from_hours(1) };
    create_topics(&config, topics).await.unwrap();
    opened(&config).await
}

async fn make() -> (Arc<dyn MessageLog>, ()) {
    (Arc::new(log().await), ())
}

chat_core::message_log_contract!(make);

fn record(payload: &str) -> Append {
    let (key, payload) = (Bytes::from_static(b"key"), Bytes::copy_from_slice(payload.as_bytes()));
    Append { topic: Topic::Messages, partition: 0, key, payload, headers: Vec::new() }
}

async fn append_numbers(log: &KafkaLog, count: usize) {
    log.append_all((0..count).map(|n| record(&n.to_string())).collect()).await.unwrap();
}

async fn next(consumer: &mut dyn Consumer) -> Delivery {
    timeout(DEADLINE, consumer.next(100)).await.unwrap().unwrap()
}

/// Takes offsets of partition 0 until one is `last`.
async fn offsets_up_to(consumer: &mut dyn Consumer, last: u64) -> Vec<u64> {
    let mut offsets = Vec::new();
    while offsets.last() != Some(&last) {
        if let Delivery::Records { entries, .. } = next(consumer).await {
            offsets.extend(entries.iter().map(|entry| entry.position.offset));
        }
    }
    offsets
}

/// A role looks at what it owns every second, however much that is: it must not wait for each partition in turn.
#[tokio::test]
async fn the_lag_of_many_partitions_is_one_question() {
    let config = KafkaConfig { partitions: 64, ..config() };
    create_topics(&config, NewTopics { replication: 1, retention: Duration::from_hours(1) }).await.unwrap();
    let log = opened(&config).await;
    append_numbers(&log, 3).await;
    let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
    let mut owned = Vec::new();
    while owned.len() < 64 {
        if let Delivery::Assigned { partition, .. } = next(&mut *consumer).await {
            owned.push(partition);
        }
    }
    // While it fetches from all of them, and nothing comes.
    let fetching = async { while timeout(Duration::from_secs(1), consumer.next(100)).await.is_ok() {} };
    fetching.await;
    let begun = Instant::now();
    let lag = consumer.lag(&owned).await.unwrap();
    let took = begun.elapsed();
    assert_eq!((lag.iter().sum::<u64>(), lag.len()), (3, 64));
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[tokio::test]
async fn a_member_that_joins_takes_over_what_was_finished_first() {
    let log = log().await;
    append_numbers(&log, 10).await;
    let mut first = log.subscribe(Topic::Messages, "g").await.unwrap();
    assert!(offsets_up_to(&mut *first, 9).await.into_iter().eq(0..10));
    let mut second = log.subscribe(Topic::Messages, "g").await.unwrap();
    let (first, second) = (&mut *first, &mut *second);
    let revoked = async {
        loop {
            if let Delivery::Revoked { partition } = next(first).await {
                // The group waits: what was finished before the partition goes is committed, and the next owner sees it.
                first.commit(partition, if partition == 0 { 7 } else { 0 }).await.unwrap();
                return partition;
            }
        }
    };
    let given_up = revoked.await;
    let taken = async {
        let Delivery::Assigned { partition, committed, .. } = next(second).await else { panic!("an assignment") };
        (partition, committed)
    };
    let taken = tokio::select! {
        taken = taken => taken,
        delivery = next(first) => panic!("{delivery:?} to a member that has nothing new"),
    };
    assert_eq!(taken, (given_up, if given_up == 0 { 7 } else { 0 }));
    assert!(first.commit(given_up, 10).await.is_err(), "the partition is another's");
}

#[tokio::test]
async fn a_pause_in_the_middle_loses_and_doubles_nothing() {
    let log = log().await;
    append_numbers(&log, 5_000).await;
    let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
    let mut offsets = Vec::new();
    while offsets.len() < 5_000 {
        if let Delivery::Records { entries, .. } = next(&mut *consumer).await {
            offsets.extend(entries.iter().map(|entry| entry.position.offset));
            consumer.pause(0, true).await.unwrap();
            consumer.pause(0, false).await.unwrap();
        }
    }
    assert!(offsets.into_iter().eq(0..5_000));
    consumer.pause(0, true).await.unwrap();
    consumer.seek(0, 4_990).await.unwrap();
    consumer.pause(0, false).await.unwrap();
    assert!(offsets_up_to(&mut *consumer, 4_999).await.into_iter().eq(4_990..5_000));
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_refused_at_once() {
    let log = log().await;
    let large = Append { payload: vec![0; 512 << 10].into(), ..record("") };
    // More than the queue takes, faster than the broker does.
    let outcome = log.append_all(vec![large; 1_000]).await;
    assert_eq!(outcome.err(), Some(LogError::Full));
    assert!(LogError::Full.is_retryable());
    let deadline = Instant::now() + DEADLINE;
    while log.append(record("again")).await.is_err() {
        assert!(Instant::now() < deadline, "the queue stays full");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_log_that_starts_past_the_committed_offset_is_lost_data() {
    let config = config();
    let topics = NewTopics { replication: 1, retention: Duration::from_hours(1) };
    create_topics(&config, topics).await.unwrap();
    let log = opened(&config).await;
    append_numbers(&log, 10).await;
    delete_before(&config, 4).await;
    let mut consumer = log.subscribe(Topic::Messages, "late").await.unwrap();
    let mut told = vec![timeout(DEADLINE, consumer.next(10)).await.unwrap()];
    told.push(timeout(DEADLINE, consumer.next(10)).await.unwrap());
    told.sort_by_key(Result::is_ok);
    assert_eq!(told[0], Err(LogError::DataLost { partition: 0, start: 4, committed: 0 }));
    assert_eq!(told[1], Ok(Delivery::Assigned { partition: 1, epoch: 1, committed: 0 }));
    assert_eq!(log.read(Topic::Messages, 0, 0, 100).await.unwrap().len(), 6);
}

/// Forgets the records of partition 0 below an offset, as retention would.
async fn delete_before(config: &KafkaConfig, offset: i64) {
    use rdkafka::admin::{AdminClient, AdminOptions};
    use rdkafka::client::DefaultClientContext;
    use rdkafka::{ClientConfig, Offset, TopicPartitionList};

    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.bootstrap_servers[0]);
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(&format!("{}messages", config.prefix), 0, Offset::Offset(offset)).unwrap();
    let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
    admin.delete_records(&upto, &options).await.unwrap();
}

#[tokio::test]
async fn topics_that_are_not_as_the_settings_say_are_refused() {
    let config = config();
    let missing = OpenError::Topic { topic: format!("{}messages", config.prefix), found: 0, expected: 2 };
    assert_eq!(KafkaLog::open(&config).await.unwrap_err(), missing);
    assert!(missing.is_retryable(), "it may be made yet");
    let topics = NewTopics { replication: 1, retention: Duration::from_hours(1) };
    create_topics(&config, topics).await.unwrap();
    create_topics(&config, topics).await.unwrap();
    opened(&config).await;
    let other = KafkaConfig { partitions: 3, ..config };
    let differs = KafkaLog::open(&other).await.unwrap_err();
    assert!(matches!(differs, OpenError::Topic { found: 2, expected: 3, .. }), "{differs}");
    assert!(!differs.is_retryable());
}

/// The settings of the listener that asks for a password, over TLS.
fn secured() -> KafkaConfig {
    let username_file = PathBuf::from(variable("KAFKA_USERNAME_FILE"));
    let password_file = PathBuf::from(variable("KAFKA_PASSWORD_FILE"));
    KafkaConfig {
        bootstrap_servers: vec![variable("KAFKA_SASL_BOOTSTRAP")],
        sasl: Some(Sasl { mechanism: SaslMechanism::Plain, username_file, password_file }),
        tls: Some(Tls { ca_file: Some(variable("KAFKA_CA").into()), client: None }),
        ..config()
    }
}

#[tokio::test]
async fn a_password_over_tls_lets_in() {
    let config = secured();
    let topics = NewTopics { replication: 1, retention: Duration::from_hours(1) };
    create_topics(&config, topics).await.unwrap();
    let log = opened(&config).await;
    append_numbers(&log, 3).await;
    let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
    assert_eq!(offsets_up_to(&mut *consumer, 2).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_authority_are_refused_with_the_reason() {
    let right = secured();
    let mut wrong_password = right.clone();
    let sasl = wrong_password.sasl.as_mut().unwrap();
    sasl.password_file = sasl.username_file.clone();
    let mut unknown_authority = right.clone();
    unknown_authority.tls = Some(Tls::default());
    let no_file = KafkaConfig {
        sasl: Some(Sasl { password_file: "/nonexistent".into(), ..right.sasl.clone().unwrap() }),
        ..right
    };
    for (config, reason) in [(wrong_password, "Authentication"), (unknown_authority, "certificate")] {
        let error = KafkaLog::open(&config).await.unwrap_err();
        assert!(matches!(&error, OpenError::Unreachable(told) if told.contains(reason)), "{error}");
        assert!(error.is_retryable());
    }
    assert!(matches!(KafkaLog::open(&no_file).await, Err(OpenError::Settings(_))));
}

#[tokio::test]
async fn topics_are_taken_only_by_their_owner_or_with_its_name() {
    let config = config();
    let owned = |by: &str| Err(OpenError::Owned(by.to_owned()));
    assert_eq!(claim(&config, "chat/ours", None, 1).await, Ok(()));
    assert_eq!(claim(&config, "chat/ours", None, 1).await, Ok(()));
    assert_eq!(claim(&config, "chat/theirs", None, 1).await, owned("chat/ours"));
    assert_eq!(claim(&config, "chat/theirs", Some("chat/nobody"), 1).await, owned("chat/ours"));
    assert_eq!(claim(&config, "chat/theirs", Some("chat/ours"), 1).await, Ok(()));
    assert_eq!(claim(&config, "chat/ours", None, 1).await, owned("chat/theirs"));
}

#[tokio::test]
async fn a_group_is_rewound_to_a_time_once_nobody_is_in_it() {
    let log = log().await;
    let moved = |from, to| Ok(vec![Rewound { partition: 0, from, to }]);
    append_numbers(&log, 5).await;
    sleep(Duration::from_millis(20)).await;
    let since = log.append(record("5")).await.unwrap().time;
    append_numbers(&log, 4).await;
    let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
    offsets_up_to(&mut *consumer, 9).await;
    consumer.commit(0, 10).await.unwrap();
    assert!(log.rewind(Topic::Messages, "g", since).await.is_err(), "a member would commit over it");
    drop(consumer);
    let deadline = Instant::now() + DEADLINE;
    let rewound = loop {
        match log.rewind(Topic::Messages, "g", since).await {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
            rewound => break rewound,
        }
    };
    assert_eq!(rewound, moved(10, 5));
    let ahead = since.plus_millis(3_600_000);
    assert_eq!(log.rewind(Topic::Messages, "g", ahead).await, Ok(vec![]), "never forwards");
    let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
    assert!(offsets_up_to(&mut *consumer, 9).await.into_iter().eq(5..10));
    drop(consumer);
    while log.begin_anew(Topic::Messages, "g").await.is_err() {
        assert!(Instant::now() < deadline, "the group does not empty");
        sleep(Duration::from_millis(50)).await;
    }
    let mut consumer = log.subscribe(Topic::Messages, "g").await.unwrap();
    assert!(offsets_up_to(&mut *consumer, 9).await.into_iter().eq(0..10));
}
