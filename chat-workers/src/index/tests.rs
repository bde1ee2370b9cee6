use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::event::Fact;
use chat_core::message_log::Topic;
use chat_core::message_store::Row;
use chat_core::search::{Hit, Query, SearchError};
use tokio::time::sleep;

use super::*;
use crate::fixture::{Running, World, poll, user};

const TOPIC: Topic = Topic::Events;

/// Keeps the newest version of each document, as the contract asks.
#[derive(Debug, Default)]
struct Shelf {
    documents: Mutex<BTreeMap<(ChatId, Seq), Document>>,
    calls: Mutex<Vec<usize>>,
    is_down: AtomicBool,
}

#[async_trait]
impl SearchIndex for Shelf {
    async fn index(&self, documents: Vec<Document>) -> Result<(), SearchError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(SearchError("set down by a test".into()));
        }
        self.calls.lock().unwrap().push(documents.len());
        let mut held = self.documents.lock().unwrap();
        for document in documents {
            let place = (document.chat_id, document.seq);
            if held.get(&place).is_none_or(|held| held.version < document.version) {
                held.insert(place, document);
            }
        }
        Ok(())
    }

    async fn search(&self, _query: &Query) -> Result<Vec<Hit>, SearchError> {
        unreachable!("the indexer does not search")
    }

    async fn erase(&self, _sender: &chat_core::id::UserId) -> Result<(), SearchError> {
        unreachable!("the indexer does not erase")
    }
}

impl Shelf {
    fn contents(&self) -> Vec<(Seq, String)> {
        let held = self.documents.lock().unwrap();
        held.values().map(|document| (document.seq, document.content.clone())).collect()
    }
}

fn start(world: &World, shelf: &Arc<Shelf>) -> Running {
    let ports = IndexerPorts { store: world.store.clone(), search: shelf.clone() };
    world.run(Indexer::new(ports), TOPIC)
}

async fn append(world: &World, events: &[&Event]) {
    for event in events {
        world.append(TOPIC, event.chat_id, event.encode()).await;
    }
}

fn edited(event: &Event, seq: Seq, content: &str, later: u64) -> Event {
    let edited_at = chat_core::clock::Time::from_millis(event.ts / 1_000 + later);
    let fact = Fact::Updated { seq, rev: later, content: content.into(), meta: None, edited_at };
    Event { ts: event.ts + later, fact, ..event.clone() }
}

fn deleted(event: &Event, seq: Seq, later: u64) -> Event {
    let deleted_at = chat_core::clock::Time::from_millis(event.ts / 1_000 + later);
    Event { ts: event.ts + later, fact: Fact::Deleted { seq, rev: later, deleted_at }, ..event.clone() }
}

fn as_contents(contents: &[(Seq, &str)]) -> Vec<(Seq, String)> {
    contents.iter().map(|(seq, content)| (*seq, (*content).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn the_newest_version_of_each_message_is_indexed() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob"]).await;
    let one = world.say(chat, "ann", "one").await;
    let two = world.say(chat, "bob", "two").await;
    let three = world.say(chat, "bob", "three").await;
    let (edit, again) = (edited(&one, 1, "uno", 1), edited(&one, 1, "eins", 2));
    let (gone, never_kept) = (deleted(&two, 2, 3), edited(&three, 99, "ghost", 4));
    let early = edited(&three, 3, "tres", 5);
    let expected = as_contents(&[(1, "eins"), (2, ""), (3, "tres")]);
    // In one batch, in the wrong order, twice, and with each event in a batch of its own.
    for events in [
        vec![&one, &two, &edit, &again, &gone, &never_kept, &three, &early],
        vec![&early, &again, &edit, &gone, &one, &two, &three, &never_kept],
        vec![&one, &one, &two, &edit, &again, &gone, &edit, &two, &three, &early, &three],
    ] {
        let shelf = Arc::new(Shelf::default());
        let running = start(&world, &shelf);
        append(&world, &events).await;
        running.caught_up(TOPIC, &world).await;
        assert_eq!(shelf.contents(), expected);
        running.stop().await;
        let shelf = Arc::new(Shelf::default());
        let running = start(&world, &shelf);
        for event in &events {
            append(&world, &[event]).await;
            sleep(Duration::from_millis(10)).await;
        }
        running.caught_up(TOPIC, &world).await;
        assert_eq!(shelf.contents(), expected, "one by one");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_alone_takes_the_rest_from_the_store() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob"]).await;
    let event = world.say(chat, "ann", "one").await;
    let edit = edited(&event, 1, "uno", 7);
    let shelf = Arc::new(Shelf::default());
    let running = start(&world, &shelf);
    append(&world, &[&edit]).await;
    running.caught_up(TOPIC, &world).await;
    let Fact::Message(message) = &event.fact else { unreachable!("it is a message") };
    let document = shelf.documents.lock().unwrap().remove(&(chat, 1)).unwrap();
    assert_eq!((document.message_id, document.sender), (message.message_id, user("ann")));
    assert_eq!((document.created_at, document.version), (message.created_at, edit.ts));
    assert_eq!(document.content, "uno");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn system_messages_are_not_indexed() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob"]).await;
    let mut event = world.say(chat, "ann", "").await;
    if let Fact::Message(message) = &mut event.fact {
        message.content_type = chat_core::frame::ContentType::System;
    }
    let shelf = Arc::new(Shelf::default());
    let running = start(&world, &shelf);
    append(&world, &[&event]).await;
    running.caught_up(TOPIC, &world).await;
    assert!(shelf.contents().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_index_that_is_away_makes_the_partition_wait() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob"]).await;
    let one = world.say(chat, "ann", "one").await;
    let shelf = Arc::new(Shelf::default());
    shelf.is_down.store(true, Ordering::SeqCst);
    let running = start(&world, &shelf);
    append(&world, &[&one]).await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(running.lag(), 1, "nothing is committed past it");
    shelf.is_down.store(false, Ordering::SeqCst);
    running.caught_up(TOPIC, &world).await;
    assert_eq!(shelf.contents(), as_contents(&[(1, "one")]));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_changes_nothing() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob"]).await;
    let one = world.say(chat, "ann", "one").await;
    let edit = edited(&one, 1, "uno", 1);
    let shelf = Arc::new(Shelf::default());
    append(&world, &[&one, &edit]).await;
    // The first two are cut off before they commit.
    for _ in 0..2 {
        let running = start(&world, &shelf);
        poll("it is indexed", || async { shelf.contents() == as_contents(&[(1, "uno")]) }).await;
        let before = shelf.documents.lock().unwrap().clone();
        running.crash().await;
        assert_eq!(*shelf.documents.lock().unwrap(), before);
    }
    // A message whose content the store already shows edited is still what its event says.
    world
        .store
        .write_rows(vec![Row::Edit {
            chat_id: chat,
            seq: 1,
            ts: edit.ts,
            rev: 1,
            content: "uno".into(),
            meta: None,
            edited_at: chat_core::clock::Time::default(),
        }])
        .await
        .unwrap();
    let running = start(&world, &shelf);
    running.caught_up(TOPIC, &world).await;
    assert_eq!(shelf.contents(), as_contents(&[(1, "uno")]));
    running.stop().await;
}

#[test]
fn calls_are_bounded_in_bytes() {
    let document = |bytes: usize| Document {
        chat_id: ChatId(uuid::Uuid::nil()),
        seq: 1,
        message_id: chat_core::id::MessageId(uuid::Uuid::nil()),
        sender: user("ann"),
        content: "x".repeat(bytes),
        created_at: chat_core::clock::Time::default(),
        version: 1,
    };
    for (sizes, calls) in [
        (vec![], vec![]),
        (vec![0, 1, 2], vec![3]),
        (vec![CALL_BYTES, 0, 1], vec![2, 1]),
        (vec![CALL_BYTES + 1, CALL_BYTES / 2, CALL_BYTES / 2, 1], vec![1, 2, 1]),
    ] {
        let split = in_calls(sizes.iter().copied().map(document).collect());
        assert_eq!(split.iter().map(Vec::len).collect::<Vec<_>>(), calls, "{sizes:?}");
    }
}
