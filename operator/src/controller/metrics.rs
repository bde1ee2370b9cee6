//! What the operator counts.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Label of [`Metrics::passes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// Labels of [`Metrics::writes`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabel {
    kind: &'static str,
    verb: &'static str,
}

/// The counters.
#[derive(Debug)]
pub(super) struct Metrics {
    passes: Family<ResultLabel, Counter>,
    pass_seconds: Histogram,
    writes: Family<WriteLabel, Counter>,
    repairs: Counter,
    /// Clusters that are remembered.
    pub(super) clusters: Gauge,
    /// 1 while this operator holds the lease.
    pub(super) leading: Gauge,
}

impl Metrics {
    /// Makes the counters and registers them, so that `/metrics` shows them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            passes: Family::default(),
            pass_seconds: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
            writes: Family::default(),
            repairs: Counter::default(),
            clusters: Gauge::default(),
            leading: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("chat_operator");
        registry.register("passes", "Passes over a cluster, by result", metrics.passes.clone());
        registry.register_with_unit("pass", "Time of a pass", Unit::Seconds, metrics.pass_seconds.clone());
        registry.register("writes", "Writes to the API server, by kind and verb", metrics.writes.clone());
        registry.register("repairs", "Objects that somebody else had changed or deleted", metrics.repairs.clone());
        registry.register("clusters", "Clusters", metrics.clusters.clone());
        registry.register("leading", "1 while this operator holds the lease", metrics.leading.clone());
        metrics
    }

    /// Counts a pass.
    pub(super) fn passed(&self, result: &'static str, took: Duration) {
        self.passes.get_or_create(&ResultLabel { result }).inc();
        self.pass_seconds.observe(took.as_secs_f64());
    }

    /// Counts a write.
    pub(super) fn wrote(&self, kind: &'static str, verb: &'static str) {
        self.writes.get_or_create(&WriteLabel { kind, verb }).inc();
    }

    /// Counts repairs.
    pub(super) fn repaired(&self, objects: usize) {
        self.repairs.inc_by(u64::try_from(objects).unwrap_or(u64::MAX));
    }
}
