//! The indexer: what was said becomes findable.
//!
//! A document's version is its event's write timestamp, so a replay, a late owner or a late edit changes nothing. An
//! offset is committed when the index acknowledged everything before it; an index that is away makes the partition
//! wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat_core::event::Event;
use chat_core::frame::Message;
use chat_core::id::{ChatId, Seq};
use chat_core::message_store::{MessageStore, Order, SeqRange, StoreError};
use chat_core::search::{Document, SearchIndex};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::consume::{Batch, Failure, Handler};

mod plan;

use plan::{Plan, plan};

/// Reads that are on their way at once.
const CONCURRENT_READS: usize = 32;

/// Content that one call to the index carries at most; a single message may exceed it.
const CALL_BYTES: usize = 4 << 20;

/// What the indexer works with.
#[derive(Debug, Clone)]
pub(crate) struct IndexerPorts {
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) search: Arc<dyn SearchIndex>,
}

/// Feeds the search index.
#[derive(Debug)]
pub(crate) struct Indexer {
    ports: IndexerPorts,
    next: BTreeMap<u32, u64>,
}

impl Indexer {
    pub(crate) fn new(ports: IndexerPorts) -> Self {
        Self { ports, next: BTreeMap::new() }
    }

    /// Completes edits and deletes of messages that are not in the batch. One whose message is no longer kept is left
    /// out: the document went with it.
    async fn complete(&self, plan: Plan) -> Result<Vec<Document>, StoreError> {
        let Plan { documents, changes } = plan;
        let reads = changes.into_iter().map(|((chat_id, seq), change)| async move {
            let message = self.message(chat_id, seq).await?;
            Ok::<_, StoreError>(message.map(|message| change.document(&message)))
        });
        let changed: Vec<_> = stream::iter(reads).buffer_unordered(CONCURRENT_READS).try_collect().await?;
        Ok(documents.into_values().chain(changed.into_iter().flatten()).collect())
    }

    async fn message(&self, chat_id: ChatId, seq: Seq) -> Result<Option<Message>, StoreError> {
        let range = SeqRange { after: seq.saturating_sub(1), upto: seq };
        let found = self.ports.store.messages(chat_id, range, Order::OldestFirst, 1).await?;
        Ok(found.into_iter().next().map(|stored| stored.message))
    }
}

impl Handler for Indexer {
    type Record = Event;

    async fn begin(&mut self, partition: u32, committed: u64) -> Result<(), Failure> {
        self.next.insert(partition, committed);
        Ok(())
    }

    async fn take(&mut self, partition: u32, batch: Batch<Event>) -> Result<(), Failure> {
        let plan = plan(batch.records.into_iter().map(|received| received.record));
        for documents in in_calls(self.complete(plan).await?) {
            self.ports.search.index(documents).await?;
        }
        self.next.insert(partition, batch.next);
        Ok(())
    }

    fn done(&self, partition: u32) -> u64 {
        self.next.get(&partition).copied().unwrap_or_default()
    }

    fn end(&mut self, partition: u32) {
        self.next.remove(&partition);
    }
}

/// Splits documents into calls of bounded size.
fn in_calls(documents: Vec<Document>) -> Vec<Vec<Document>> {
    let mut calls: Vec<Vec<Document>> = Vec::new();
    let mut bytes = 0;
    for document in documents {
        bytes += document.content.len();
        if let Some(call) = calls.last_mut().filter(|_| bytes <= CALL_BYTES) {
            call.push(document);
        } else {
            bytes = document.content.len();
            calls.push(vec![document]);
        }
    }
    calls
}

#[cfg(test)]
mod tests;
