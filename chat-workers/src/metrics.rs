//! What the workers count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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

/// Label of [`RoleMetrics::lag`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabel {
    /// The partition.
    pub partition: u32,
}

/// Counters that every role behind the sequencer has.
#[derive(Debug, Clone)]
pub struct RoleMetrics {
    /// Records taken.
    pub records: Counter,
    /// Records that could not be read.
    pub unreadable: Counter,
    /// Times a partition backed off.
    pub failures: Counter,
    /// Records not yet committed.
    pub lag: Family<PartitionLabel, Gauge>,
    /// Time to take a batch.
    pub take_seconds: Histogram,
}

impl Default for RoleMetrics {
    fn default() -> Self {
        Self {
            records: Counter::default(),
            unreadable: Counter::default(),
            failures: Counter::default(),
            lag: Family::default(),
            take_seconds: Histogram::new(exponential_buckets(0.000_25, 4.0, 8)),
        }
    }
}

impl RoleMetrics {
    /// Registers the counters of one role, so that `/metrics` shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("records", "Records taken", self.records.clone());
        registry.register("unreadable", "Records that could not be read", self.unreadable.clone());
        registry.register("failures", "Times a partition backed off", self.failures.clone());
        registry.register("lag", "Records not yet committed", self.lag.clone());
        let take = self.take_seconds.clone();
        registry.register_with_unit("take", "Time to take a batch", Unit::Seconds, take);
    }

    pub(crate) fn set_lag(&self, partition: u32, lag: u64) {
        self.lag.get_or_create(&PartitionLabel { partition }).set(i64::try_from(lag).unwrap_or(i64::MAX));
    }
}

/// Label of [`ReceiptsMetrics::frames`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FrameLabel {
    /// `receipt` or `receipt.summary`.
    pub frame: &'static str,
}

/// Counters of the receipts worker.
#[derive(Debug, Clone, Default)]
pub struct ReceiptsMetrics {
    /// Frames relayed.
    pub frames: Family<FrameLabel, Counter>,
    /// Cursors that were cut to what their user may see.
    pub cut: Counter,
    /// Cursors of users who never were members.
    pub strangers: Counter,
    /// Users whose mark of presence ran out.
    pub expired: Counter,
}

impl ReceiptsMetrics {
    /// Registers the counters, so that `/metrics` shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("frames", "Frames relayed", self.frames.clone());
        registry.register("cut_cursors", "Cursors cut to what their user may see", self.cut.clone());
        registry.register("strangers", "Cursors of users who never were members", self.strangers.clone());
        registry.register("presence_expired", "Users whose presence ran out", self.expired.clone());
    }
}

/// Label of [`PushMetrics::outcomes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// What became of the push.
    pub outcome: &'static str,
}

/// Counters of the push worker.
#[derive(Debug, Clone)]
pub struct PushMetrics {
    /// Pushes by what became of them.
    pub outcomes: Family<ResultLabel, Counter>,
    /// Time until the vendor answered, one attempt.
    pub deliver_seconds: Histogram,
}

impl Default for PushMetrics {
    fn default() -> Self {
        Self { outcomes: Family::default(), deliver_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 8)) }
    }
}

impl PushMetrics {
    /// Registers the counters, so that `/metrics` shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("outcomes", "Pushes by what became of them", self.outcomes.clone());
        let deliver = self.deliver_seconds.clone();
        registry.register_with_unit("deliver", "Time until the vendor answered", Unit::Seconds, deliver);
    }
}
