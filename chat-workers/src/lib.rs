//! The workers of ChatCluster: they turn the log into what people see.
//!
//! The [`Sequencer`] owns partitions of the `messages` log, gives each message its place in its chat, keeps it, and
//! tells the gateways. All other roles read what gateways and sequencers wrote, and can begin again at any point.
//! [`Workers`] runs those that a process is to run.

pub mod admin;
mod analytics;
mod backoff;
mod consume;
#[cfg(test)]
mod fixture;
mod index;
pub mod metrics;
mod notify;
mod presence_sweep;
mod receipts;
pub mod redrive;
pub mod sequencer;
pub mod status;
pub mod workers;

pub use consume::ConsumeConfig;
pub use notify::NotifyConfig;
pub use receipts::ReceiptsConfig;
pub use sequencer::{Ports, Sequencer, SequencerConfig};
pub use workers::{Role, RoleStatus, Workers, WorkersConfig, WorkersError, WorkersPorts, WorkersStatus};
