//! The shared words and ports of ChatCluster.
//!
//! The words are the types that cross a process boundary: ids, frames, log records, sequenced events, error and close
//! codes, configuration. The ports are the traits behind which an engine stands: message log, message store, relay,
//! presence, search, push, store of users, poll positions, spans. Each port is a folder with its written contract, one
//! contract suite and one file an engine.
//! Nothing here knows HTTP, Kubernetes or a terminal.

#[cfg(feature = "cassandra")]
pub mod cassandra;
pub mod clock;
pub mod codes;
pub mod config;
pub mod embedded;
pub mod event;
pub mod format;
pub mod frame;
pub mod health;
pub mod id;
pub mod message_log;
pub mod message_store;
pub mod poll_positions;
pub mod presence;
#[cfg(feature = "process")]
pub mod process;
pub mod push;
pub mod receipt;
pub mod record;
#[cfg(feature = "redis")]
pub mod redis;
pub mod relay;
pub mod search;
pub mod trace;
pub mod user_store;
