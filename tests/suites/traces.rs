//! A message seen as a trace: the collector that the manifest names gets the spans of its way, under its own id.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use tests::stack::Setup;
use tokio::net::TcpListener;
use tokio::time::Instant;
use uuid::Uuid;

/// Spans by the name of their service.
type Spans = Arc<Mutex<Vec<(String, Span)>>>;

/// Starts a collector on loopback; returns its address and what it gets.
async fn collector() -> anyhow::Result<(String, Spans)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let spans = Spans::default();
    let shelf = Arc::clone(&spans);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shelf = Arc::clone(&shelf);
            let service = service_fn(move |request| take(request, Arc::clone(&shelf)));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok((address, spans))
}

async fn take(request: Request<Incoming>, spans: Spans) -> anyhow::Result<Response<Full<Bytes>>> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await?.to_bytes();
    for resource in ExportTraceServiceRequest::decode(body)?.resource_spans {
        let attributes = resource.resource.unwrap_or_default().attributes;
        let service = attributes.into_iter().find(|attribute| attribute.key == "service.name").unwrap();
        let service = format!("{:?}", service.value.unwrap().value.unwrap());
        let found = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.lock().unwrap().extend(found.map(|span| (service.clone(), span)));
    }
    Ok(Response::new(Full::default()))
}

fn text(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    format!("{:?}", found.and_then(|attribute| attribute.value.as_ref()))
}

#[tokio::test]
async fn a_message_is_one_trace_from_the_log_to_the_queues_under_its_own_id() -> anyhow::Result<()> {
    let (address, spans) = collector().await?;
    let dir = tempfile::tempdir()?;
    let more = format!("  telemetry: {{otlp: {{endpoint: '{address}/', sampleRatio: 1}}}}\n");
    let stack = Setup::extended(dir.path(), &more)?.with(&["--gateways", "2"]).start().await?;
    let (mut ann, mut bob) = (stack.connect("ann").await?, stack.connect("bob").await?);
    let id = Uuid::now_v7();
    ann.ack("send", json!({ "to": "bob", "message_id": id, "content": "a secret" })).await?;
    bob.push("message").await?;
    // What is left is sent when a stack ends.
    assert!(stack.interrupt().await?.success());

    let spans = spans.lock().unwrap();
    let trace: Vec<&(String, Span)> = spans.iter().filter(|(_, span)| span.trace_id == id.into_bytes()).collect();
    let mut by_name: BTreeMap<&str, Vec<&(String, Span)>> = BTreeMap::new();
    for spanned in &trace {
        by_name.entry(spanned.1.name.as_str()).or_default().push(spanned);
    }
    let [(gateway, append)] = by_name["append"][..] else { panic!("one append, not {trace:?}") };
    let [(worker, sequence)] = by_name["sequence"][..] else { panic!("one sequence, not {trace:?}") };
    let delivered = &by_name["deliver"];
    assert!((1..=2).contains(&delivered.len()), "one a gateway that holds somebody: {trace:?}");
    assert!(gateway.contains("chat-gateway") && worker.contains("chat-workers"), "{gateway} {worker}");
    assert_eq!((append.parent_span_id.len(), &sequence.parent_span_id), (0, &append.span_id));
    for (_, deliver) in delivered {
        assert_eq!(deliver.parent_span_id, sequence.span_id);
        assert!(deliver.end_time_unix_nano >= append.start_time_unix_nano);
        assert!(text(deliver, "chat.recipients").contains("IntValue"), "{deliver:?}");
    }
    assert!(text(append, "chat.outcome").contains("durable") && text(sequence, "chat.outcome").contains("applied"));
    assert!(!format!("{trace:?}").contains("a secret"), "a span quotes nothing");
    assert!(!format!("{trace:?}").contains("\"ann\""), "a span names nobody");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_nothing_but_spans() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    // Nobody listens on port 1.
    let more = "  telemetry: {otlp: {endpoint: 'http://127.0.0.1:1', sampleRatio: 1}}\n";
    let stack = Setup::extended(dir.path(), more)?.start().await?;
    let (mut ann, mut bob) = (stack.connect("ann").await?, stack.connect("bob").await?);
    for _ in 0..5 {
        ann.ack("send", json!({ "to": "bob", "message_id": Uuid::now_v7(), "content": "hello" })).await?;
        bob.push("message").await?;
    }
    let begun = Instant::now();
    assert!(stack.interrupt().await?.success());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    Ok(())
}
