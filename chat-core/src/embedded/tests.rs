use super::*;
use crate::clock::ManualClock;
use crate::message_log::{Append, MessageLog, Topic};

fn open(dir: &Path, partitions: u32) -> Result<EmbeddedDb, EmbeddedError> {
    let options = EmbeddedOptions { partitions, ..EmbeddedOptions::default() };
    EmbeddedDb::open(dir, Arc::new(ManualClock::default()), &options)
}

#[test]
fn the_partition_count_is_fixed() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(open(dir.path(), 0), Err(EmbeddedError::Partitions { asked: 0, .. })));
    open(dir.path(), 3).unwrap();
    let error = open(dir.path(), 4).unwrap_err();
    assert!(matches!(error, EmbeddedError::Partitions { stored: 3, asked: 4, .. }));
    assert!(error.to_string().contains("has 3 partitions a topic, 4 were asked for"));
    open(dir.path(), 3).unwrap();
}

#[test]
fn a_directory_in_use_is_locked_until_its_last_handle_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), 1).unwrap();
    assert!(matches!(open(dir.path(), 1), Err(EmbeddedError::Locked { .. })));
    let store = Arc::clone(&db.store);
    drop(db);
    assert!(matches!(open(dir.path(), 1), Err(EmbeddedError::Locked { .. })));
    drop(store);
    open(dir.path(), 1).unwrap();
}

#[test]
fn a_directory_that_holds_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("thesis.txt");
    std::fs::write(&file, "years of work").unwrap();
    assert!(matches!(open(dir.path(), 1), Err(EmbeddedError::Foreign { .. })));
    assert!(matches!(open(&file, 1), Err(EmbeddedError::Foreign { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    std::fs::write(dir.path().join("version"), "not ours").unwrap();
    assert!(matches!(open(dir.path(), 1), Err(EmbeddedError::Foreign { .. })));
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = Database::builder(dir.path()).open().unwrap();
    other.keyspace("theirs", KeyspaceCreateOptions::default).unwrap();
    drop(other);
    assert!(matches!(open(dir.path(), 1), Err(EmbeddedError::Foreign { .. })));
}

#[test]
fn a_database_of_a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), 1).unwrap();
    let db = Database::builder(dir.path()).open().unwrap();
    let meta = db.keyspace("meta", KeyspaceCreateOptions::default).unwrap();
    let mut settings = meta.get(Settings::KEY).unwrap().unwrap().to_vec();
    settings[..4].copy_from_slice(&2u32.to_be_bytes());
    meta.insert(Settings::KEY, settings).unwrap();
    drop((meta, db));
    assert!(matches!(open(dir.path(), 1), Err(EmbeddedError::Format { found: 2, .. })));
}

#[test]
fn making_a_database_can_be_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["lock", "0.jnl"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    std::fs::create_dir_all(dir.path().join("keyspaces/0")).unwrap();
    open(dir.path(), 1).unwrap();
}

/// Makes a database whose journal ends with one small and one large record, and hands the journal to be damaged where
/// the large one is. Returns what opening says, and how many records there are.
async fn reopen_damaged(damage: impl FnOnce(&mut [u8])) -> Result<u64, EmbeddedError> {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), 1).unwrap();
    for payload in ["small".to_owned(), "large".repeat(4000)] {
        let payload = payload.into_bytes().into();
        let append = Append { topic: Topic::Messages, partition: 0, key: "k".into(), payload, headers: Vec::new() };
        db.log.append(append).await.unwrap();
    }
    drop(db);
    let path = dir.path().join("0.jnl");
    let mut journal = std::fs::read(&path).unwrap();
    let large = journal.windows(10).position(|bytes| bytes == b"largelarge").unwrap();
    damage(&mut journal[large.next_multiple_of(4096)..][..4096]);
    std::fs::write(&path, journal).unwrap();
    let db = open(dir.path(), 1)?;
    Ok(db.log.end(Topic::Messages, 0).await.unwrap())
}

#[tokio::test]
async fn a_hole_in_the_last_batch_drops_that_batch_alone() {
    assert!(matches!(reopen_damaged(|_| {}).await, Ok(2)));
    assert!(matches!(reopen_damaged(|page| page.fill(0)).await, Ok(1)));
    assert!(matches!(reopen_damaged(|page| page[512..1024].fill(0)).await, Ok(1)));
}

#[tokio::test]
async fn other_damage_is_reported_and_left_as_it_is() {
    assert!(matches!(reopen_damaged(|page| page[7] ^= 1).await, Err(EmbeddedError::Storage { .. })));
}
