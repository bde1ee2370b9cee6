//! What `chat-gateway` and `chat-workers` have in common: settings, log, the engines behind the ports.
//!
//! ```text
//!  file + environment ──► load ──► ProcessConfig ──► engines, one by one, until each answers ──► ports
//!                          │ path and reason                    │ every attempt
//!                          ▼                                    ▼
//!                       exit 2                               Health: /status, /readyz
//! ```

mod check;
mod command;
mod engines;
mod load;
mod log;
mod signal;
mod traces;

pub use check::check;
pub use command::{Failure, block_on, dump, settings};
pub use engines::{Engines, open, watch};
pub use load::{LoadError, load};
pub use log::start as start_log;
pub use signal::End;
pub use traces::Traces;
