//! The way of a process's spans to the collector that the settings name.

use std::sync::Arc;

use super::Failure;
use crate::config::OtlpConfig;
use crate::trace::Tracer;
use crate::trace::otlp::OtlpSink;

/// The way; none where the settings name no collector.
#[derive(Debug, Default)]
pub struct Traces(Option<(Arc<OtlpSink>, f64)>);

impl Traces {
    /// Opens the way. `instance` tells this process from others of the service.
    pub async fn open(config: Option<OtlpConfig>, service: &'static str, instance: String) -> Result<Self, Failure> {
        let Some(config) = config else { return Ok(Self::default()) };
        let opened = tokio::task::spawn_blocking(move || {
            OtlpSink::open(&config, service, instance).map(|sink| (Arc::new(sink), config.sample_ratio))
        });
        let open = opened.await.map_err(Failure::of)?;
        open.map(|open| Self(Some(open))).map_err(|error| Failure::Settings(format!("otlp: {error}")))
    }

    /// Returns what follows records.
    pub fn tracer(&self) -> Tracer {
        self.0.as_ref().map_or_else(Tracer::off, |(sink, ratio)| Tracer::new(Arc::clone(sink) as _, *ratio))
    }

    /// Sends the last spans.
    pub async fn close(self) {
        let Some((sink, _)) = self.0 else { return };
        if let Err(error) = tokio::task::spawn_blocking(move || sink.close()).await {
            tracing::error!(%error, "close the way to the collector");
        }
    }
}
