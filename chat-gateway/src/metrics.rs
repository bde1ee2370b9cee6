//! What a gateway counts. The registry is a value of the gateway's, so that several in one process stay apart.

use std::sync::atomic::AtomicU64;

use chat_core::codes::{CloseCode, ErrorCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The label of a counter by code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Code {
    code: String,
}

/// The metrics of one gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections: Gauge,
    pub(crate) queue_bytes: Gauge,
    pub(crate) sends: Counter,
    pub(crate) deliveries: Counter<u64, AtomicU64>,
    pub(crate) gaps: Counter,
    pub(crate) fills: Counter,
    pub(crate) syncs: Counter,
    pub(crate) append_seconds: Histogram,
    closes: Family<Code, Counter>,
    errors: Family<Code, Counter>,
}

impl Metrics {
    /// Makes the metrics, all zero.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("chat_gateway"),
            connections: Gauge::default(),
            queue_bytes: Gauge::default(),
            sends: Counter::default(),
            deliveries: Counter::default(),
            gaps: Counter::default(),
            fills: Counter::default(),
            syncs: Counter::default(),
            append_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            closes: Family::default(),
            errors: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "connections",
            "WebSocket sessions, those that authenticate included",
            metrics.connections.clone(),
        );
        registry.register("queue_bytes", "Bytes in outbound queues", metrics.queue_bytes.clone());
        registry.register("sends", "Records appended to the log", metrics.sends.clone());
        registry.register("deliveries", "Frames queued to sessions from the relay", metrics.deliveries.clone());
        registry.register("gaps", "Gaps found in the relay's numbering", metrics.gaps.clone());
        registry.register("fills", "Reads of the store for sessions that were behind", metrics.fills.clone());
        registry.register("syncs", "Syncs answered", metrics.syncs.clone());
        registry.register("append_seconds", "Time until an append was durable", metrics.append_seconds.clone());
        registry.register("closes", "Sessions closed by the server, by close code", metrics.closes.clone());
        registry.register("errors", "Requests that failed, by error code", metrics.errors.clone());
        metrics
    }

    /// Counts a failed request.
    pub(crate) fn error(&self, code: ErrorCode) {
        self.errors.get_or_create(&Code { code: code.as_str().to_owned() }).inc();
    }

    /// Counts a session closed by the server.
    pub(crate) fn close(&self, code: CloseCode) {
        self.closes.get_or_create(&Code { code: code.as_str().to_owned() }).inc();
    }

    /// Renders all metrics in the `OpenMetrics` text format.
    pub(crate) fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_rendered_by_code() {
        let metrics = Metrics::new();
        metrics.close(CloseCode::SlowConsumer);
        metrics.error(ErrorCode::RateLimited);
        let text = metrics.render().unwrap();
        assert!(text.contains("chat_gateway_closes_total{code=\"slow_consumer\"} 1"), "{text}");
        assert!(text.contains("chat_gateway_errors_total{code=\"rate_limited\"} 1"), "{text}");
    }
}
