//! The way of a local stack's spans to the collector that the manifest names.

use std::sync::Arc;

use anyhow::Context as _;
use chat_core::config::OtlpConfig;
use chat_core::trace::Tracer;
use chat_core::trace::otlp::OtlpSink;

/// Whose spans: a collector shows them as services of their own, as in a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) enum Traced {
    Gateways,
    Workers,
}

/// The ways; none where the manifest names no collector.
#[derive(Debug, Default)]
pub(super) struct Traces {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    gateways: Arc<OtlpSink>,
    workers: Arc<OtlpSink>,
    sample_ratio: f64,
}

impl Traces {
    pub(super) async fn open(config: Option<OtlpConfig>) -> anyhow::Result<Self> {
        let Some(config) = config else { return Ok(Self::default()) };
        let opened = tokio::task::spawn_blocking(move || {
            let open = |service| OtlpSink::open(&config, service, "local".to_owned()).map(Arc::new);
            let (gateways, workers) = (open("chat-gateway")?, open("chat-workers")?);
            anyhow::Ok(Open { gateways, workers, sample_ratio: config.sample_ratio })
        });
        let open = opened.await.context("opening the way to the collector panicked")?;
        Ok(Self { open: Some(open.context("spec.telemetry.otlp cannot be used")?) })
    }

    pub(super) fn tracer(&self, traced: Traced) -> Tracer {
        let Some(open) = &self.open else { return Tracer::off() };
        let sink = match traced {
            Traced::Gateways => Arc::clone(&open.gateways),
            Traced::Workers => Arc::clone(&open.workers),
        };
        Tracer::new(sink, open.sample_ratio)
    }

    /// Sends the last spans.
    pub(super) async fn close(self) {
        let Some(open) = self.open else { return };
        let closed = tokio::task::spawn_blocking(move || {
            open.gateways.close();
            open.workers.close();
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "closing the way to the collector panicked");
        }
    }
}
