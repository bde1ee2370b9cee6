//! The composition of a local stack: the only place where its engines are chosen.
//!
//! ```text
//!             ┌── log, stores ──► one database in the data directory
//!  gateways ──┤                         ▲
//!   (N)       ├── relay, presence ──────┼── of this process
//!             └── search index ─────────┼── in the data directory
//!                     ▲                 │
//!                     └──── workers ────┴──► push records
//! ```
//!
//! Gateways know of each other only through these ports, as in a cluster.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chat_core::clock::{Clock, SystemClock};
use chat_core::embedded::{EmbeddedDb, EmbeddedOptions};
use chat_core::health::Health;
use chat_core::poll_positions::in_process::InProcessPositions;
use chat_core::presence::PresenceTable;
use chat_core::presence::in_process::InProcessPresence;
use chat_core::push::PushSender;
use chat_core::push::recording::RecordingSender;
use chat_core::relay::Relay;
use chat_core::relay::in_process::InProcessRelay;
use chat_core::search::SearchIndex;
use chat_core::search::embedded::EmbeddedIndex;
use chat_workers::admin::{self, Admin};
use chat_workers::{NotifyConfig, Workers, WorkersConfig, WorkersPorts, WorkersStatus};
use operator::crd::PushContent;
use prometheus_client::registry::Registry;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::data_dir::DataDir;
use super::fleet::Fleet;
use super::report::Report;
use super::settings::{LOCAL_ANY, PARTITIONS, Settings};
use super::traces::{Traced, Traces};
use super::{front_door, serve};

/// A running stack.
#[derive(Debug)]
pub(crate) struct Stack {
    db: EmbeddedDb,
    index: Option<EmbeddedIndex>,
    fleet: Arc<Fleet>,
    workers: Option<JoinHandle<anyhow::Result<()>>>,
    status: WorkersStatus,
    admin_addr: SocketAddr,
    admin: JoinSet<()>,
    traces: Traces,
    shutdown: CancellationToken,
}

impl Stack {
    /// Opens the engines and starts everything; returns when every gateway takes connections.
    pub(crate) async fn start(settings: &Settings, data: &DataDir, report: &Report) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let db = open_database(&data.engines(), Arc::clone(&clock), settings.message_age).await?;
        let index = if settings.search { Some(open_index(&data.search_index()).await?) } else { None };
        let search = index.clone().map(|index| Arc::new(index) as Arc<dyn SearchIndex>);
        let relay: Arc<dyn Relay> = Arc::new(InProcessRelay::new());
        let presence: Arc<dyn PresenceTable> = Arc::new(InProcessPresence::new());
        let push = push_sender(settings, data, &clock)?;
        let traces = Traces::open(settings.traces.clone()).await?;

        let mut registry = Registry::default();
        let workers = Workers::new(
            WorkersPorts {
                log: db.log.clone(),
                store: db.store.clone(),
                users: db.users.clone(),
                relay: Arc::clone(&relay),
                presence: Arc::clone(&presence),
                search: search.clone(),
                push: push.clone(),
                clock: Arc::clone(&clock),
                tracer: traces.tracer(Traced::Workers),
            },
            workers_config(settings),
            &mut registry,
        );
        let shutdown = CancellationToken::new();
        let status = workers.status();
        let shown = Admin {
            status: status.clone(),
            registry: Arc::new(registry),
            token_file: data.admin_token_file()?,
            shutdown: shutdown.clone(),
            health: Health::default(),
        };
        let listener = front_door::bind(LOCAL_ANY, "--listen")?;
        let admin_addr = front_door::address(&listener)?;
        let mut admin = JoinSet::new();
        admin.spawn(serve::run(listener, admin::router(shown)));
        let run = workers.run(shutdown.clone());
        let workers = tokio::spawn(async { run.await.context("the workers stopped") });

        catch_up(&status).await?;
        let ports = chat_gateway::Ports {
            log: db.log.clone(),
            store: db.store.clone(),
            users: db.users.clone(),
            relay,
            presence,
            positions: Arc::new(InProcessPositions::new()),
            search,
            push,
            tracer: traces.tracer(Traced::Gateways),
        };
        let fleet = Arc::new(Fleet::new(settings.clone(), ports, clock, report.clone()));
        for _ in 0..settings.gateways {
            fleet.add().await?;
        }
        let workers = Some(workers);
        Ok(Self { db, index, fleet, workers, status, admin_addr, admin, traces, shutdown })
    }

    /// Returns the gateways.
    pub(crate) fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Returns a handle that shows the workers.
    pub(crate) fn workers(&self) -> &WorkersStatus {
        &self.status
    }

    /// Returns where the workers' admin port is.
    pub(crate) fn workers_admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Waits for the workers to end by themselves, which they must not; returns why. Never returns a second time.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        let Some(workers) = &mut self.workers else { return std::future::pending().await };
        let ended = workers.await;
        self.workers = None;
        let error = match ended.context("the workers panicked").flatten() {
            Ok(()) => anyhow::anyhow!("the workers ended"),
            Err(error) => error,
        };
        error.context("no acknowledged message is lost; start again")
    }

    /// Lets the gateways finish, then the workers, then closes the engines: what was promised to a client is done
    /// before what does it ends.
    pub(crate) async fn stop(self) {
        let Self { db, index, fleet, workers, shutdown, mut admin, traces, .. } = self;
        fleet.stop().await;
        shutdown.cancel();
        if let Some(workers) = workers
            && let Err(error) = workers.await.context("the workers panicked").flatten()
        {
            tracing::error!(error = format!("{error:#}"), "the workers did not finish");
        }
        admin.shutdown().await;
        traces.close().await;
        if let Some(index) = index
            && let Err(error) = index.close().await
        {
            tracing::error!(%error, "the search index was not closed");
        }
        // The last handle closes the database, which waits for its threads.
        if let Err(error) = tokio::task::spawn_blocking(move || drop((fleet, db))).await {
            tracing::error!(%error, "closing the database panicked");
        }
    }
}

/// How long the log's tail may take to be decided again after a crash.
const CATCH_UP: Duration = Duration::from_mins(1);

/// Waits until everything in the log is decided. A crash may take rows from the store that clients were told of; the
/// records they came from are in the log, and deciding them again gives the same rows. Until then a head would be
/// below what clients have, so nobody is let in.
async fn catch_up(status: &WorkersStatus) -> anyhow::Result<()> {
    let caught_up = async {
        while !status.has_sequenced(PARTITIONS as usize) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(CATCH_UP, caught_up).await;
    waited.context("the log's tail was not decided within a minute; the log on stderr says why")
}

fn workers_config(settings: &Settings) -> WorkersConfig {
    let send_content = settings.push == Some(PushContent::Text);
    WorkersConfig { push: NotifyConfig { send_content, ..NotifyConfig::default() }, ..WorkersConfig::embedded() }
}

/// Makes what stands for the vendors, where the manifest has one.
fn push_sender(
    settings: &Settings,
    data: &DataDir,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<dyn PushSender>>> {
    if settings.push.is_none() {
        return Ok(None);
    }
    let file = data.push_records()?;
    let sender = RecordingSender::appending(Arc::clone(clock), &file)
        .with_context(|| format!("cannot write to {}; is it yours?", file.display()))?;
    Ok(Some(Arc::new(sender)))
}

/// Opens the database off the runtime's threads: it replays its journal first.
async fn open_database(dir: &Path, clock: Arc<dyn Clock>, message_age: Option<Duration>) -> anyhow::Result<EmbeddedDb> {
    let path = dir.to_owned();
    let options = EmbeddedOptions { partitions: PARTITIONS, message_age, ..EmbeddedOptions::default() };
    let opened = tokio::task::spawn_blocking(move || EmbeddedDb::open(&path, clock, &options)).await;
    opened
        .context("opening the database panicked")?
        .with_context(|| format!("cannot use the data in {}; name another directory with --data-dir", dir.display()))
}

async fn open_index(dir: &Path) -> anyhow::Result<EmbeddedIndex> {
    EmbeddedIndex::open(dir).await.with_context(|| {
        format!("cannot use the search index in {}; name another directory with --data-dir", dir.display())
    })
}
