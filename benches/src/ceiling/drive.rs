//! The generator: opens connections to the bare server, keeps it busy, and counts.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::frames::{FrameCounter, client_frames};
use crate::{Held, Saturation, process};

/// Handshakes under way.
const OPENING: usize = 256;

/// Frames of the group under way; enough to keep the server writing, few enough for its queues.
const WINDOW: usize = 512;

/// Frames the publisher writes at once.
const PUBLISHED: usize = 16;

/// Before the measurement begins.
const WARM_UP: Duration = Duration::from_millis(500);

/// Bytes read at once; one buffer serves all connections.
const READ: usize = 256 * 1024;

/// Time for anything that should take milliseconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a generator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Task {
    /// One group gets all messages of one publisher.
    Group,
    /// Pairs, in which each message waits for the sender's copy of the one before.
    Direct,
    /// Holds connections and reads the server's memory.
    Idle,
    /// Has all connections cut and opens them again.
    Cut,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::Direct => "direct",
            Self::Idle => "idle",
            Self::Cut => "cut",
        })
    }
}

/// Arguments of the generator's process.
#[derive(Debug, Args)]
pub(crate) struct DriveArgs {
    #[arg(long)]
    core: usize,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    server_pid: u32,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    size: usize,
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    task: Task,
}

/// How many a second, and what it took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Rate {
    /// Deliveries or messages a second.
    pub per_s: f64,
    /// Who was busy.
    pub saturation: Saturation,
}

/// A cut of all connections.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cut {
    /// How many.
    pub connections: usize,
    /// Until all were open again.
    pub back_ms: f64,
}

/// What a task found.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Found {
    Rate(Rate),
    Held(Held),
    Cut(Cut),
}

/// Does the task.
pub(crate) fn run(args: &DriveArgs) -> anyhow::Result<Found> {
    process::pin(args.core)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.task {
            Task::Group => group(args).await.map(Found::Rate),
            Task::Direct => direct(args).await.map(Found::Rate),
            Task::Idle => idle(args).await.map(Found::Held),
            Task::Cut => cut(args).await.map(Found::Cut),
        }
    })
}

async fn connect(address: SocketAddr, path: String) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    // Nothing is sent before the generator asks for it, so the library holds no bytes when it is put aside.
    let url = format!("ws://{address}{path}");
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.context("no upgrade")?;
    Ok(socket.into_inner())
}

async fn connect_all(address: SocketAddr, paths: impl Iterator<Item = String>) -> anyhow::Result<Vec<TcpStream>> {
    let opening = stream::iter(paths).map(|path| connect(address, path)).buffered(OPENING);
    timeout(PATIENCE, opening.try_collect()).await.context("the connections did not open in time")?
}

/// What all connections share.
#[derive(Debug)]
struct Counting {
    frames: AtomicU64,
    buffer: Mutex<Box<[u8]>>,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self { frames: AtomicU64::new(0), buffer: Mutex::new(vec![0; READ].into()) })
    }

    /// Waits for bytes and counts the frames that end in them.
    async fn read(&self, stream: &OwnedReadHalf, counter: &mut FrameCounter) -> anyhow::Result<usize> {
        loop {
            stream.readable().await?;
            let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
            match stream.try_read(&mut buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(size) => return Ok(counter.count(&buffer[..size])),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Measures the rate of counted frames, once it is under way.
    async fn measure(&self, args: &DriveArgs) -> anyhow::Result<Rate> {
        sleep(WARM_UP).await;
        let pid = std::process::id();
        let look = || -> anyhow::Result<_> {
            let frames = self.frames.load(Ordering::Relaxed);
            Ok((Instant::now(), frames, process::cpu_time(args.server_pid)?, process::cpu_time(pid)?))
        };
        let before = look()?;
        sleep(Duration::from_secs(args.seconds)).await;
        let after = look()?;
        let took = (after.0 - before.0).as_secs_f64();
        let part = |after: Duration, before| after.saturating_sub(before).as_secs_f64() / took;
        ensure!(after.1 > before.1, "nothing was delivered");
        Ok(Rate {
            per_s: (after.1 - before.1) as f64 / took,
            saturation: Saturation { server: part(after.2, before.2), generator: part(after.3, before.3) },
        })
    }
}

async fn group(args: &DriveArgs) -> anyhow::Result<Rate> {
    let members = connect_all(args.address, (0..args.connections).map(|_| "/group".to_owned())).await?;
    let mut publisher = connect(args.address, "/publish".to_owned()).await?;
    let counting = Counting::new();
    let window = Arc::new(Semaphore::new(WINDOW));
    for (n, member) in members.into_iter().enumerate() {
        let counting = Arc::clone(&counting);
        // The one that is served last tells the publisher how far the server is.
        let window = (n + 1 == args.connections).then(|| Arc::clone(&window));
        tokio::spawn(async move {
            let (read, _write) = member.into_split();
            let mut counter = FrameCounter::default();
            while let Ok(count) = counting.read(&read, &mut counter).await {
                counting.frames.fetch_add(count as u64, Ordering::Relaxed);
                if let Some(window) = &window {
                    window.add_permits(count);
                }
            }
        });
    }
    let frames = client_frames(PUBLISHED, args.size)?;
    let publishing = async {
        loop {
            window.acquire_many(u32::try_from(PUBLISHED)?).await?.forget();
            publisher.write_all(&frames).await?;
        }
    };
    tokio::select! {
        ended = publishing => ended,
        rate = counting.measure(args) => rate,
    }
}

async fn direct(args: &DriveArgs) -> anyhow::Result<Rate> {
    let paths = (0..2 * args.connections).map(|n| format!("/pair/{}", n / 2));
    let mut sockets = connect_all(args.address, paths).await?.into_iter();
    let counting = Counting::new();
    let frame = client_frames(1, args.size)?;
    while let (Some(sender), Some(receiver)) = (sockets.next(), sockets.next()) {
        let (taking, frame) = (Arc::clone(&counting), frame.clone());
        tokio::spawn(async move {
            let (read, mut write) = sender.into_split();
            let mut counter = FrameCounter::default();
            while write.write_all(&frame).await.is_ok() {
                let mut copies = 0;
                while copies == 0 {
                    let Ok(count) = taking.read(&read, &mut counter).await else { return };
                    copies += count;
                }
            }
        });
        let counting = Arc::clone(&counting);
        tokio::spawn(async move {
            let (read, _write) = receiver.into_split();
            let mut counter = FrameCounter::default();
            while let Ok(count) = counting.read(&read, &mut counter).await {
                counting.frames.fetch_add(count as u64, Ordering::Relaxed);
            }
        });
    }
    counting.measure(args).await
}

async fn idle(args: &DriveArgs) -> anyhow::Result<Held> {
    let held = connect_all(args.address, (0..args.connections).map(|_| "/idle".to_owned())).await?;
    let server_pss_bytes = process::pss_bytes(args.server_pid)?;
    drop(held);
    Ok(Held { server_pss_bytes })
}

async fn cut(args: &DriveArgs) -> anyhow::Result<Cut> {
    let paths = || (0..args.connections).map(|_| "/idle".to_owned());
    let mut knife = connect(args.address, "/cut".to_owned()).await?;
    let held = connect_all(args.address, paths()).await?;
    knife.write_all(&client_frames(1, 1)?).await?;
    let begun = Instant::now();
    let address = args.address;
    let back = stream::iter(held).map(|old| async move {
        // The end of the old connection is the sign.
        old.readable().await?;
        drop(old);
        connect(address, "/idle".to_owned()).await
    });
    let back: Vec<TcpStream> = timeout(PATIENCE, back.buffer_unordered(args.connections).try_collect())
        .await
        .context("the connections did not come back in time")??;
    Ok(Cut { connections: back.len(), back_ms: begun.elapsed().as_secs_f64() * 1000.0 })
}
