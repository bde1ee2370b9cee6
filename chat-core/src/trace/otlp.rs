//! Spans to a collector of OpenTelemetry, by OTLP over HTTP.
//!
//! The library's batch processor does the work on a thread of its own: it keeps at most 2 048 spans, sends at most 512
//! at once and at least every 5 s, and drops what does not fit. A collector that does not answer costs spans, nothing
//! else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};

use super::{Span, SpanSink, Stage};
use crate::clock::wall_time;
use crate::config::OtlpConfig;

/// How long one batch may take to be sent.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);

/// How long the last spans may take to leave when the process ends.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no way to a collector.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The file of headers.
    #[error("read the collector's headers from {path}")]
    Headers {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address, or a header.
    #[error("the collector's address or headers are not usable")]
    Exporter(#[from] ExporterBuildError),
}

/// The way to a collector.
#[derive(Debug)]
pub struct OtlpSink {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    ids: RandomIdGenerator,
}

impl OtlpSink {
    /// Opens the way for a service, `chat-gateway` or `chat-workers`, and one instance of it. Nothing is sent yet, so
    /// a collector that is not there is no error. Blocks on files and threads.
    pub fn open(config: &OtlpConfig, service: &'static str, instance: String) -> Result<Self, OtlpError> {
        let headers = config.headers_file.as_deref().map(headers).transpose()?.unwrap_or_default();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", config.endpoint.trim_end_matches('/')))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(EXPORT_WITHIN)
            .with_headers(headers)
            .build()?;
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.namespace", "chatcluster"),
                KeyValue::new("service.name", service),
                KeyValue::new("service.instance.id", instance),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        opentelemetry_sdk::trace::SpanExporter::set_resource(&mut exporter, &resource);
        Ok(Self {
            processor: BatchSpanProcessor::builder(exporter).build(),
            scope: InstrumentationScope::builder("chatcluster").build(),
            ids: RandomIdGenerator::default(),
        })
    }

    /// Sends what is left. Blocks, 5 s at most.
    pub fn close(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(CLOSE_WITHIN) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

impl SpanSink for OtlpSink {
    fn record(&self, span: Span) {
        let end_time = wall_time();
        let id = span.id().map_or_else(|| self.ids.new_span_id(), |id| SpanId::from_bytes(id.to_be_bytes()));
        let parent = span.parent().map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.to_be_bytes()));
        let trace = TraceId::from_bytes(span.of.into_bytes());
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: span.parent().is_some(),
            span_kind: match span.stage {
                Stage::Append => SpanKind::Producer,
                Stage::Sequence | Stage::Deliver => SpanKind::Consumer,
            },
            name: Cow::Borrowed(span.stage.name()),
            start_time: end_time.checked_sub(span.took).unwrap_or(end_time),
            end_time,
            attributes: attributes(&span),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.position.map_or_else(|| Status::error(span.outcome), |_| Status::Unset),
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// Names nobody and quotes nothing.
fn attributes(span: &Span) -> Vec<KeyValue> {
    let mut attributes =
        vec![KeyValue::new("chat.id", span.chat_id.to_string()), KeyValue::new("chat.outcome", span.outcome)];
    attributes.extend(span.position.map(|position| KeyValue::new("chat.position", position.to_string())));
    let recipients = span.recipients.and_then(|count| i64::try_from(count).ok());
    attributes.extend(recipients.map(|count| KeyValue::new("chat.recipients", count)));
    attributes
}

fn headers(path: &Path) -> Result<HashMap<String, String>, OtlpError> {
    let failed = |source| OtlpError::Headers { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs = lines.map(|line| {
        let (name, value) = line.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    });
    // The line itself stays out of the error: it may be a secret.
    let wrong = || failed(io::Error::new(io::ErrorKind::InvalidData, "a line is not `name=value`"));
    pairs.collect::<Option<_>>().ok_or_else(wrong)
}
