//! Port: full-text search over messages, inside the chats and ranges that the caller may see.
//!
//! # Contract
//! - `index` is idempotent: a document's id is (chat, seq) and its version the event's write timestamp; a version at
//!   or below the one indexed changes nothing. A delete is an empty document that no query finds.
//! - What `index` acknowledged is found within [`VISIBLE_WITHIN_MS`].
//! - `search` MUST return only hits inside the given [`Scope`]s, newest first by (`created_at`, chat, seq). All words
//!   of the query must match. Paging by [`After`] sees every document that was there throughout exactly once.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::id::{ChatId, MessageId, Seq, UserId};

#[cfg(any(test, feature = "contract"))]
pub mod contract;
#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
#[cfg(feature = "search")]
pub mod embedded;
pub mod words;

/// How soon an indexed document is found.
pub const VISIBLE_WITHIN_MS: u64 = 5_000;

/// A message as the index sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The chat.
    pub chat_id: ChatId,
    /// The message.
    pub seq: Seq,
    /// The sender's id for it.
    pub message_id: MessageId,
    /// Who wrote it.
    pub sender: UserId,
    /// What is searched; empty for a deleted message.
    pub content: String,
    /// When it was written.
    pub created_at: Time,
    /// Write timestamp of the event it came from.
    pub version: u64,
}

/// A chat, and the part of it, that the caller may see: `after < seq <= upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// The chat.
    pub chat_id: ChatId,
    /// Exclusive lower end.
    pub after: Seq,
    /// Inclusive upper end; absent where the caller sees all to come.
    pub upto: Option<Seq>,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Words, all of which must match.
    pub text: String,
    /// Where.
    pub scopes: Vec<Scope>,
    /// Only of this sender.
    pub sender: Option<UserId>,
    /// Only at or after.
    pub from: Option<Time>,
    /// Only before.
    pub to: Option<Time>,
    /// Only older than this hit.
    pub after: Option<After>,
    /// At most so many.
    pub limit: usize,
}

/// The place of a hit in the order of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The hit's time.
    pub created_at: Time,
    /// The hit's chat.
    pub chat_id: ChatId,
    /// The hit's seq.
    pub seq: Seq,
}

/// One hit. The caller reads the message itself, which may have changed since, and makes the highlights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Where it is.
    pub place: After,
    /// Ranges of matching words in the indexed content, in UTF-16 units, ascending, not overlapping.
    pub highlights: Vec<(u64, u64)>,
}

/// The index did not answer in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("search is unavailable: {0}")]
pub struct SearchError(pub String);

/// The search index.
#[async_trait]
pub trait SearchIndex: Send + Sync + fmt::Debug {
    /// Indexes documents.
    async fn index(&self, documents: Vec<Document>) -> Result<(), SearchError>;

    /// Finds documents.
    async fn search(&self, query: &Query) -> Result<Vec<Hit>, SearchError>;

    /// Removes every document of a sender (erasure).
    async fn erase(&self, sender: &UserId) -> Result<(), SearchError>;
}
