//! `chat-workers`: the roles behind the log, on the engines of a cluster; and what prepares the engines for it.

mod log;
mod provision;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use chat_core::clock::{Clock, SystemClock};
use chat_core::config::{ProcessConfig, PushContent, WorkersProcess};
use chat_core::health::Health;
use chat_core::process::{self, End, Failure, Traces};
use chat_workers::admin::{self, Admin};
use chat_workers::{NotifyConfig, Workers, WorkersConfig, WorkersPorts};
use clap::{Parser, Subcommand};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Turns the log into what people see: sequencer, receipts, indexer, push, analytics.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Settings are one YAML file; CHAT_ and the path of one, in capitals, stands above it. Secrets are in \
files that it names.

Examples:
  chat-workers -c chat.yaml --check
  chat-workers -c chat.yaml provision
  chat-workers -c chat.yaml log redrive
  CHAT_WORKERS__ROLES='[sequencer]' chat-workers -c chat.yaml
  chat-workers -c chat.yaml --dump-config

SIGTERM finishes what is under way and ends."
)]
struct Args {
    /// File of the settings.
    #[arg(short, long, value_name = "FILE", env = "CHAT_CONFIG")]
    config: PathBuf,
    /// Says what is wrong with the settings, and ends.
    #[arg(long)]
    check: bool,
    /// Prints the settings in force, without secrets, and ends.
    #[arg(long, conflicts_with = "check")]
    dump_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes topics, keyspace and tables, or brings them to this version; tells what came of it as one JSON object.
    Provision(provision::Args),
    /// What people do to the log by hand.
    #[command(subcommand)]
    Log(log::Command),
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            _ = writeln!(std::io::stderr(), "chat-workers: {failure}");
            failure.exit_code()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let config = process::settings(&args.config)?;
    if args.dump_config {
        return std::io::stdout().write_all(process::dump(&config)?.as_bytes()).map_err(Failure::of);
    }
    let wanted = match (args.command, config.workers.clone()) {
        (Some(command), _) => Wanted::Command(command),
        (None, Some(workers)) => Wanted::Roles(workers),
        (None, None) => return Err(Failure::Settings("workers: they are missing".to_owned())),
    };
    if args.check {
        return Ok(());
    }
    process::start_log(&config.log)?;
    match wanted {
        Wanted::Command(Command::Provision(wanted)) => process::block_on(provision::run(config, wanted)),
        Wanted::Command(Command::Log(wanted)) => process::block_on(log::run(config, wanted)),
        Wanted::Roles(workers) => process::block_on(serve(config, workers)),
    }
}

/// What this process is for.
enum Wanted {
    Command(Command),
    Roles(WorkersProcess),
}

async fn serve(config: ProcessConfig, workers: WorkersProcess) -> Result<(), Failure> {
    let mut end = End::listen()?;
    let shutdown = CancellationToken::new();
    let work = work(config, workers, shutdown.clone());
    let mut work = Box::pin(work);
    tokio::select! {
        ended = &mut work => return ended,
        () = end.signal() => shutdown.cancel(),
    }
    tokio::select! {
        ended = &mut work => ended,
        () = end.signal() => Err(Failure::of("ended in haste: what was under way is done again by the next owner")),
    }
}

/// Waits for the engines, and tells of it on the admin port; then runs the roles until `shutdown`.
async fn work(config: ProcessConfig, workers: WorkersProcess, shutdown: CancellationToken) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let health = Health::default();
    let listen = |error| Failure::Failed(format!("workers.adminListen: listen on {}: {error}", workers.admin_listen));
    let listener = TcpListener::bind(workers.admin_listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let mut waiting = JoinSet::new();
    let shown = tokio::net::TcpListener::from_std(listener.try_clone().map_err(listen)?).map_err(listen)?;
    let router = admin::waiting(workers.admin_token_file.clone(), health.clone());
    waiting.spawn(async move { axum::serve(shown, router).await });

    let traces = Traces::open(config.otlp, "chat-workers", workers.admin_listen.to_string()).await?;
    let engines = tokio::select! {
        engines = process::open(&config.engines, &config.push, &clock, &health) => engines,
        () = shutdown.cancelled() => return Ok(()),
    };
    waiting.shutdown().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(process::watch(engines.clone(), Arc::clone(&clock), health.clone()));
    let send_content = config.push.content == PushContent::Text;
    let settings = WorkersConfig {
        roles: workers.roles.clone(),
        push: NotifyConfig { send_content, ..NotifyConfig::default() },
        ..WorkersConfig::default()
    };
    let ports = WorkersPorts {
        log: engines.log,
        store: engines.store,
        users: engines.users,
        relay: engines.relay,
        presence: engines.presence,
        search: engines.search,
        push: engines.push,
        clock,
        tracer: traces.tracer(),
    };
    let mut registry = Registry::default();
    let roles = Workers::new(ports, settings, &mut registry);
    let shown = Admin {
        status: roles.status(),
        registry: Arc::new(registry),
        token_file: workers.admin_token_file.clone(),
        shutdown: shutdown.clone(),
        health,
    };
    let listener = tokio::net::TcpListener::from_std(listener).map_err(listen)?;
    tasks.spawn(async move { _ = axum::serve(listener, admin::router(shown)).await });
    tracing::info!(admin = %workers.admin_listen, "workers started");
    let ended = roles.run(shutdown).await;
    tasks.shutdown().await;
    traces.close().await;
    ended.map_err(Failure::of)
}
