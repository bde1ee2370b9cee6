//! The connection of a session, whatever carries its frames: a WebSocket, or requests that the server holds.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use self::held::Held;
use super::Shared;

mod held;

/// Time for the TCP connection and the upgrade.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Time for a write; the server reads on unless it is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(15);

/// Shortest back-off after 4008 `flooding`.
const FLOODING_BACK_OFF: Duration = Duration::from_secs(5);

/// Most memory per connection for what is read at once.
const READ_BUFFER: usize = 8 * 1024;

/// What carries the frames of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Transport {
    /// A WebSocket.
    #[default]
    Ws,
    /// An event stream, and POST for what is sent.
    Sse,
    /// Long polls, and POST for what is sent.
    Poll,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The run is over.
    Finished,
    /// The server said so: do not come back.
    Stop(String),
    /// It broke: come back after a back-off of at least this.
    Broken { reason: String, floor: Duration },
    /// The server asked to move; the connection stays until the next one is synced.
    Move,
}

impl End {
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self::Broken { reason: reason.into(), floor: Duration::ZERO }
    }

    /// Says what a close code asks for (protocol v1, "Close codes").
    fn closed(frame: Option<CloseFrame>) -> Self {
        let Some(frame) = frame else { return Self::broken("closed without a code") };
        let code = u16::from(frame.code);
        let reason = format!("closed with {code} {:.40}", frame.reason.as_str());
        match code {
            4500..=4999 | 1002 | 1003 | 1007..=1010 => Self::Stop(reason),
            4008 => Self::Broken { reason, floor: FLOODING_BACK_OFF },
            _ => Self::broken(reason),
        }
    }

    fn failed(error: &Error) -> Self {
        match error {
            Error::Io(error) => Self::broken(format!("connection: {}", error.kind())),
            Error::Http(response) => Self::broken(format!("handshake: HTTP {}", response.status().as_u16())),
            error => Self::broken(format!("{error:.80}")),
        }
    }
}

/// What came over a connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// A frame.
    Frame(Utf8Bytes),
    /// A request or stream broke, and goes on from its cursor.
    Resumed(String),
    /// A sign of life.
    Nothing,
}

/// A connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// A WebSocket.
    Socket(Box<WebSocketStream<TcpStream>>),
    /// Requests that the server holds.
    Held(Held),
}

impl Connection {
    /// Opens a connection of `user`.
    pub(super) async fn open(shared: &Shared, user: u32) -> Result<Self, End> {
        let token = shared.target.token(&shared.run.plan.users[user as usize]);
        let token = token.map_err(|error| End::Stop(format!("{error:#}")))?;
        let opened = timeout(CONNECT_WITHIN, async {
            match shared.run.transport {
                Transport::Ws => socket(shared, &token).await.map(|socket| Self::Socket(Box::new(socket))),
                Transport::Sse => Ok(Self::Held(Held::stream(shared, token))),
                Transport::Poll => Ok(Self::Held(Held::poll(shared, token))),
            }
        });
        opened.await.unwrap_or_else(|_| Err(End::broken("no connection in time")))
    }

    /// Waits for what comes next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Heard, End> {
        match self {
            Self::Socket(socket) => match socket.next().await {
                Some(Ok(Message::Text(text))) => Ok(Heard::Frame(text)),
                Some(Ok(Message::Close(frame))) => Err(End::closed(frame)),
                Some(Ok(_)) => Ok(Heard::Nothing),
                Some(Err(error)) => Err(End::failed(&error)),
                None => Err(End::broken("ended")),
            },
            Self::Held(held) => held.next().await,
        }
    }

    /// Writes frames, in order.
    pub(super) async fn write(&mut self, frames: Vec<String>) -> Result<(), End> {
        let written = timeout(WRITE_WITHIN, async {
            match self {
                Self::Socket(socket) => {
                    for frame in frames {
                        socket.feed(Message::text(frame)).await.map_err(|error| End::failed(&error))?;
                    }
                    socket.flush().await.map_err(|error| End::failed(&error))
                }
                Self::Held(held) => held.write(frames).await,
            }
        });
        written.await.unwrap_or_else(|_| Err(End::broken("no write in time")))
    }

    /// Closes a connection on our side; the peer is not waited for long.
    pub(super) async fn close(self) {
        let Self::Socket(mut socket) = self else { return };
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if timeout(Duration::from_secs(1), (*socket).close(Some(frame))).await.is_err() {
            tracing::debug!("a connection did not take its close in time");
        }
    }
}

async fn socket(shared: &Shared, token: &str) -> Result<WebSocketStream<TcpStream>, End> {
    let target = &shared.target;
    let request = request(&target.authority, token).map_err(|error| End::Stop(format!("{error:#}")))?;
    let stream = TcpStream::connect(&*target.addresses).await.map_err(|error| End::failed(&error.into()))?;
    stream.set_nodelay(true).map_err(|error| End::failed(&error.into()))?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(READ_BUFFER);
    let upgraded = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    upgraded.map(|(socket, _)| socket).map_err(|error| End::failed(&error))
}

fn request(authority: &str, token: &str) -> anyhow::Result<hyper::Request<()>> {
    let mut request = format!("ws://{authority}/v1/ws").into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().context("the token is no header")?);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("chat.v1.json"));
    Ok(request)
}
