//! The search index on Elasticsearch or OpenSearch.
//!
//! # How the contract is kept
//! - **Idempotence**: a document's id is `chat:seq`, its version the event's write timestamp with `external_gte`. A
//!   lower version is refused by the server, which is as good as done.
//! - **Durability**: a bulk is acknowledged when it is in the transaction log of the shards, which the index syncs for
//!   every request. The index is refreshed every second, so what was acknowledged is found soon after.
//! - **Back-pressure**: a call is cut into bulks of at most [`BULK_BYTES`]; what the server has no room for is sent
//!   again after a pause, within the deadline.
//! - **Scopes** filter on the server. Chats that are seen whole go into one `terms` clause, and so do those beyond the
//!   [`RANGES`] first that are seen in part; every hit is checked again here, and a page that lost some is filled up.
//! - **Paging** is `search_after` on (`created_at`, `chat_id`, `seq`): no scripts, no state on the server.
//!
//! The index is read and written through an alias of its own, which [`provision`] makes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::elasticsearch::http::StatusCode;
use ::elasticsearch::http::response::Response;
use ::elasticsearch::indices::IndicesRefreshParts;
use ::elasticsearch::{BulkOperations, BulkParts, Elasticsearch, SearchParts};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::words::Wanted;
use super::{Document, Hit, Query, SearchError, SearchIndex};
use crate::config::ElasticsearchConfig;
use crate::id::UserId;

mod bulk;
mod connect;
mod find;
mod index;

pub use connect::OpenError;
pub use index::{Provision, provision};

/// Most bytes of documents in one bulk.
pub const BULK_BYTES: usize = 4 << 20;

/// Chats seen in part that get a clause of their own in a query.
pub const RANGES: usize = 300;

/// How long a search may take, waiting included.
const SEARCH_DEADLINE: Duration = Duration::from_secs(5);

/// How long a write may take, waiting included. Past it the outcome is unknown; a repetition is harmless.
const WRITE_DEADLINE: Duration = Duration::from_secs(30);

/// Requests under way at once from one process; further ones wait, within their deadline.
const REQUESTS: usize = 16;

/// Documents that an erasure reads at once.
const ERASED_AT_ONCE: usize = 1_000;

/// Pauses before what the server had no room for is sent again.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LAST: Duration = Duration::from_secs(3);

/// Searches by a server. Clones share the connections.
#[derive(Clone)]
pub struct ElasticsearchIndex {
    client: Elasticsearch,
    alias: Arc<str>,
    places: Arc<Semaphore>,
}

impl fmt::Debug for ElasticsearchIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElasticsearchIndex").field("alias", &self.alias).finish_non_exhaustive()
    }
}

impl ElasticsearchIndex {
    /// Makes the way to the index; the server is asked by the first call.
    pub async fn connect(config: &ElasticsearchConfig) -> Result<Self, OpenError> {
        let client = connect::connect(config).await?;
        Ok(Self { client, alias: index::alias(config).into(), places: Arc::new(Semaphore::new(REQUESTS)) })
    }

    /// Connects, and checks that the index is there.
    pub async fn open(config: &ElasticsearchConfig) -> Result<Self, OpenError> {
        let opened = Self::connect(config).await?;
        index::check(&opened.client, &opened.alias).await?;
        Ok(opened)
    }

    /// Sends operations, and again those that the server has no room for. `is_visible` waits for a refresh.
    async fn write(&self, mut operations: Vec<bulk::Operation>, is_visible: bool) -> Result<(), SearchError> {
        let mut pause = PAUSE_FIRST;
        while !operations.is_empty() {
            let mut body = BulkOperations::new();
            for operation in &operations {
                operation.push(&mut body).map_err(unavailable)?;
            }
            let answer = {
                let _place = self.places.acquire().await.map_err(unavailable)?;
                let parts = BulkParts::Index(&self.alias);
                let request = self.client.bulk(parts).refresh(refresh(is_visible)).body(vec![body]);
                request.request_timeout(WRITE_DEADLINE).send().await.map_err(unavailable)?
            };
            if answer.status_code() == StatusCode::TOO_MANY_REQUESTS {
                tracing::debug!(operations = operations.len(), "the index has no room");
            } else {
                operations = bulk::left(operations, body_of(answer).await?)?;
            }
            if !operations.is_empty() {
                sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(PAUSE_LAST);
            }
        }
        Ok(())
    }

    /// Asks once.
    async fn ask<T: for<'de> Deserialize<'de>>(&self, question: Value) -> Result<T, SearchError> {
        let _place = self.places.acquire().await.map_err(unavailable)?;
        let parts = [&*self.alias];
        let request = self.client.search(SearchParts::Index(&parts)).allow_partial_search_results(false).body(question);
        body_of(request.request_timeout(SEARCH_DEADLINE).send().await.map_err(unavailable)?).await
    }

    async fn find(&self, query: &Query) -> Result<Vec<Hit>, SearchError> {
        let wanted = Wanted::of(&query.text);
        let mut hits: Vec<Hit> = Vec::new();
        if wanted.is_empty() || query.scopes.is_empty() || query.limit == 0 {
            return Ok(hits);
        }
        let mut search = find::Search::of(query);
        while hits.len() < query.limit {
            let answer: find::Answer = self.ask(search.question(query.limit - hits.len())).await?;
            let page = search.take(answer)?;
            hits.extend(page.seen.into_iter().map(|seen| seen.hit(&wanted)));
            if page.is_last {
                break;
            }
        }
        hits.truncate(query.limit);
        Ok(hits)
    }

    async fn remove(&self, sender: &UserId) -> Result<(), SearchError> {
        loop {
            // What was acknowledged is found, and so what is left to remove.
            let parts = [&*self.alias];
            let indices = self.client.indices();
            let refresh = indices.refresh(IndicesRefreshParts::Index(&parts));
            let refreshed = refresh.request_timeout(WRITE_DEADLINE).send().await.map_err(unavailable)?;
            body_of::<Value>(refreshed).await?;
            let written: find::Written = self.ask(find::written_by(sender, ERASED_AT_ONCE)).await?;
            let removals = written.removals();
            if removals.is_empty() {
                return Ok(());
            }
            self.write(removals, true).await?;
        }
    }
}

fn refresh(is_visible: bool) -> ::elasticsearch::params::Refresh {
    use ::elasticsearch::params::Refresh;
    if is_visible { Refresh::True } else { Refresh::False }
}

/// Reads an answer, or the reason that a refusal gives.
async fn body_of<T: for<'de> Deserialize<'de>>(answer: Response) -> Result<T, SearchError> {
    let status = answer.status_code();
    if status.is_success() {
        return answer.json().await.map_err(unavailable);
    }
    let reason = answer.exception().await.ok().flatten();
    let reason = reason.as_ref().and_then(|exception| exception.error().reason()).unwrap_or("no reason given");
    Err(SearchError(format!("{status}: {reason}")))
}

fn unavailable(error: impl fmt::Display) -> SearchError {
    SearchError(error.to_string())
}

#[async_trait]
impl SearchIndex for ElasticsearchIndex {
    async fn index(&self, documents: Vec<Document>) -> Result<(), SearchError> {
        let written = async {
            for bulk in bulk::cut(documents, BULK_BYTES) {
                self.write(bulk, false).await?;
            }
            Ok(())
        };
        timeout(WRITE_DEADLINE, written).await.map_err(unavailable)?
    }

    async fn search(&self, query: &Query) -> Result<Vec<Hit>, SearchError> {
        // On the heap: the client's future is large.
        timeout(SEARCH_DEADLINE, Box::pin(self.find(query))).await.map_err(unavailable)?
    }

    async fn erase(&self, sender: &UserId) -> Result<(), SearchError> {
        timeout(WRITE_DEADLINE, Box::pin(self.remove(sender))).await.map_err(unavailable)?
    }
}
