//! Gateways and workers as processes on real engines, behind one front door.
//!
//! ```text
//!  clients ──► front door ──► gateway-0, gateway-1 ─┐
//!                              workers-0, workers-1 ┴──► Kafka, Cassandra, Redis, Elasticsearch
//! ```
//!
//! `tests/run.sh engines` starts the engines, and says by variables where they and the binaries are. Every cluster has
//! names of its own in them.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio::time::timeout;

mod brokers;
mod door;
mod keyspace;
mod process;
mod redis;
mod server;
mod settings;

pub use brokers::Brokers;
use door::Door;
use keyspace::Keyspace;
pub use process::{Kind, Process};
pub use redis::RedisCluster;
pub use server::Server;
pub use settings::Setup;

/// How long provisioning may take, and a process to become ready.
pub const READY: Duration = Duration::from_mins(2);

/// Returns a variable that `tests/run.sh engines` sets.
pub fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run `tests/run.sh engines`"))
}

/// Two gateways and two workers.
#[derive(Debug)]
pub struct Cluster {
    dir: tempfile::TempDir,
    /// The gateways.
    pub gateways: Vec<Process>,
    /// The workers.
    pub workers: Vec<Process>,
    /// Where clients connect.
    pub url: String,
    /// What stands before the names of topics and keys.
    pub prefix: String,
    door: Door,
    _keyspace: Keyspace,
}

impl Cluster {
    /// Provisions and starts everything, and waits until it is ready.
    pub async fn start(setup: &Setup) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let (prefix, keyspace) = setup.write(dir.path())?;
        let config = config_of(dir.path());
        provision(&config).await?;
        let mut workers = Vec::new();
        let mut gateways = Vec::new();
        for n in 0..2 {
            workers.push(Process::start(Kind::Workers, &format!("workers-{n}"), &config, &[]).await?);
            let variables = if n == 0 { setup.first_gateway.as_slice() } else { &[] };
            gateways.push(Process::start(Kind::Gateway, &format!("gateway-{n}"), &config, variables).await?);
        }
        for process in workers.iter_mut().chain(&mut gateways) {
            process.ready().await?;
        }
        let door = Door::open(gateways.iter().map(Process::listen).collect()).await?;
        Ok(Self { url: door.url(), dir, gateways, workers, prefix, door, _keyspace: keyspace })
    }

    /// Starts one more process of workers, and waits until it is ready.
    pub async fn add_workers(&mut self) -> anyhow::Result<&mut Process> {
        let name = format!("workers-{}", self.workers.len());
        let mut added = Process::start(Kind::Workers, &name, &config_of(self.dir.path()), &[]).await?;
        added.ready().await?;
        self.workers.push(added);
        self.workers.last_mut().context("one was added")
    }

    /// Starts one more gateway with these variables; it is ready later.
    pub async fn add_gateway(&mut self, variables: &[(String, String)]) -> anyhow::Result<&mut Process> {
        let name = format!("gateway-{}", self.gateways.len());
        let added = Process::start(Kind::Gateway, &name, &config_of(self.dir.path()), variables).await?;
        self.gateways.push(added);
        self.gateways.last_mut().context("one was added")
    }

    /// Runs a command of `chat-workers` with the settings of this cluster and these variables.
    pub async fn command(&self, words: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Output> {
        run(&config_of(self.dir.path()), words, variables).await
    }

    /// Cuts every connection between clients and gateways, in the middle of whatever they carry.
    pub fn cut(&self) {
        self.door.cut();
    }

    /// Returns whose topics and keyspace it has.
    pub fn owner(&self) -> &str {
        self.prefix.trim_start_matches("e-").trim_end_matches('-')
    }

    /// Returns the file with the key of the tokens.
    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join("jwt.key")
    }

    /// Returns the ends of the logs of all processes, for the message of a test that fails.
    pub fn logs(&self) -> String {
        let read = |process: &Process| {
            let text = std::fs::read_to_string(process.log()).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(15)..];
            format!("== {}\n{}\n", process.name(), last.join("\n"))
        };
        self.workers.iter().chain(&self.gateways).map(read).collect()
    }

    /// Ends all of it, as an operator would.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for process in self.gateways.iter_mut().chain(&mut self.workers) {
            process.end().await?;
        }
        Ok(())
    }
}

fn config_of(dir: &Path) -> PathBuf {
    dir.join("chat.json")
}

async fn provision(config: &Path) -> anyhow::Result<()> {
    let output = run(config, &["provision"], &[]).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{told} {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn run(config: &Path, words: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Output> {
    let mut command = Command::new(variable("WORKERS_BIN")?);
    command.arg("-c").arg(config).args(words).envs(variables.iter().copied()).stdin(Stdio::null());
    Ok(timeout(READY, command.output()).await.with_context(|| format!("wait for chat-workers {words:?}"))??)
}
