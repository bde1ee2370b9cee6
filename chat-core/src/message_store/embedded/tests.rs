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
