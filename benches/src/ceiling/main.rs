//! The ceiling: how fast a chat server could be on this machine if it did nothing but write to sockets.
//!
//! A bare broadcaster on tokio and the WebSocket library of the gateway, without protocol, order or persistence,
//! against a generator that only counts frames; each in a process of its own, pinned to a core of its own. What
//! `chatctl load` measures is read as a part of these figures, taken in the same run on the same machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

mod disk;
mod drive;
mod frames;
mod process;
mod server;

use disk::SyncTimes;
use drive::{Cut, Rate, Task};
use process::{Child, Cores};
use server::Writing;

/// Measures the bare server: deliveries, direct messages, memory of an idle connection, and the disk's fdatasync.
#[derive(Debug, Parser)]
#[command(max_term_width = 110)]
#[command(after_help = "With --json the last line of standard output is one object:
  users, size            the group, and the bytes of each frame's payload
  pinned                 each process had its own core; else this is no ceiling
  deliveries_per_s       {flush_each, coalesced}: one group of --users, with a
                         flush a frame, or one for all queued frames
  direct_messages_per_s  {flush_each, coalesced}: pairs, in which each waits
                         for its copy before it sends the next
  saturation             of both, {server, generator}: part of a core used; a
                         server below 1 could do more than the figure says
  idle                   {connections, pss_bytes}: the server's memory for one
  cut                    {connections, back_ms}: all dropped at once, until
                         all are open again, without any back-off
  fdatasync_ms           {p50, p99}: 4 KiB appended and synced in --sync-dir")]
struct Ceiling {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    args: CeilingArgs,
}

#[derive(Debug, Args)]
struct CeilingArgs {
    /// Members of the group.
    #[arg(long, default_value_t = 500)]
    users: usize,
    /// Bytes of each frame's payload; a chat message of 100 bytes makes a frame of about 330.
    #[arg(long, default_value_t = 330)]
    size: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Pairs of the direct messages.
    #[arg(long, default_value_t = 200)]
    pairs: usize,
    /// Idle connections, and connections that are cut.
    #[arg(long, default_value_t = 5000)]
    idle: usize,
    /// Where fdatasync is measured; a new directory among the temporary ones by default.
    #[arg(long, value_name = "DIR")]
    sync_dir: Option<PathBuf>,
    /// Prints one JSON object as the last line.
    #[arg(long)]
    json: bool,
}

/// The processes that the program starts of itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// Serves.
    #[command(hide = true)]
    Serve(server::ServeArgs),
    /// Drives a server.
    #[command(hide = true)]
    Drive(drive::DriveArgs),
}

/// Two variants of the same figure.
#[derive(Debug, Clone, Copy, Serialize)]
struct Both<T> {
    flush_each: T,
    coalesced: T,
}

#[derive(Debug, Serialize)]
struct Saturations {
    deliveries: Both<Saturation>,
    direct_messages: Both<Saturation>,
}

/// Processor time used, as a part of one core.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Saturation {
    server: f64,
    generator: f64,
}

#[derive(Debug, Serialize)]
struct Idle {
    connections: usize,
    pss_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    users: usize,
    size: usize,
    pinned: bool,
    deliveries_per_s: Both<f64>,
    direct_messages_per_s: Both<f64>,
    saturation: Saturations,
    idle: Idle,
    cut: Cut,
    fdatasync_ms: SyncTimes,
}

fn main() -> anyhow::Result<ExitCode> {
    let Ceiling { role, args } = Ceiling::parse();
    process::raise_open_files()?;
    match role {
        Some(Role::Serve(args)) => server::run(&args)?,
        Some(Role::Drive(args)) => print_json(&drive::run(&args)?)?,
        None => measure(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &CeilingArgs) -> anyhow::Result<()> {
    let fdatasync_ms = match &args.sync_dir {
        Some(dir) => disk::measure(dir)?,
        None => disk::measure(tempfile::tempdir().context("no temporary directory")?.path())?,
    };
    let program = std::env::current_exe().context("the program does not know its own path")?;
    let bench = Bench { program: &program, cores: Cores::choose()?, args };
    let group = bench.both(Task::Group, args.users)?;
    let direct = bench.both(Task::Direct, args.pairs)?;
    let idle = bench.idle()?;
    let cut: Cut = bench.drive(&bench.serve(Writing::Coalesced)?, Task::Cut, args.idle)?;
    let saturation =
        |both: Both<Rate>| Both { flush_each: both.flush_each.saturation, coalesced: both.coalesced.saturation };
    let rate = |both: Both<Rate>| Both { flush_each: both.flush_each.per_s, coalesced: both.coalesced.per_s };
    let report = Report {
        users: args.users,
        size: args.size,
        pinned: bench.cores.are_two(),
        deliveries_per_s: rate(group),
        direct_messages_per_s: rate(direct),
        saturation: Saturations { deliveries: saturation(group), direct_messages: saturation(direct) },
        idle,
        cut,
        fdatasync_ms,
    };
    if args.json { print_json(&report) } else { print_table(&report) }
}

struct Bench<'a> {
    program: &'a Path,
    cores: Cores,
    args: &'a CeilingArgs,
}

impl Bench<'_> {
    /// Starts a server; it ends with the returned value.
    fn serve(&self, writing: Writing) -> anyhow::Result<Child> {
        let args = ["serve".to_owned(), "--core".to_owned(), self.cores.server.to_string(), writing.flag()];
        Child::start(self.program, &args)
    }

    /// Lets a generator do its task, and takes what it prints.
    fn drive<T: for<'a> Deserialize<'a>>(&self, server: &Child, task: Task, connections: usize) -> anyhow::Result<T> {
        let values = [
            ("--core", self.cores.generator.to_string()),
            ("--address", server.first_line.clone()),
            ("--server-pid", server.id().to_string()),
            ("--connections", connections.to_string()),
            ("--size", self.args.size.to_string()),
            ("--seconds", self.args.seconds.to_string()),
            ("--task", task.to_string()),
        ];
        let values = values.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        let args: Vec<String> = std::iter::once("drive".to_owned()).chain(values).collect();
        let deadline = Duration::from_secs(self.args.seconds) + Duration::from_mins(2);
        let line = Child::start(self.program, &args)?.finish(deadline)?;
        serde_json::from_str(&line).with_context(|| format!("the generator printed something else: {line:.200}"))
    }

    fn both(&self, task: Task, connections: usize) -> anyhow::Result<Both<Rate>> {
        Ok(Both {
            flush_each: self.drive(&self.serve(Writing::FlushEach)?, task, connections)?,
            coalesced: self.drive(&self.serve(Writing::Coalesced)?, task, connections)?,
        })
    }

    fn idle(&self) -> anyhow::Result<Idle> {
        let server = self.serve(Writing::Coalesced)?;
        // A first connection sets up what is there once.
        let few: Held = self.drive(&server, Task::Idle, 10)?;
        let many: Held = self.drive(&server, Task::Idle, self.args.idle)?;
        let connections = self.args.idle.saturating_sub(10).max(1);
        let pss_bytes = many.server_pss_bytes.saturating_sub(few.server_pss_bytes) / connections as u64;
        Ok(Idle { connections: self.args.idle, pss_bytes })
    }
}

/// What a generator prints that held connections.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    server_pss_bytes: u64,
}

fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{text}").context("cannot write to standard output")
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(value)?)
}

fn print_table(report: &Report) -> anyhow::Result<()> {
    let Report { deliveries_per_s: group, direct_messages_per_s: direct, saturation, idle, cut, fdatasync_ms, .. } =
        report;
    let rows = [
        ("deliveries/s, a flush a frame", group.flush_each, saturation.deliveries.flush_each),
        ("deliveries/s, coalesced writes", group.coalesced, saturation.deliveries.coalesced),
        ("direct messages/s, a flush a frame", direct.flush_each, saturation.direct_messages.flush_each),
        ("direct messages/s, coalesced writes", direct.coalesced, saturation.direct_messages.coalesced),
    ];
    print(&format!("one group of {}, {} bytes a frame, a core each: {}", report.users, report.size, report.pinned))?;
    for (name, per_s, Saturation { server, generator }) in rows {
        print(&format!("{name:36} {per_s:>12.0}   server {server:.2} of a core, generator {generator:.2}"))?;
    }
    print(&format!("{:36} {:>12} bytes", "idle connection", idle.pss_bytes))?;
    print(&format!("{} {:21} {:>12.0} ms", cut.connections, "connections cut, back in", cut.back_ms))?;
    print(&format!("{:36} {:>12.2} ms p50, {:.2} ms p99", "fdatasync", fdatasync_ms.p50, fdatasync_ms.p99))
}
