//! The socket of one session: connects, reads and writes, and reconnects as protocol v1 asks; what the frames mean is
//! the [`Machine`]'s.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Shared;
use super::book::Note;
use super::machine::{Machine, Tick};

/// Time for the TCP connection and the upgrade.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Time for a write; the server reads on unless it is gone.
const WRITE_WITHIN: Duration = Duration::from_secs(15);

/// Frames taken in a row before anything else; bounds how late a moment is that they share.
const BATCH: usize = 64;

/// A connection that lived this long begins the back-off anew.
const PROVEN_AFTER: Duration = Duration::from_secs(30);

/// First and longest back-off (protocol v1, section 1).
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Shortest back-off after 4008 `flooding`.
const FLOODING_BACK_OFF: Duration = Duration::from_secs(5);

/// Most memory per connection for what is read at once.
const READ_BUFFER: usize = 8 * 1024;

type Socket = WebSocketStream<TcpStream>;

/// How a connection ended.
enum End {
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
    fn broken(reason: impl Into<String>) -> Self {
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

/// One session.
pub(super) struct Client {
    shared: Arc<Shared>,
    user: u32,
    machine: Machine,
    orders: mpsc::Receiver<u32>,
    /// The connection that is being moved away from.
    old: Option<Socket>,
    was_ready: bool,
}

impl Client {
    /// Makes the session of `user`; it lives until `orders` is closed.
    pub(super) fn new(shared: Arc<Shared>, user: u32, machine: Machine, orders: mpsc::Receiver<u32>) -> Self {
        Self { shared, user, machine, orders, old: None, was_ready: false }
    }

    /// Lives the session; begins at `start`.
    pub(super) async fn run(mut self, start: Instant) {
        let mut attempts = 0_u32;
        let mut wait_until = start;
        while self.wait(wait_until).await {
            let begun = Instant::now();
            let end = match self.connect().await {
                Ok(socket) => self.serve(socket, begun).await,
                Err(end) => end,
            };
            let now = Instant::now();
            if self.machine.greeted_at().is_some_and(|at| now - at >= PROVEN_AFTER) {
                attempts = 0;
            }
            self.machine.lose(now);
            wait_until = match end {
                End::Finished => break,
                End::Stop(reason) => {
                    self.machine.notes.push(Note::Stopped(reason));
                    break;
                }
                End::Broken { reason, floor } => {
                    self.old = None;
                    self.machine.notes.push(Note::Lost(reason));
                    let longest = (BACK_OFF.0 * 2_u32.saturating_pow(attempts)).min(BACK_OFF.1);
                    attempts += 1;
                    now + floor + longest.mul_f64(rand::random_range(0.0..1.0))
                }
                End::Move => {
                    self.machine.notes.push(Note::Lost("moved".to_owned()));
                    now
                }
            };
            self.publish();
        }
        while let Ok(index) = self.orders.try_recv() {
            self.machine.order(index, start);
        }
        self.machine.abandon();
        self.publish();
    }

    /// Waits, taking orders meanwhile; false once the run is over.
    async fn wait(&mut self, until: Instant) -> bool {
        let sleep = sleep_until(until);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                () = &mut sleep => return true,
                order = self.orders.recv() => match order {
                    Some(index) => self.machine.order(index, Instant::now()),
                    None => return false,
                },
            }
        }
    }

    async fn connect(&mut self) -> Result<Socket, End> {
        let connected = timeout(CONNECT_WITHIN, async {
            let target = &self.shared.target;
            let request = self.request().map_err(|error| End::Stop(format!("{error:#}")))?;
            let stream = TcpStream::connect(&*target.addresses).await.map_err(|error| End::failed(&error.into()))?;
            stream.set_nodelay(true).map_err(|error| End::failed(&error.into()))?;
            let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(READ_BUFFER);
            let upgraded = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
            upgraded.map(|(socket, _)| socket).map_err(|error| End::failed(&error))
        });
        connected.await.unwrap_or_else(|_| Err(End::broken("no connection in time")))
    }

    fn request(&self) -> anyhow::Result<hyper::Request<()>> {
        let target = &self.shared.target;
        let mut request = format!("ws://{}/v1/ws", target.authority).into_client_request()?;
        let token = target.token(&self.shared.run.plan.users[self.user as usize])?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().context("the token is no header")?);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, hyper::header::HeaderValue::from_static("chat.v1.json"));
        Ok(request)
    }

    async fn serve(&mut self, mut socket: Socket, begun: Instant) -> End {
        self.machine.open(Instant::now());
        let timer = sleep_until(self.machine.deadline());
        tokio::pin!(timer);
        loop {
            if let Err(end) = self.step(&mut socket, timer.as_mut()).await {
                match end {
                    End::Move => self.old = Some(socket),
                    End::Finished => close(socket).await,
                    _ => {}
                }
                return end;
            }
            if !self.was_ready && self.machine.is_synced() {
                self.was_ready = true;
                self.machine.notes.push(Note::Connected(Instant::now() - begun));
                self.shared.board.ready();
            }
            if self.machine.is_synced()
                && let Some(old) = self.old.take()
            {
                close(old).await;
            }
        }
    }

    /// Writes what is to be written, waits for something to happen, and takes it.
    async fn step(&mut self, socket: &mut Socket, mut timer: std::pin::Pin<&mut Sleep>) -> Result<(), End> {
        self.write(socket).await?;
        self.publish();
        let deadline = self.machine.deadline();
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            biased;
            frame = socket.next() => self.take(frame, socket)?,
            order = self.orders.recv() => {
                let now = Instant::now();
                self.machine.order(order.ok_or(End::Finished)?, now);
                while let Ok(index) = self.orders.try_recv() {
                    self.machine.order(index, now);
                }
            }
            () = timer => match self.machine.tick(Instant::now()) {
                Tick::Continue => {}
                Tick::Dead => return Err(End::broken("silent for too long")),
                Tick::Move => return Err(End::Move),
            },
        }
        let reload = self.machine.take_reload();
        if !reload.is_empty() {
            self.reload(reload).await.map_err(|error| End::broken(format!("history: {error:.80}")))?;
        }
        Ok(())
    }

    /// Takes a frame, and those that are there already.
    fn take(&mut self, mut frame: Option<Result<Message, Error>>, socket: &mut Socket) -> Result<(), End> {
        let now = Instant::now();
        for taken in 1.. {
            match frame {
                Some(Ok(Message::Text(text))) => {
                    self.machine.receive(&text, now).map_err(|error| End::broken(format!("{error:.80}")))?;
                }
                Some(Ok(Message::Close(frame))) => return Err(End::closed(frame)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(End::failed(&error)),
                None => return Err(End::broken("ended")),
            }
            // Whatever leaves the socket here is handled: the bound is looked at before the next one is taken.
            if taken == BATCH {
                break;
            }
            match socket.next().now_or_never() {
                Some(next) => frame = next,
                None => break,
            }
        }
        Ok(())
    }

    async fn write(&mut self, socket: &mut Socket) -> Result<(), End> {
        if self.machine.out.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let frames = std::mem::take(&mut self.machine.out);
        let written = timeout(WRITE_WITHIN, async {
            for frame in frames {
                socket.feed(Message::text(frame)).await?;
            }
            socket.flush().await
        });
        written.await.map_err(|_| End::broken("no write in time"))?.map_err(|error| End::failed(&error))?;
        let now = Instant::now();
        if now - begun > Duration::from_millis(1) {
            self.machine.unblock(now);
        }
        Ok(())
    }

    /// Reads the history of chats whose continuity the server could not prove.
    async fn reload(&mut self, chats: Vec<(usize, chat_core::id::ChatId, u64)>) -> anyhow::Result<()> {
        let user = self.shared.run.plan.users[self.user as usize].clone();
        for (slot, chat, mut after) in chats {
            loop {
                let page = self.shared.rest.history(&user, chat, after).await?;
                let now = Instant::now();
                for item in &page.items {
                    after = item.seq;
                    self.machine.read(slot, item.seq, self.shared.run.plan.index_of(item.message_id), now);
                }
                if !page.has_more || page.items.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands over what was seen.
    fn publish(&mut self) {
        let board = &self.shared.board;
        board.count(std::mem::take(&mut self.machine.frames), std::mem::take(&mut self.machine.settled));
        if !self.machine.notes.is_empty() {
            let mut book = self.shared.book();
            self.machine.notes.drain(..).for_each(|note| book.write(note));
        }
    }
}

/// Closes a connection on our side; the peer is not waited for long.
async fn close(mut socket: Socket) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if timeout(Duration::from_secs(1), socket.close(Some(frame))).await.is_err() {
        tracing::debug!("a connection did not take its close in time");
    }
}
