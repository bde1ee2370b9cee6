//! The search index of a single process, on tantivy: one directory, durable.
//!
//! # Durability
//! `index` and `erase` are acknowledged when a commit holds them, so a consumer that commits its offset after the
//! acknowledgement loses nothing in a crash: what was under way is read from the log again, and the versions make the
//! repetition harmless. A commit costs a handful of syncs; it is made when [`COMMIT_AFTER`] has passed since the first
//! waiting request, or at once when 4 096 documents or 4 MiB wait, and it makes visible what it makes durable.
//! Callers that want more than one batch a second therefore hand over large ones, or keep several calls in flight:
//! they share a commit.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tantivy::directory::MmapDirectory;
use tantivy::tokenizer::{TextAnalyzer, TokenizerManager};
use tantivy::{Index, IndexReader, ReloadPolicy};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Duration, timeout};

use self::committer::{Request, Work};
use self::fields::Fields;
use self::words::Words;
use self::writer::Writer;
use super::{Document, Hit, Query, SearchError, SearchIndex};
use crate::id::UserId;

mod committer;
mod fields;
mod find;
mod newest;
mod words;
mod writer;

/// The longest that documents wait for others to share a commit with.
pub const COMMIT_AFTER: Duration = Duration::from_secs(1);

/// How many requests wait for the writer; further callers wait before them.
const WAITING_REQUESTS: usize = 64;

/// How many searches run at once; they are bound by the processor.
const SEARCHES_AT_ONCE: usize = 4;

/// How long a search may take, waiting included.
const SEARCH_DEADLINE: Duration = Duration::from_secs(5);

/// How long a write may take, waiting included. Past it the outcome is unknown; a repetition is harmless.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// How many blocks of stored content (16 KiB each) stay decompressed, for each segment that was searched.
const CACHED_BLOCKS: usize = 4;

/// Keeps a full-text index in a directory. Clones are ends of the same index.
///
/// When the last one is dropped the index closes in the background; [`close`](Self::close) waits for it.
#[derive(Clone)]
pub struct EmbeddedIndex(Arc<Shared>);

struct Shared {
    directory: PathBuf,
    requests: mpsc::Sender<Request>,
    reader: IndexReader,
    fields: Fields,
    searches: Arc<Semaphore>,
}

impl EmbeddedIndex {
    /// Opens the index in a directory, or makes one there. Only one process can have it open.
    ///
    /// # Errors
    /// The directory cannot be used, another process uses it, or what is in it is no index of this format: then
    /// remove it and index again from the log.
    pub async fn open(directory: &Path) -> Result<Self, SearchError> {
        Self::open_with(directory, COMMIT_AFTER).await
    }

    async fn open_with(directory: &Path, commit_after: Duration) -> Result<Self, SearchError> {
        let directory = directory.to_owned();
        let opened = spawn_blocking(move || {
            let (schema, fields) = Fields::new();
            let tokenizers = TokenizerManager::default();
            tokenizers.register(fields::WORDS, TextAnalyzer::from(Words));
            std::fs::create_dir_all(&directory)?;
            let index = Index::builder()
                .schema(schema)
                .tokenizers(tokenizers)
                .open_or_create(MmapDirectory::open(&directory)?)?;
            let reader = index
                .reader_builder()
                .reload_policy(ReloadPolicy::Manual)
                .doc_store_cache_num_blocks(CACHED_BLOCKS)
                .try_into()?;
            let writer = Writer::open(index, directory.clone(), reader.clone(), fields.clone())?;
            Ok::<_, tantivy::TantivyError>((directory, reader, fields, writer))
        });
        let (directory, reader, fields, writer) = opened.await.map_err(unavailable)?.map_err(unavailable)?;
        let (requests, receiver) = mpsc::channel(WAITING_REQUESTS);
        tokio::spawn(committer::run(receiver, writer, commit_after));
        let searches = Arc::new(Semaphore::new(SEARCHES_AT_ONCE));
        Ok(Self(Arc::new(Shared { directory, requests, reader, fields, searches })))
    }

    /// Closes the index once all that was asked before is done, so that its directory can be opened again. Searches
    /// go on; every later write fails.
    ///
    /// # Errors
    /// It was closed before, or the last commit failed: then whoever waited for that commit was told too.
    pub async fn close(&self) -> Result<(), SearchError> {
        self.ask(Work::Close).await
    }

    /// Hands over work and waits until it is durable.
    async fn ask(&self, work: Work) -> Result<(), SearchError> {
        let closed = || SearchError("the index is closed".into());
        let answered = async {
            let (done, answer) = oneshot::channel();
            self.0.requests.send(Request { work, done }).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        timeout(WRITE_DEADLINE, answered).await.map_err(unavailable)?
    }
}

impl fmt::Debug for EmbeddedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedIndex").field("directory", &self.0.directory).finish_non_exhaustive()
    }
}

fn unavailable(error: impl fmt::Display) -> SearchError {
    SearchError(error.to_string())
}

#[async_trait]
impl SearchIndex for EmbeddedIndex {
    async fn index(&self, documents: Vec<Document>) -> Result<(), SearchError> {
        if documents.is_empty() {
            return Ok(());
        }
        self.ask(Work::Index(documents)).await
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>, SearchError> {
        let found = async {
            let permit = Arc::clone(&self.0.searches).acquire_owned().await.map_err(unavailable)?;
            let (shared, query) = (Arc::clone(&self.0), query.clone());
            let found = spawn_blocking(move || {
                // Held until the search ends, also when nobody waits for it any more.
                let _permit = permit;
                find::find(&shared.reader.searcher(), &shared.fields, &query)
            });
            found.await.map_err(unavailable)?.map_err(unavailable)
        };
        timeout(SEARCH_DEADLINE, found).await.map_err(unavailable)?
    }

    async fn erase(&self, sender: &UserId) -> Result<(), SearchError> {
        self.ask(Work::Erase(sender.clone())).await
    }
}

#[cfg(test)]
mod tests;
