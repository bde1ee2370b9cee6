//! `chatctl local`: what a manifest describes, in one process on embedded engines.
//!
//! The gateways and workers are the very code that a cluster runs; only the engines differ. In order: the manifest is
//! checked ([`manifest`]), the data directory is taken ([`data_dir`]), settings are made of both ([`settings`]), the
//! parts are started ([`stack`]) and clients let in ([`front_door`], [`demo`]); a signal ends it the other way round.

mod autoscale;
mod control;
mod data_dir;
mod demo;
mod fleet;
mod front_door;
pub(crate) mod manifest;
mod report;
mod serve;
mod settings;
mod snapshot;
mod stack;
mod status_line;
mod traces;
mod view;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chat_core::clock::{Clock as _, SystemClock};
use chat_core::id::UserId;
use clap::Args;
use operator::crd::{ChatCluster, Period};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use self::data_dir::DataDir;
use self::report::{DEMO_USERS, Event, Ready, Report};
use self::settings::{Choices, Settings};
use self::snapshot::Snapshot;
use self::stack::Stack;
use self::status_line::StatusLine;
use crate::failure::Refused;
use crate::runtime;
use crate::token::Signer;

/// Where the data is unless `--data-dir` says otherwise.
pub(crate) const DATA_DIR: &str = "./.chatcluster";

/// How long the tokens of the start are good for.
const DEMO_TTL: Duration = Duration::from_hours(24);

/// Log filter where neither the command line nor the manifest has one: a terminal is for people.
const LOG_FILTER: &str = "warn";

/// Arguments of `chatctl local`.
#[derive(Debug, Args)]
#[command(
    after_help = "The manifest is checked as a cluster would check it. Engines are always embedded; what else is \
replaced is printed.

Examples:
  chatctl local -f examples/chatcluster.yaml
  chatctl local -f chatcluster.yaml --gateways 3 --port 9000
  chatctl local -f chatcluster.yaml --status-every 10s > local.log
  chatctl local -f chatcluster.yaml --data-dir /tmp/chat --json | jq -c 'select(.event == \"ready\")'"
)]
pub(crate) struct LocalArgs {
    /// Manifest of the ChatCluster.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Directory of the data, the token key and the control socket; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Directory of the Secrets that the manifest names, each a directory of its keys, as a pod has them mounted. Absent:
    /// the stack makes a key of its own.
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// Port of the front door; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Address of the front door. Any but a loopback one lets other machines in, over plain http.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Port of the demo page; 0 takes a free one. Absent: the one after the front door's, or a free one.
    #[arg(long, value_name = "PORT")]
    demo_port: Option<u16>,
    /// Number of gateways, whatever the connections. Absent: the manifest's replicas, or as its autoscaling says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    gateways: Option<u16>,
    /// Log filter, as in `info,chat_gateway=debug`. Absent: the manifest's, else `warn`.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG")]
    log: Option<String>,
    /// Tell this often how the stack is: a whole number and s, m, h or d. A terminal shows it live anyway.
    #[arg(long, value_name = "PERIOD")]
    status_every: Option<Period>,
    /// Tell of each event by one JSON object on one line.
    #[arg(long)]
    json: bool,
}

/// Runs the stack until a signal ends it.
pub(crate) fn run(args: &LocalArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    if args.demo_port.is_some() && !args.listen.is_loopback() {
        return Err(
            Refused("--demo-port goes with a loopback --listen only: the page hands out tokens".to_owned()).into()
        );
    }
    let cluster = manifest::load(&args.file)?;
    let line = StatusLine::new();
    start_log(&line, args.log.as_deref().or(cluster.spec.telemetry.log_level.as_deref()).unwrap_or(LOG_FILTER))?;
    let data = DataDir::open(&args.data_dir)?;
    runtime::block_on(serve(args, &cluster, &data, line, started))
}

fn start_log(line: &StatusLine, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Refused(format!("the log filter {filter:?} is wrong ({error}); write one as in info,chat_gateway=debug"))
    })?;
    let colour = status_line::is_coloured();
    let line = line.clone();
    let writer = move || line.clone();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour).init();
    Ok(())
}

async fn serve(
    args: &LocalArgs,
    cluster: &ChatCluster,
    data: &DataDir,
    line: StatusLine,
    started: Instant,
) -> anyhow::Result<()> {
    let mut end = End::listen()?;
    let report = Report::new(args.json, line.clone());
    let listener = front_door::bind(SocketAddr::new(args.listen, args.port), "--port")?;
    let door = front_door::address(&listener)?;
    let choices = Choices {
        data_dir: data.path(),
        front_door: door,
        gateways: args.gateways.map(usize::from),
        key_file: data.key_file(),
        secrets: args.secrets.as_deref(),
        admin_token_file: data.admin_token_file()?,
    };
    let settings = Settings::new(&cluster.spec, &choices);
    tell_start(&report, args, cluster, &settings)?;
    let signer = settings.claims.as_ref().map(|claims| data.signer(claims)).transpose()?;
    // Where others come in, what is printed is read by others: the logs of a pod are no place for tokens, and nor is a
    // page that others see.
    let signer = signer.filter(|_| door.ip().is_loopback());
    let demo = signer.as_ref().map(|_| demo::bind(args.listen, args.demo_port, args.port)).transpose()?;
    let demo_url = demo.as_ref().map(front_door::address).transpose()?.map(|demo| report::url("http", demo) + "/");

    let mut stack = Box::pin(Stack::start(&settings, data, &report)).await?;
    let control = control::bind(&data.socket())?;
    report.tell(&Event::Workers { admin_url: &report::url("http", stack.workers_admin_addr()) })?;
    // Dropped at the first signal: from then on nobody new comes in.
    let mut doors = JoinSet::new();
    doors.spawn(watch::run(stack.workers().clone(), report.clone()));
    if let Some((demo, signer)) = demo.zip(signer.clone()) {
        doors.spawn(serve::run(demo, demo::router(signer, door)));
    }
    doors.spawn(front_door::run(listener, Arc::clone(stack.fleet())));
    doors.spawn(control::run(control, Arc::clone(stack.fleet())));
    let (plans, plan) = tokio::sync::watch::channel(None);
    if let Some(rules) = settings.scaling {
        doors.spawn(autoscale::run(Arc::clone(stack.fleet()), rules, plans));
    }
    tell_ready(&report, data, &choices, signer.as_ref(), demo_url, started)?;
    let now = {
        let (fleet, workers) = (Arc::clone(stack.fleet()), stack.workers().clone());
        move || Snapshot::new(&fleet.statuses(), &workers.roles(), plan.borrow().as_ref(), SystemClock.now())
    };
    if let Some(every) = args.status_every.as_ref().map(Period::duration) {
        doors.spawn(tell_status(report.clone(), every, now.clone()));
    }
    if !args.json {
        doors.spawn(show_status(line.clone(), now));
    }

    let failed = tokio::select! {
        () = end.signal() => None,
        error = stack.failed() => Some(error),
    };
    doors.shutdown().await;
    line.clear();
    let told = report.tell(&Event::Stopping);
    tokio::select! {
        () = Box::pin(stack.stop()) => {}
        () = end.signal() => anyhow::bail!("stopped in haste: requests under way got no answer; no acknowledged message is lost"),
    }
    told.and_then(|()| report.tell(&Event::Stopped))?;
    failed.map_or(Ok(()), Err)
}

fn tell_start(report: &Report, args: &LocalArgs, cluster: &ChatCluster, settings: &Settings) -> anyhow::Result<()> {
    report.tell(&Event::Starting {
        version: env!("CARGO_PKG_VERSION"),
        name: cluster.metadata.name.as_deref().unwrap_or_default(),
        manifest: &args.file,
        data_dir: &args.data_dir,
    })?;
    settings.replaced.iter().try_for_each(|replacement| report.tell(&Event::Replaced(replacement)))?;
    settings.warnings.iter().try_for_each(|message| report.tell(&Event::Warning { message }))
}

fn tell_ready(
    report: &Report,
    data: &DataDir,
    choices: &Choices<'_>,
    signer: Option<&Signer>,
    demo_url: Option<String>,
    started: Instant,
) -> anyhow::Result<()> {
    let url = report::url("http", choices.front_door);
    let ws_url = report::url("ws", choices.front_door) + "/v1/ws";
    let mut commands = Vec::new();
    if let Some(signer) = signer {
        for user in DEMO_USERS {
            let token = signer.sign(&UserId::new(user)?, None, DEMO_TTL, SystemClock.now())?;
            report.tell(&Event::Token { user, token: &token })?;
        }
        commands = report::commands(data.path(), &url, &ws_url)?;
    }
    let after_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let admin_token_file = &choices.admin_token_file;
    report.tell(&Event::Ready(Ready { url, ws_url, demo_url, admin_token_file, after_ms, commands }))
}

/// Shows how the stack is, until it is dropped.
async fn show_status(line: StatusLine, now: impl Fn() -> Snapshot) {
    line.open();
    let mut updates = tokio::time::interval(status_line::UPDATE_EVERY);
    loop {
        updates.tick().await;
        line.show(&now());
    }
}

/// Tells how the stack is, until it is dropped or nobody listens.
async fn tell_status(report: Report, every: Duration, now: impl Fn() -> Snapshot) {
    let mut updates = tokio::time::interval(every.max(status_line::UPDATE_EVERY));
    loop {
        updates.tick().await;
        if let Err(error) = report.tell(&Event::Status(&now())) {
            return tracing::warn!(error = format!("{error:#}"), "nothing more is told of the stack");
        }
    }
}

/// The signals that end it: SIGINT (Ctrl-C) and SIGTERM.
struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    fn listen() -> anyhow::Result<Self> {
        let signal = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn signal(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
