//! The edge of ChatCluster: WebSocket sessions and REST in front, the log behind, delivery in order.
//!
//! ```text
//!  client ──ws──► session ──► publish ──► message log ─ ─ ─► sequencer
//!                   ▲                                            │
//!                   └── registry ◄── dispatcher ◄── relay ◄──────┘      what was missed: message store
//! ```
//! A gateway holds connections and nothing else: everything it knows can be read again, so it may go at any time.
//! [`Gateway::start`] takes the configuration and the ports and gives a [`Running`] gateway; the engines behind the
//! ports are the caller's choice.

mod admin;
mod admission;
mod auth;
mod blocks;
mod dispatch;
mod drain;
mod erasure;
mod gateway;
mod http;
mod membership;
mod metrics;
mod outcomes;
mod poll;
mod presence;
mod publish;
mod rate;
mod receipts;
mod registry;
mod revocation;
mod rounds;
mod routes;
mod search;
mod session;
mod state;
mod sweep;
mod typing;
mod view;

pub use admin::{Formats, Status, waiting};
pub use auth::{ConfigError, FetchError, SetError};
pub use drain::{DrainRequest, DrainStatus};
pub use gateway::{Gateway, Handle, Running, StartError};
pub use state::Ports;
