use std::future::{Ready, ready};
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::clock::ManualClock;
use crate::embedded::{EmbeddedDb, EmbeddedOptions};
use crate::message_store::memory::MemoryStore;
use crate::message_store::tables::Tables;
use crate::message_store::tables::tests::rows;

fn open(dir: &Path) -> Arc<EmbeddedStore> {
    EmbeddedDb::open(dir, Arc::new(ManualClock::default()), &EmbeddedOptions::default()).unwrap().store
}

fn make() -> Ready<(Arc<dyn MessageStore>, tempfile::TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    ready((open(dir.path()), dir))
}

crate::message_store_contract!(make);

/// Everything that is stored, as tables.
fn stored(store: &EmbeddedStore) -> Vec<(RowKey, StoredRow)> {
    let pairs = store.engine.rows.iter().map(|pair| {
        let (key, value) = pair.into_inner().unwrap();
        let key = RowKey::decode(&key).unwrap();
        let row = StoredRow::decode(&key, &value).unwrap();
        (key, row)
    });
    pairs.collect()
}

fn rows_of(tables: &Tables) -> Vec<(RowKey, StoredRow)> {
    tables.rows().map(|(key, row)| (key.clone(), row.clone())).collect()
}

#[test]
fn both_engines_hold_the_same_rows_after_any_writes_and_a_restart() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config::with_cases(16));
    let batches = prop::collection::vec(rows(), 1..6);
    let check = |batches: Vec<Vec<Row>>| {
        let dir = tempfile::tempdir().unwrap();
        let (embedded, memory) = (open(dir.path()), MemoryStore::default());
        runtime.block_on(async {
            for batch in batches {
                embedded.write_rows(batch.clone()).await.unwrap();
                memory.write_rows(batch).await.unwrap();
            }
        });
        let expected = rows_of(&memory.tables());
        prop_assert_eq!(&stored(&embedded), &expected);
        drop(embedded);
        prop_assert_eq!(&stored(&open(dir.path())), &expected);
        Ok(())
    };
    runner.run(&batches, check).unwrap();
}

#[tokio::test]
async fn the_restore_epoch_survives_a_restart_and_differs_between_stores() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let epoch = open(first.path()).restore_epoch().await.unwrap();
    assert_eq!(open(first.path()).restore_epoch().await.unwrap(), epoch);
    assert_ne!(open(second.path()).restore_epoch().await.unwrap(), epoch);
}

#[tokio::test]
async fn an_unreadable_row_is_an_error_of_its_own() {
    let (dir, chat) = (tempfile::tempdir().unwrap(), ChatId(Uuid::nil()));
    let store = open(dir.path());
    store.engine.rows.insert(RowKey::State(chat).encode(), "garbage").unwrap();
    assert!(matches!(store.states(&[chat]).await, Err(StoreError::Corrupt(_))));
    let refused = store.write_states(vec![(chat, ChatState::default())]).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))));
    assert!(store.write_states(vec![(ChatId(Uuid::max()), ChatState::default())]).await.is_ok());
}

#[tokio::test]
async fn messages_age_out_oldest_first() {
    let (dir, clock, age) = (tempfile::tempdir().unwrap(), ManualClock::default(), Duration::from_mins(10));
    let options = EmbeddedOptions { message_age: Some(age), ..EmbeddedOptions::default() };
    let store = EmbeddedDb::open(dir.path(), Arc::new(clock.clone()), &options).unwrap().store;
    crate::message_store::contract::messages_age_out_oldest_first(store, clock, age).await;
}

#[tokio::test]
async fn messages_age_out_oldest_first_and_their_rows_go() {
    const AGE: u64 = 60_000;
    let start = Time::from_millis(1_764_000_000_000);
    let clock = ManualClock::at(start);
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { message_age: Some(Duration::from_millis(AGE)), ..EmbeddedOptions::default() };
    let store = EmbeddedDb::open(dir.path(), Arc::new(clock.clone()), &options).unwrap().store;
    let chats = [1, 2].map(|n| ChatId(Uuid::from_u128(n)));
    let message = |chat_id, seq: Seq| Row::Message {
        ts: seq,
        position: Position { epoch: 1, partition: 0, offset: seq },
        message: Arc::new(crate::frame::Message {
            chat_id,
            seq,
            rev: None,
            message_id: crate::id::MessageId(Uuid::from_u128(seq.into())),
            sender: UserId::new("ann").unwrap(),
            content_type: crate::frame::ContentType::Text,
            content: "hello".to_owned(),
            attachment: None,
            meta: None,
            system: None,
            created_at: start.plus_millis(seq * 10),
            edited_at: None,
            deleted_at: None,
        }),
    };
    let rows = chats.iter().flat_map(|chat| (1..=100).map(|seq| message(*chat, seq)));
    store.write_rows(rows.collect()).await.unwrap();
    let seqs = async |range, order, limit| -> Vec<Seq> {
        let rows = store.messages(chats[0], range, order, limit).await.unwrap();
        rows.into_iter().map(|row| row.message.seq).collect()
    };
    let all = SeqRange { after: 0, upto: 100 };
    for (aged, swept) in [(0, false), (1, false), (37, false), (37, true), (99, true), (100, false), (100, true)] {
        clock.set(start.plus_millis(AGE + aged * 10 + 1));
        if swept {
            let (engine, since) = (Arc::clone(&store.engine), store.kept_since());
            let sweep = move || {
                let mut next = retention::step(&engine, since, None).unwrap();
                while let Some(place) = next {
                    next = retention::step(&engine, since, Some(place)).unwrap();
                }
            };
            tokio::task::spawn_blocking(sweep).await.unwrap();
            let left = stored(&store).len() as u64;
            assert_eq!(left, 2 * (100 - aged));
        }
        for chat in chats {
            assert_eq!(store.first_seq(chat, 100).await.unwrap(), aged + 1, "{aged}, swept: {swept}");
        }
        let kept: Vec<Seq> = (aged + 1..=100).collect();
        assert_eq!(seqs(all, Order::OldestFirst, 200).await, kept);
        assert_eq!(seqs(all, Order::NewestFirst, 200).await, kept.iter().rev().copied().collect::<Vec<_>>());
        assert_eq!(seqs(all, Order::OldestFirst, 1).await, kept.iter().take(1).copied().collect::<Vec<_>>());
        let middle = SeqRange { after: 20, upto: 50 };
        let expected: Vec<Seq> = (21..=50).filter(|seq| *seq > aged).collect();
        assert_eq!(seqs(middle, Order::OldestFirst, 200).await, expected);
    }
}
