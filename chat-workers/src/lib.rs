//! The workers of ChatCluster: they turn the log into what people see.
//!
//! The [`Sequencer`] owns partitions of the `messages` log, gives each message its place in its chat, keeps it, and
//! tells the gateways.

pub mod metrics;
pub mod sequencer;

pub use sequencer::{Ports, Sequencer, SequencerConfig};
