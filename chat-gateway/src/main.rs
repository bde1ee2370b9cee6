//! `chat-gateway`: one gateway on the engines of a cluster.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::{Clock, SystemClock};
use chat_core::config::{GatewayConfig, ProcessConfig};
use chat_core::health::Health;
use chat_core::process::{self, End, Failure, Traces};
use chat_gateway::{Gateway, Ports, Running};
use clap::Parser;
use tokio::task::JoinSet;

/// Holds the connections of clients: WebSocket, long poll, SSE and REST in front, the engines of a cluster behind.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Settings are one YAML file; CHAT_ and the path of one, in capitals, stands above it. Secrets are in \
files that it names.

Examples:
  chat-gateway -c chat.yaml --check
  CHAT_GATEWAY__NAME=gateway-0 chat-gateway -c chat.yaml
  chat-gateway -c chat.yaml --dump-config

SIGTERM moves the clients to other gateways and ends; a second one ends at once."
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
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            _ = writeln!(std::io::stderr(), "chat-gateway: {failure}");
            failure.exit_code()
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let config = process::settings(&args.config)?;
    let gateway = config.gateway.clone();
    let gateway = gateway.ok_or_else(|| Failure::Settings("gateway: it is missing".to_owned()))?;
    if args.check {
        return Ok(());
    }
    if args.dump_config {
        return std::io::stdout().write_all(process::dump(&config)?.as_bytes()).map_err(Failure::of);
    }
    process::start_log(&config.log)?;
    process::block_on(serve(config, gateway))
}

async fn serve(config: ProcessConfig, gateway: GatewayConfig) -> Result<(), Failure> {
    let mut end = End::listen()?;
    let drain = Duration::from_secs(gateway.drain.deadline_seconds);
    let started = tokio::select! {
        started = start(config, gateway) => started?,
        () = end.signal() => return Ok(()),
    };
    let Started { running, traces, mut tasks } = started;
    end.signal().await;
    tracing::info!(seconds = drain.as_secs(), "move the clients off and end");
    tokio::select! {
        () = running.shutdown(drain) => {}
        () = end.signal() => return Err(Failure::of("ended in haste: clients find out by themselves; nothing acknowledged is lost")),
    }
    tasks.shutdown().await;
    traces.close().await;
    Ok(())
}

struct Started {
    running: Running,
    traces: Traces,
    tasks: JoinSet<()>,
}

/// Waits for the engines, and tells of it on the admin port; then starts the gateway.
async fn start(config: ProcessConfig, gateway: GatewayConfig) -> Result<Started, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let health = Health::default();
    let listen = |error| Failure::Failed(format!("gateway.adminListen: listen on {}: {error}", gateway.admin_listen));
    let admin = TcpListener::bind(gateway.admin_listen).map_err(listen)?;
    admin.set_nonblocking(true).map_err(listen)?;
    let mut waiting = JoinSet::new();
    let shown = tokio::net::TcpListener::from_std(admin.try_clone().map_err(listen)?).map_err(listen)?;
    let router = chat_gateway::waiting(&gateway, health.clone());
    waiting.spawn(async move { axum::serve(shown, router).await });

    let traces = Traces::open(config.otlp, "chat-gateway", gateway.name.clone()).await?;
    let engines = process::open(&config.engines, &config.push, &clock, &health).await;
    waiting.shutdown().await;
    let admin = tokio::net::TcpListener::from_std(admin).map_err(listen)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(process::watch(engines.clone(), Arc::clone(&clock), health.clone()));
    let ports = Ports {
        log: engines.log,
        store: engines.store,
        users: engines.users,
        relay: engines.relay,
        presence: engines.presence,
        positions: engines.positions,
        search: engines.search,
        push: engines.push,
        tracer: traces.tracer(),
    };
    let running = Box::pin(Gateway::start_with(gateway, ports, clock, admin, health)).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Failure::Failed(format!("{error}{cause}"))
    })?;
    Ok(Started { running, traces, tasks })
}
