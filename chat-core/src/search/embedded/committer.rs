//! Gathers requests into batches, so that a commit, with its handful of syncs, is shared by all that wait for one.

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Duration, Instant, timeout_at};

use super::writer::{Batch, Writer};
use crate::id::UserId;
use crate::search::{Document, SearchError};

/// How many documents end a batch before its time.
pub(super) const BATCH_DOCUMENTS: usize = 4_096;

/// How much content ends a batch before its time, in bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Something to do, and who waits for it to be durable.
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) done: oneshot::Sender<Result<(), SearchError>>,
}

/// What is asked for.
pub(super) enum Work {
    Index(Vec<Document>),
    Erase(UserId),
    /// Ends the committer when all that was asked before is done.
    Close,
}

/// Requests that share a commit.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    bytes: usize,
    waiting: Vec<oneshot::Sender<Result<(), SearchError>>>,
    closes: bool,
}

impl Gathered {
    fn add(&mut self, Request { work, done }: Request) {
        self.waiting.push(done);
        match work {
            Work::Index(documents) => {
                self.bytes += documents.iter().map(|document| document.content.len()).sum::<usize>();
                self.batch.documents.extend(documents);
            }
            Work::Erase(sender) => self.batch.erased.push(sender),
            Work::Close => self.closes = true,
        }
    }

    /// Returns whether nothing may be added: what is indexed after an erasure must not be erased by it.
    fn is_complete(&self) -> bool {
        self.closes
            || !self.batch.erased.is_empty()
            || self.batch.documents.len() >= BATCH_DOCUMENTS
            || self.bytes >= BATCH_BYTES
    }
}

/// Serves requests until one asks to close or nobody is left to ask. `commit_after` is the longest that the first
/// request of a batch waits for others.
pub(super) async fn run(mut requests: mpsc::Receiver<Request>, mut writer: Writer, commit_after: Duration) {
    while let Some(first) = requests.recv().await {
        let mut gathered = Gathered::default();
        gathered.add(first);
        let deadline = Instant::now() + commit_after;
        while !gathered.is_complete() {
            let Ok(Some(request)) = timeout_at(deadline, requests.recv()).await else { break };
            gathered.add(request);
        }
        let Gathered { batch, waiting, closes, .. } = gathered;
        let write = spawn_blocking(move || {
            let written = writer.write(&batch).map_err(|error| SearchError(error.to_string()));
            (writer, written)
        });
        // A panic or the end of the runtime: who waits, and who asks later, is told by the closed channels.
        let Ok((same_writer, written)) = write.await else { return };
        writer = same_writer;
        if closes {
            requests.close();
            finish(writer).await;
            tell(waiting, &written);
            return;
        }
        tell(waiting, &written);
    }
    finish(writer).await;
}

fn tell(waiting: Vec<oneshot::Sender<Result<(), SearchError>>>, written: &Result<(), SearchError>) {
    for done in waiting {
        // Who has stopped waiting does not mind.
        drop(done.send(written.clone()));
    }
}

async fn finish(writer: Writer) {
    if let Ok(Err(error)) = spawn_blocking(move || writer.close()).await {
        tracing::warn!(%error, "the search index did not finish its merges; they will be repeated");
    }
}
