//! A WebSocket session that speaks frames as JSON values.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long a frame may take to come.
const FRAME: Duration = Duration::from_secs(15);

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The close code; `None` where the connection just broke.
    pub code: Option<u16>,
    /// The close reason.
    pub reason: String,
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the session was closed: {:?} {}", self.code, self.reason)
    }
}

impl std::error::Error for Closed {}

/// A frame as it went over a socket.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// The client sent it.
    Sent(Value),
    /// The client sent it as it is, whatever it is.
    SentWrong(String),
    /// The server sent it.
    Received(Value),
}

/// A session.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: VecDeque<Value>,
    next_id: u64,
    record: Option<Vec<Recorded>>,
    /// The `d` of its `hello`.
    pub hello: Value,
}

impl Socket {
    /// Connects with a token in the header and takes the `hello`.
    pub async fn connect(url: &str, token: &str) -> anyhow::Result<Self> {
        let mut socket = Self::open(url, &[("authorization", &format!("Bearer {token}"))]).await?;
        socket.hello = socket.push("hello").await?;
        Ok(socket)
    }

    /// Like [`connect`](Self::connect), and remembers each frame; see [`recorded`](Self::recorded).
    pub async fn record(url: &str, token: &str) -> anyhow::Result<Self> {
        let mut socket = Self::open(url, &[("authorization", &format!("Bearer {token}"))]).await?.recording();
        socket.hello = socket.push("hello").await?;
        Ok(socket)
    }

    /// Opens a socket with these headers; nothing is awaited.
    pub async fn open(url: &str, headers: &[(&'static str, &str)]) -> anyhow::Result<Self> {
        let url = format!("{}/v1/ws", url.replacen("http", "ws", 1).trim_end_matches('/'));
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse()?);
        }
        let (stream, _) = timeout(FRAME, connect_async(request)).await.context("connect")??;
        Ok(Self { stream, waiting: VecDeque::new(), next_id: 1, record: None, hello: Value::Null })
    }

    /// Remembers each frame from here on; see [`recorded`](Self::recorded).
    #[must_use]
    pub fn recording(self) -> Self {
        Self { record: Some(Vec::new()), ..self }
    }

    /// Sends text as it is.
    pub async fn send_text(&mut self, text: &str) -> anyhow::Result<()> {
        self.note(|| Recorded::SentWrong(text.to_owned()));
        Ok(self.stream.send(Message::text(text)).await?)
    }

    /// Sends a frame, with or without an id.
    pub async fn send_frame(&mut self, frame: &Value) -> anyhow::Result<()> {
        self.note(|| Recorded::Sent(frame.clone()));
        Ok(self.stream.send(Message::text(frame.to_string())).await?)
    }

    fn note(&mut self, recorded: impl FnOnce() -> Recorded) {
        if let Some(record) = &mut self.record {
            record.push(recorded());
        }
    }

    /// Returns every frame so far, where the socket remembers them, and begins anew.
    pub fn recorded(&mut self) -> Vec<Recorded> {
        self.record.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Sends any WebSocket message.
    pub async fn send_raw(&mut self, message: Message) -> anyhow::Result<()> {
        Ok(self.stream.send(message).await?)
    }

    /// Sends a frame with an id, without waiting for its reply; returns the id.
    pub async fn ask(&mut self, kind: &str, d: Value) -> anyhow::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        self.send_frame(&json!({ "id": id, "type": kind, "d": d })).await?;
        Ok(id)
    }

    /// Sends a frame and returns its reply; pushes that come before it wait.
    pub async fn request(&mut self, kind: &str, d: Value) -> anyhow::Result<Value> {
        let id = self.ask(kind, d).await?;
        self.reply(id).await
    }

    /// Returns the reply to a frame.
    pub async fn reply(&mut self, id: u64) -> anyhow::Result<Value> {
        self.take(&format!("the reply to {id}"), |frame| frame["id"] == id).await
    }

    /// Sends a frame and returns the `d` of its `ack`.
    ///
    /// # Errors
    /// When the reply is another one.
    pub async fn ack(&mut self, kind: &str, d: Value) -> anyhow::Result<Value> {
        let reply = self.request(kind, d).await?;
        anyhow::ensure!(reply["type"] == "ack", "{kind} was answered with {reply}");
        Ok(reply["d"].clone())
    }

    /// Returns the `d` of the next push of a type; others wait.
    pub async fn push(&mut self, kind: &str) -> anyhow::Result<Value> {
        let frame = self.take(kind, |frame| frame["type"] == kind && frame.get("id").is_none()).await?;
        Ok(frame["d"].clone())
    }

    /// Returns the next frame that fits; others wait in order.
    async fn take(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        if let Some(at) = self.waiting.iter().position(&fits)
            && let Some(frame) = self.waiting.remove(at)
        {
            return Ok(frame);
        }
        let found = timeout(FRAME, async {
            loop {
                match self.next().await? {
                    Ok(frame) if fits(&frame) => return Ok::<Value, anyhow::Error>(frame),
                    Ok(frame) => self.waiting.push_back(frame),
                    Err(closed) => return Err(closed.into()),
                }
            }
        });
        match found.await {
            Ok(found) => found.with_context(|| format!("wait for {what}")),
            Err(_) => bail!("{what} did not come; what came: {:?}", self.waiting),
        }
    }

    /// Returns the next frame, or how the session ended.
    async fn next(&mut self) -> anyhow::Result<Result<Value, Closed>> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text)?;
                    self.note(|| Recorded::Received(frame.clone()));
                    return Ok(Ok(frame));
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) =
                        frame.map(|frame| (u16::from(frame.code), frame.reason.to_string())).unwrap_or_default();
                    return Ok(Err(Closed { code: (code != 0).then_some(code), reason }));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(Err(Closed { code: None, reason: String::new() })),
            }
        }
    }

    /// Reads on until the session is closed and returns how; frames on the way wait.
    pub async fn closed(&mut self) -> anyhow::Result<Closed> {
        self.closed_within(FRAME).await
    }

    /// Like [`closed`](Self::closed), with a deadline of its own.
    pub async fn closed_within(&mut self, deadline: Duration) -> anyhow::Result<Closed> {
        let closed = timeout(deadline, async {
            loop {
                match self.next().await? {
                    Ok(frame) => self.waiting.push_back(frame),
                    Err(closed) => return Ok(closed),
                }
            }
        });
        closed.await.context("the session was not closed")?
    }

    /// Returns every frame that came and was not asked for yet, those on their way included: a `ping` marks the end.
    pub async fn drain(&mut self) -> anyhow::Result<Vec<Value>> {
        self.request("ping", json!({})).await?;
        Ok(self.waiting.drain(..).collect())
    }

    /// Closes the session as a client does.
    pub async fn close(mut self) -> anyhow::Result<()> {
        Ok(self.stream.close(None).await?)
    }
}
