//! The bare server: a room in which every message goes to all, pairs in which it goes to two, and connections that do
//! nothing. The path of the upgrade says which.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Frames a connection may be behind; the generator keeps fewer under way.
const QUEUE: usize = 1024;

/// Frames written at most before the connection is looked at again.
const BATCH: usize = 64;

/// Small, as memory counts; the read buffer is held for the life of a connection.
const READ_BUFFER: usize = 1024;

/// One write's worth; it is made only when there is something to write.
const WRITE_BUFFER: usize = 32 * 1024;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// When a frame is written to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Writing {
    /// Each by itself.
    FlushEach,
    /// All that are queued together.
    Coalesced,
}

impl Writing {
    /// Returns the argument that asks for it.
    pub(crate) fn flag(self) -> String {
        match self {
            Self::FlushEach => "--writing=flush-each".to_owned(),
            Self::Coalesced => "--writing=coalesced".to_owned(),
        }
    }
}

/// Arguments of the server's process.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[arg(long)]
    core: usize,
    #[arg(long)]
    writing: Writing,
}

type Queue = mpsc::Sender<Utf8Bytes>;

#[derive(Debug, Default)]
struct Rooms {
    group: Vec<Queue>,
    pairs: HashMap<String, Vec<Queue>>,
}

#[derive(Debug)]
struct Server {
    writing: Writing,
    rooms: Mutex<Rooms>,
    /// Changes when all connections are to be cut.
    cut: watch::Sender<()>,
}

/// Whom the messages of a connection go to.
#[derive(Debug)]
enum Place {
    /// To the group; it gets none itself.
    Publisher,
    /// Takes what the group gets.
    Member,
    /// To both of the pair.
    Pair(String),
    /// Cuts all others.
    Knife,
    /// Nobody.
    Idle,
}

impl Place {
    fn of(path: &str) -> Self {
        match path {
            "/publish" => Self::Publisher,
            "/group" => Self::Member,
            "/cut" => Self::Knife,
            _ => path.strip_prefix("/pair/").map_or(Self::Idle, |name| Self::Pair(name.to_owned())),
        }
    }
}

/// Serves until the process is killed; prints its address first.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    crate::process::pin(args.core)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = Server { writing: args.writing, rooms: Mutex::default(), cut: watch::Sender::new(()) };
    runtime.block_on(Arc::new(server).serve())
}

impl Server {
    async fn serve(self: Arc<Self>) -> anyhow::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener: TcpListener = socket.listen(BACKLOG).context("cannot listen")?;
        crate::print(&listener.local_addr()?.to_string())?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&self).connection(stream))),
                // No files left; the next one may find some.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection to its end, whatever the end is.
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let mut path = String::new();
        #[expect(clippy::result_large_err, reason = "the library's own signature")]
        let callback = |request: &Request, response: Response| {
            request.uri().path().clone_into(&mut path);
            Ok(response)
        };
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let accepted = tokio_tungstenite::accept_hdr_async_with_config(stream, callback, Some(config)).await;
        if let Ok(socket) = accepted {
            drop(self.converse(socket, Place::of(&path)).await);
        }
    }

    async fn converse(&self, mut socket: WebSocketStream<TcpStream>, place: Place) -> Result<(), Error> {
        let (queue, mut queued) = mpsc::channel(QUEUE);
        let queue = self.enter(&place, queue);
        let mut cut = self.cut.subscribe();
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                count = queued.recv_many(&mut batch, BATCH), if queue => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.write(&mut socket, &mut batch).await?;
                }
                frame = socket.next() => match frame {
                    Some(Ok(Message::Text(text))) => self.take(&place, &text),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
                _ = cut.changed() => return Ok(()),
            }
        }
    }

    /// Puts a connection where its messages come from; false if none come.
    fn enter(&self, place: &Place, queue: Queue) -> bool {
        let mut rooms = self.rooms();
        match place {
            Place::Member => rooms.group.push(queue),
            Place::Pair(name) => rooms.pairs.entry(name.clone()).or_default().push(queue),
            Place::Publisher | Place::Knife | Place::Idle => return false,
        }
        true
    }

    fn take(&self, place: &Place, text: &Utf8Bytes) {
        let mut rooms = self.rooms();
        let room = match place {
            Place::Publisher => &mut rooms.group,
            Place::Pair(name) => rooms.pairs.entry(name.clone()).or_default(),
            Place::Knife => {
                self.cut.send_replace(());
                return;
            }
            Place::Member | Place::Idle => return,
        };
        // Who has gone, or is too far behind, is put out.
        room.retain(|queue| queue.try_send(text.clone()).is_ok());
    }

    async fn write(&self, socket: &mut WebSocketStream<TcpStream>, batch: &mut Vec<Utf8Bytes>) -> Result<(), Error> {
        for text in batch.drain(..) {
            match self.writing {
                Writing::FlushEach => socket.send(Message::Text(text)).await?,
                Writing::Coalesced => socket.feed(Message::Text(text)).await?,
            }
        }
        socket.flush().await
    }
}
