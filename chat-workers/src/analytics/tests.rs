use chat_core::event::Fact;
use chat_core::frame::{Change, ChangeKind, ChatInfo, ChatType, ContentType};
use chat_core::id::ChatId;
use chat_core::message_log::{MessageLog, Topic};
use chat_core::user_store::{HOUR_MS, Metric, UsageRow};
use tokio::time::sleep;

use super::*;
use crate::fixture::{Running, T0, World, user};

const TOPIC: Topic = Topic::Events;

fn start(world: &World) -> Running {
    world.run(Analytics::new(world.users.clone()), TOPIC)
}

async fn append(world: &World, events: &[&Event]) {
    for event in events {
        world.append(TOPIC, event.chat_id, event.encode()).await;
    }
}

/// Returns hours since the beginning, metric and value, added up over partitions.
async fn totals(world: &World) -> Vec<(u64, Metric, u64)> {
    let begin = T0.millis() / HOUR_MS;
    let mut totals: BTreeMap<(u64, Metric), u64> = BTreeMap::new();
    for UsageRow { hour, metric, value, .. } in world.users.usage(begin, begin + 100).await.unwrap() {
        *totals.entry((hour - begin, metric)).or_default() += value;
    }
    totals.into_iter().map(|((hour, metric), value)| (hour, metric, value)).collect()
}

/// Returns an event of the record after that of another.
fn after(event: &Event, fact: Fact) -> Event {
    let mut next = Event { ts: event.ts + 1, fact, ..event.clone() };
    next.position.offset += 1;
    next
}

fn created(world: &World, chat_id: ChatId, event: &Event) -> Event {
    let now = chat_core::clock::Clock::now(&*world.clock);
    let change = Change { kind: ChangeKind::Created, actor: user("ann"), seq: 1, users: None, name: None, role: None };
    let chat = ChatInfo {
        chat_id,
        chat_type: ChatType::Group,
        name: None,
        created_at: now,
        created_by: user("ann"),
        member_count: 2,
        head_seq: 1,
        head_rev: 0,
        head_at: now,
        first_seq: 1,
    };
    Event { fact: Fact::Changed { chat, change, members: Arc::default() }, ..event.clone() }
}

/// Makes a chat with some of everything in its first hour.
async fn a_busy_hour(world: &World, number: u128) -> Vec<Event> {
    let chat = world.group(number, &["ann", "bob"]).await;
    let mut begun = world.say(chat, "ann", "").await;
    let creation = created(world, chat, &begun);
    if let Fact::Message(message) = &mut begun.fact {
        message.content_type = ContentType::System;
    }
    let one = world.say(chat, "ann", "one").await;
    let two = world.say(chat, "bob", "two").await;
    let edited_at = T0;
    let edit = after(&two, Fact::Updated { seq: 2, rev: 1, content: "x".into(), meta: None, edited_at });
    let delete = after(&edit, Fact::Deleted { seq: 2, rev: 2, deleted_at: T0 });
    vec![creation, begun, one, two, edit, delete]
}

const BUSY_HOUR: [(u64, Metric, u64); 4] =
    [(0, Metric::Messages, 2), (0, Metric::Edits, 1), (0, Metric::Deletes, 1), (0, Metric::Chats, 1)];

#[tokio::test(start_paused = true)]
async fn what_happened_is_counted_by_hour() {
    let world = World::new();
    let running = start(&world);
    let events = a_busy_hour(&world, 1).await;
    append(&world, &events.iter().collect::<Vec<_>>()).await;
    sleep(Duration::from_millis(HOUR_MS)).await;
    let later = world.say(events[0].chat_id, "ann", "later").await;
    append(&world, &[&later]).await;
    running.caught_up(TOPIC, &world).await;
    let expected = [&BUSY_HOUR[..], &[(1, Metric::Messages, 1)]].concat();
    assert_eq!(totals(&world).await, expected, "SYSTEM messages do not count");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn chats_of_all_partitions_add_up() {
    let world = World::new();
    let running = start(&world);
    for number in 1..=16 {
        let events = a_busy_hour(&world, number).await;
        append(&world, &events.iter().collect::<Vec<_>>()).await;
    }
    running.caught_up(TOPIC, &world).await;
    assert_eq!(totals(&world).await, BUSY_HOUR.map(|(hour, metric, value)| (hour, metric, 16 * value)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_counts_nothing_twice() {
    let world = World::new();
    let events = a_busy_hour(&world, 1).await;
    append(&world, &events.iter().collect::<Vec<_>>()).await;
    for run in 0..2 {
        let running = start(&world);
        // Written after five seconds, committed with the tick after that: cut off in between, as far as it goes.
        sleep(WRITE_EVERY + Duration::from_millis(1)).await;
        assert_eq!(totals(&world).await, BUSY_HOUR, "run {run}");
        running.crash().await;
    }
    let running = start(&world);
    running.caught_up(TOPIC, &world).await;
    assert_eq!(totals(&world).await, BUSY_HOUR);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_sequencer_emits_again_counts_once() {
    let world = World::new();
    let events = a_busy_hour(&world, 1).await;
    let all: Vec<&Event> = events.iter().collect();
    append(&world, &all).await;
    append(&world, &all[2..]).await;
    let running = start(&world);
    running.caught_up(TOPIC, &world).await;
    append(&world, &all).await;
    running.caught_up(TOPIC, &world).await;
    running.stop().await;
    let running = start(&world);
    append(&world, &all).await;
    running.caught_up(TOPIC, &world).await;
    assert_eq!(totals(&world).await, BUSY_HOUR, "also by one that remembers nothing");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn batches_that_overtook_each_other_count_whole() {
    let world = World::new();
    let mut events = a_busy_hour(&world, 1).await;
    events.reverse();
    append(&world, &events.iter().collect::<Vec<_>>()).await;
    let running = start(&world);
    running.caught_up(TOPIC, &world).await;
    assert_eq!(totals(&world).await, BUSY_HOUR);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_writes_and_commits_what_was_counted() {
    let world = World::new();
    let events = a_busy_hour(&world, 1).await;
    append(&world, &events.iter().collect::<Vec<_>>()).await;
    let running = start(&world);
    sleep(Duration::from_millis(100)).await;
    assert!(totals(&world).await.is_empty(), "gathered first");
    running.stop().await;
    assert_eq!(totals(&world).await, BUSY_HOUR);
    assert!(world.log.end(TOPIC, 0).await.is_ok());
    let running = start(&world);
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(running.lag(), 0);
    running.stop().await;
}
