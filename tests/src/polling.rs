//! Clients without a socket: long poll and event stream, as anyone would write them with plain HTTP.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::rest::Rest;

/// How long anything may take to come.
const FRAME: Duration = Duration::from_secs(15);

/// Posts a frame with an id; returns the pushes it caused, its reply last.
pub async fn post_frame(rest: &Rest, kind: &str, d: &Value) -> anyhow::Result<Vec<Value>> {
    let answer = rest.post("/v1/frames", &json!({ "id": 1, "type": kind, "d": d })).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    answer.body["frames"].as_array().cloned().context("no frames")
}

/// A client that polls.
#[derive(Debug)]
pub struct Poller {
    cursor: Option<String>,
}

impl Poller {
    /// Begins from now: takes the `hello`.
    pub async fn begin(rest: &Rest) -> anyhow::Result<Self> {
        let mut poller = Self { cursor: None };
        let frames = poller.poll(rest, 0).await?;
        anyhow::ensure!(frames.len() == 1 && frames[0]["type"] == "hello", "{frames:?}");
        Ok(poller)
    }

    /// Asks once.
    pub async fn poll(&mut self, rest: &Rest, wait: u64) -> anyhow::Result<Vec<Value>> {
        let cursor = self.cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let answer = rest.get(&format!("/v1/events?wait={wait}{cursor}")).await?;
        anyhow::ensure!(answer.status == 200 && answer.body["recovered"] == true, "{answer:?}");
        self.cursor = answer.body["cursor"].as_str().map(str::to_owned);
        answer.body["frames"].as_array().cloned().context("no frames")
    }
}

/// An event of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// The cursor it leads to.
    pub id: Option<String>,
    /// The frame; `None` where the event only moves the cursor.
    pub frame: Option<Value>,
}

/// A client that listens to an event stream.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    text: String,
    events: VecDeque<Event>,
    /// The cursor that the next stream goes on from.
    pub last_event_id: Option<String>,
}

impl EventStream {
    /// Opens a stream that goes on from a cursor.
    pub async fn open(url: &str, token: &str, cursor: Option<&str>) -> anyhow::Result<Self> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let mut request = Request::get(format!("{}/v1/events", url.trim_end_matches('/')))
            .header(header::ACCEPT, "text/event-stream")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(cursor) = cursor {
            request = request.header("last-event-id", cursor);
        }
        let answer =
            timeout(FRAME, client.request(request.body(Full::default())?)).await.context("open a stream")??;
        anyhow::ensure!(answer.status() == 200, "{answer:?}");
        anyhow::ensure!(answer.headers()[header::CONTENT_TYPE] == "text/event-stream", "{answer:?}");
        let last_event_id = cursor.map(str::to_owned);
        Ok(Self { body: answer.into_body(), text: String::new(), events: VecDeque::new(), last_event_id })
    }

    /// Returns the next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                if event.id.is_some() {
                    self.last_event_id.clone_from(&event.id);
                }
                return Ok(Some(event));
            }
            let read = timeout(FRAME + FRAME, self.body.frame()).await.context("wait for an event")?;
            let Some(read) = read.transpose()? else { return Ok(None) };
            if let Some(data) = read.data_ref() {
                self.text.push_str(std::str::from_utf8(data)?);
            }
            while let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                self.events.extend(parse(&event)?);
            }
        }
    }

    /// Returns the next frame of a type.
    pub async fn push(&mut self, kind: &str) -> anyhow::Result<Value> {
        loop {
            let event = self.next().await?.context("the stream ended")?;
            if let Some(frame) = event.frame.filter(|frame| frame["type"] == kind) {
                return Ok(frame["d"].clone());
            }
        }
    }
}

/// Parses one event; a comment is none.
fn parse(text: &str) -> anyhow::Result<Option<Event>> {
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(':') {
            Some(("data", data)) => event.frame = Some(serde_json::from_str(data)?),
            Some(("id", id)) => event.id = Some(id.trim().to_owned()),
            _ => {}
        }
    }
    Ok((event != Event::default()).then_some(event))
}
