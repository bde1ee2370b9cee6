use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::clock::Time;
use crate::id::{ChatId, MessageId};
use crate::search::Scope;
use crate::search::contract::Subject;

const COMMIT_SOON: Duration = Duration::from_millis(20);
const CHAT: ChatId = ChatId(Uuid::from_u128(1));

struct OnDisk(EmbeddedIndex, #[expect(dead_code, reason = "keeps the directory")] TempDir);

impl OnDisk {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self(EmbeddedIndex::open_with(directory.path(), COMMIT_SOON).await.unwrap(), directory)
    }
}

impl Subject for OnDisk {
    fn index(&self) -> Arc<dyn SearchIndex> {
        Arc::new(self.0.clone())
    }
}

crate::search_contract!([#[tokio::test]], OnDisk::new().await);

fn a_document(seq: u64, content: &str) -> Document {
    Document {
        chat_id: CHAT,
        seq,
        message_id: MessageId(Uuid::nil()),
        sender: UserId::new("ada").unwrap(),
        content: content.into(),
        created_at: Time::from_millis(seq),
        version: seq,
    }
}

async fn count(index: &EmbeddedIndex, text: &str) -> usize {
    let scopes = vec![Scope { chat_id: CHAT, after: 0, upto: None }];
    let query = Query { text: text.into(), scopes, sender: None, from: None, to: None, after: None, limit: 100_000 };
    index.search(&query).await.unwrap().len()
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let index = EmbeddedIndex::open_with(directory.path(), COMMIT_SOON).await.unwrap();
    index.index(vec![a_document(1, "word")]).await.unwrap();
    // The files as a crash at this moment would leave them, while the writer is still open.
    let crashed = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
    }
    let index = EmbeddedIndex::open_with(crashed.path(), COMMIT_SOON).await.unwrap();
    assert_eq!(count(&index, "word").await, 1);
    // Versions survive as well.
    index.index(vec![Document { content: "older".into(), version: 0, ..a_document(1, "") }]).await.unwrap();
    assert_eq!((count(&index, "word").await, count(&index, "older").await), (1, 0));
}

#[tokio::test]
async fn a_closed_index_can_be_opened_again_and_an_open_one_not() {
    let directory = tempfile::tempdir().unwrap();
    let index = EmbeddedIndex::open_with(directory.path(), COMMIT_SOON).await.unwrap();
    assert!(EmbeddedIndex::open(directory.path()).await.is_err());
    let last = index.index(vec![a_document(1, "word")]);
    let (last, closed) = tokio::join!(last, index.close());
    assert_eq!((last, closed), (Ok(()), Ok(())));
    assert!(index.index(vec![a_document(2, "word")]).await.is_err());
    let again = EmbeddedIndex::open_with(directory.path(), COMMIT_SOON).await.unwrap();
    assert_eq!(count(&again, "word").await, 1);
}

#[tokio::test]
async fn callers_share_a_commit() {
    let directory = tempfile::tempdir().unwrap();
    let index = EmbeddedIndex::open_with(directory.path(), Duration::from_millis(200)).await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for seq in 1..=50 {
        let index = index.clone();
        callers.spawn(async move { index.index(vec![a_document(seq, "word")]).await });
    }
    assert!(callers.join_all().await.into_iter().all(|indexed| indexed.is_ok()));
    assert_eq!(index.0.reader.searcher().segment_readers().len(), 1);
    assert_eq!(count(&index, "word").await, 50);
}

#[tokio::test]
async fn a_full_batch_does_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let index = EmbeddedIndex::open_with(directory.path(), Duration::from_hours(1)).await.unwrap();
    let documents = (1..=committer::BATCH_DOCUMENTS as u64).map(|seq| a_document(seq, "word")).collect();
    index.index(documents).await.unwrap();
    assert_eq!(count(&index, "word").await, committer::BATCH_DOCUMENTS);
}

#[tokio::test]
async fn many_commits_leave_few_segments_and_superseded_documents_go() {
    let directory = tempfile::tempdir().unwrap();
    let index = EmbeddedIndex::open_with(directory.path(), Duration::ZERO).await.unwrap();
    for version in 1..=100 {
        index.index(vec![Document { version, ..a_document(1 + version % 5, "word") }]).await.unwrap();
    }
    assert_eq!(count(&index, "word").await, 5);
    index.close().await.unwrap();
    let index = EmbeddedIndex::open(directory.path()).await.unwrap();
    let searcher = index.0.reader.searcher();
    let kept: u32 = searcher.segment_readers().iter().map(tantivy::SegmentReader::max_doc).sum();
    assert!(searcher.segment_readers().len() < 20, "{} segments", searcher.segment_readers().len());
    assert!(kept < 50, "{kept} documents for 5");
}
