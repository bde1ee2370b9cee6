//! What the workers count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Label of [`SequencerMetrics::decided`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// `applied`, `duplicate`, `refused`, or `replayed`.
    pub outcome: &'static str,
}

/// Counters of the sequencer.
#[derive(Debug, Clone)]
pub struct SequencerMetrics {
    /// Records by what became of them.
    pub decided: Family<OutcomeLabel, Counter>,
    /// Records that went to the dead letters.
    pub dead_letters: Counter,
    /// Times a partition dropped its state and began again at the committed offset.
    pub rewinds: Counter,
    /// Records a batch.
    pub batch_records: Histogram,
    /// Time to persist a batch, both stages.
    pub persist_seconds: Histogram,
}

impl Default for SequencerMetrics {
    fn default() -> Self {
        Self {
            decided: Family::default(),
            dead_letters: Counter::default(),
            rewinds: Counter::default(),
            batch_records: Histogram::new(exponential_buckets(1.0, 4.0, 7)),
            persist_seconds: Histogram::new(exponential_buckets(0.000_25, 4.0, 8)),
        }
    }
}

impl SequencerMetrics {
    /// Registers the counters, so that `/metrics` shows them.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("chat_sequencer");
        registry.register("records", "Records by what became of them", self.decided.clone());
        registry.register("dead_letters", "Records that cannot be applied", self.dead_letters.clone());
        registry.register("rewinds", "Restarts of a partition at its committed offset", self.rewinds.clone());
        registry.register("batch_records", "Records a batch", self.batch_records.clone());
        registry.register_with_unit(
            "persist",
            "Time to persist a batch, both stages",
            Unit::Seconds,
            self.persist_seconds.clone(),
        );
    }
}
