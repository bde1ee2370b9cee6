use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::format::Versioned;
use chat_core::id::ChatId;
use chat_core::message_log::{Append, Appended};
use chat_core::message_store::StoreError;
use serde::Deserialize;
use uuid::Uuid;

use super::*;
use crate::fixture::{World, poll};

const TOPIC: Topic = Topic::Receipts;

/// A number on the log.
#[derive(Debug, Deserialize)]
struct Number {
    v: u16,
    n: u64,
}

impl Versioned for Number {
    const NEWEST: u16 = 1;

    fn format(&self) -> u16 {
        self.v
    }
}

/// What a handler went through.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Begin(u64),
    Take(Vec<u64>),
    Finish,
    End,
}

/// Takes numbers of the one partition that has records; fails as often as it is told to.
#[derive(Debug, Clone, Default)]
struct Numbers {
    steps: Arc<Mutex<Vec<Step>>>,
    fail: Arc<Mutex<u32>>,
    is_full: Arc<std::sync::atomic::AtomicBool>,
    partition: u32,
    next: u64,
}

impl Numbers {
    fn note(&self, partition: u32, step: Step) {
        if partition == self.partition {
            self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
        }
    }

    fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap().clone()
    }

    fn taken(&self) -> Vec<u64> {
        let taken = self.steps().into_iter().filter_map(|step| if let Step::Take(n) = step { Some(n) } else { None });
        taken.flatten().collect()
    }
}

impl Handler for Numbers {
    type Record = Number;

    async fn begin(&mut self, partition: u32, committed: u64) -> Result<(), Failure> {
        self.note(partition, Step::Begin(committed));
        Ok(())
    }

    async fn take(&mut self, partition: u32, batch: Batch<Number>) -> Result<(), Failure> {
        self.note(partition, Step::Take(batch.records.iter().map(|received| received.record.n).collect()));
        let mut fail = self.fail.lock().unwrap();
        if *fail > 0 {
            *fail -= 1;
            return Err(Failure::Store(StoreError::Unavailable("told to".into())));
        }
        self.next = batch.next;
        Ok(())
    }

    fn done(&self, partition: u32) -> u64 {
        if partition == self.partition { self.next } else { 0 }
    }

    fn has_room(&self) -> bool {
        !self.is_full.load(std::sync::atomic::Ordering::SeqCst)
    }

    async fn finish(&mut self, partition: u32) {
        self.note(partition, Step::Finish);
    }

    fn end(&mut self, partition: u32) {
        self.note(partition, Step::End);
    }
}

fn chat() -> ChatId {
    ChatId(Uuid::nil())
}

fn numbers(world: &World) -> Numbers {
    let partition = chat_core::message_log::partition_of(chat(), world.log.partitions(TOPIC));
    Numbers { partition, ..Numbers::default() }
}

async fn append(world: &World, payloads: &[&str]) {
    for payload in payloads {
        world.append(TOPIC, chat(), Bytes::copy_from_slice(payload.as_bytes())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn records_are_taken_in_order_and_committed_when_done() {
    let world = World::new();
    let handler = numbers(&world);
    append(&world, &[r#"{"v":1,"n":1}"#, r#"{"v":1,"n":2}"#]).await;
    let running = world.run(handler.clone(), TOPIC);
    running.caught_up(TOPIC, &world).await;
    running.stop().await;
    let steps = [Step::End, Step::Begin(0), Step::Take(vec![1, 2]), Step::Finish, Step::End];
    assert_eq!(handler.steps(), steps);
    append(&world, &[r#"{"v":1,"n":3}"#]).await;
    let again = numbers(&world);
    let running = world.run(again.clone(), TOPIC);
    poll("the rest is taken", || async { again.taken() == [3] }).await;
    assert_eq!(again.steps()[1], Step::Begin(2), "begins where the last one ended");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_drops_the_state_and_begins_again_at_the_committed_offset() {
    let world = World::new();
    let handler = numbers(&world);
    *handler.fail.lock().unwrap() = 2;
    append(&world, &[r#"{"v":1,"n":1}"#]).await;
    let running = world.run(handler.clone(), TOPIC);
    running.caught_up(TOPIC, &world).await;
    let attempt = [Step::End, Step::Begin(0), Step::Take(vec![1])];
    assert_eq!(handler.steps(), [&attempt[..], &attempt, &attempt].concat());
    assert_eq!(running.status.partitions()[0].blocked, None, "an engine that is away blocks nothing");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_read_goes_to_the_dead_letters() {
    let world = World::new();
    let handler = numbers(&world);
    append(&world, &[r#"{"v":1,"n":1}"#, "garbage", r#"{"v":1,"n":3}"#]).await;
    let running = world.run(handler.clone(), TOPIC);
    running.caught_up(TOPIC, &world).await;
    assert_eq!(handler.taken(), [1, 3]);
    let dead = world.log.read(Topic::PushDlq, 0, 0, 10).await.unwrap();
    assert_eq!(dead.iter().map(|entry| &entry.payload[..]).collect::<Vec<_>>(), [b"garbage"]);
    let headers: Vec<&str> = dead[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["reason", "position"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_format_stops_the_partition_and_shows_why() {
    let world = World::new();
    let handler = numbers(&world);
    append(&world, &[r#"{"v":1,"n":1}"#, r#"{"v":2}"#, r#"{"v":1,"n":3}"#]).await;
    let running = world.run(handler.clone(), TOPIC);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(handler.taken(), [1], "what came before is taken once, what comes after waits");
    let status = running.status.partitions().remove(handler.partition as usize);
    assert_eq!((status.lag, status.blocked.unwrap().reason), (2, BlockReason::UnknownFormat));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_until_its_rows_are_old_enough() {
    let world = World::new();
    let handler = numbers(&world);
    let config = ConsumeConfig { commit_delay: Duration::from_secs(15), ..ConsumeConfig::default() };
    append(&world, &[r#"{"v":1,"n":1}"#]).await;
    let running = world.run_with(handler.clone(), TOPIC, config);
    sleep(Duration::from_secs(14)).await;
    assert_eq!(running.lag(), 1);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(running.lag(), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_role_without_room_takes_nothing() {
    let world = World::new();
    let handler = numbers(&world);
    let set_full = |is_full| handler.is_full.store(is_full, std::sync::atomic::Ordering::SeqCst);
    set_full(true);
    append(&world, &[r#"{"v":1,"n":1}"#]).await;
    let running = world.run(handler.clone(), TOPIC);
    sleep(Duration::from_secs(30)).await;
    assert!(handler.taken().is_empty());
    set_full(false);
    poll("it is taken", || async { handler.taken() == [1] }).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_goes_to_another_is_finished_and_forgotten() {
    let world = World::new();
    let (one, other) = (numbers(&world), numbers(&world));
    append(&world, &[r#"{"v":1,"n":1}"#]).await;
    let first = world.run(one.clone(), TOPIC);
    poll("it is taken", || async { one.taken() == [1] }).await;
    let second = world.run(other.clone(), TOPIC);
    poll("it is given up", || async { first.status.partitions().is_empty() }).await;
    assert_eq!(one.steps()[3..], [Step::Finish, Step::End]);
    append(&world, &[r#"{"v":1,"n":2}"#]).await;
    poll("the other one has it", || async { other.taken().ends_with(&[2]) }).await;
    assert_eq!(one.taken(), [1]);
    first.stop().await;
    second.stop().await;
}

/// A log that does not answer commits in time, as one does that waits for its consumers to give partitions up.
#[derive(Debug)]
struct NoCommits(Arc<dyn MessageLog>);

#[derive(Debug)]
struct NoCommitsConsumer(tokio::sync::Mutex<Box<dyn Consumer>>);

#[async_trait]
impl MessageLog for NoCommits {
    fn partitions(&self, topic: Topic) -> u32 {
        self.0.partitions(topic)
    }

    async fn append(&self, append: Append) -> Result<Appended, LogError> {
        self.0.append(append).await
    }

    async fn append_all(&self, appends: Vec<Append>) -> Result<Vec<Appended>, LogError> {
        self.0.append_all(appends).await
    }

    async fn subscribe(&self, topic: Topic, group: &str) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(NoCommitsConsumer(self.0.subscribe(topic, group).await?.into())))
    }

    async fn read(&self, topic: Topic, partition: u32, offset: u64, limit: usize) -> Result<Vec<Entry>, LogError> {
        self.0.read(topic, partition, offset, limit).await
    }

    async fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.0.end(topic, partition).await
    }
}

#[async_trait]
impl Consumer for NoCommitsConsumer {
    async fn next(&mut self, max: usize) -> Result<Delivery, LogError> {
        self.0.get_mut().next(max).await
    }

    async fn seek(&mut self, partition: u32, offset: u64) -> Result<(), LogError> {
        self.0.get_mut().seek(partition, offset).await
    }

    async fn pause(&mut self, partition: u32, paused: bool) -> Result<(), LogError> {
        self.0.get_mut().pause(partition, paused).await
    }

    async fn commit(&mut self, _partition: u32, _next_offset: u64) -> Result<(), LogError> {
        sleep(Duration::from_secs(5)).await;
        Err(LogError::Unavailable("the commit was not answered in time".to_owned()))
    }

    async fn lag(&self, partitions: &[u32]) -> Result<Vec<u64>, LogError> {
        self.0.lock().await.lag(partitions).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_whose_commits_are_not_answered_hears_of_the_log_all_the_same() {
    let world = World::new();
    let handler = numbers(&world);
    let log = Arc::new(NoCommits(Arc::clone(&world.log) as Arc<dyn MessageLog>));
    let config = ConsumeConfig { commit_delay: Duration::ZERO, ..ConsumeConfig::default() };
    let running = world.run_on(log, handler.clone(), TOPIC, config);
    for n in 1..=5_u64 {
        append(&world, &[&format!(r#"{{"v":1,"n":{n}}}"#)]).await;
        // Past the next commit, and what it takes to fail.
        sleep(Duration::from_secs(8)).await;
        assert!(handler.taken().contains(&n), "{n} is not heard of: {:?}", handler.steps());
    }
    running.crash().await;
}
