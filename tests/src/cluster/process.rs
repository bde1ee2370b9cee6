//! One gateway, or one process of workers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{READY, variable};
use crate::rest::Rest;

/// Bearer token of the admin ports.
pub(super) const ADMIN_TOKEN: &str = "an admin token of the tests";

/// How long a process may take to end: a gateway's drain, and what workers have under way.
const END: Duration = Duration::from_secs(20);

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `chat-gateway`.
    Gateway,
    /// `chat-workers`.
    Workers,
}

/// One process.
#[derive(Debug)]
pub struct Process {
    kind: Kind,
    name: String,
    listen: SocketAddr,
    admin: SocketAddr,
    config: PathBuf,
    variables: Vec<(String, String)>,
    child: Child,
}

impl Process {
    /// Starts it; it is ready later.
    pub async fn start(kind: Kind, name: &str, config: &Path, variables: &[(String, String)]) -> anyhow::Result<Self> {
        let (listen, admin) = (free_port().await?, free_port().await?);
        let (name, config, variables) = (name.to_owned(), config.to_owned(), variables.to_vec());
        let child = spawn(kind, &name, listen, admin, &config, &variables)?;
        Ok(Self { kind, name, listen, admin, config, variables, child })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns where clients connect to it.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns the file it logs to.
    pub fn log(&self) -> PathBuf {
        log_of(&self.config, &self.name)
    }

    /// Kills it as a lost machine would, and starts it again at the same place.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        self.spawn()
    }

    /// Starts it again, after its end.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        self.child = spawn(self.kind, &self.name, self.listen, self.admin, &self.config, &self.variables)?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let ended =
            timeout(END, self.child.wait()).await.with_context(|| format!("wait for {} to end", self.name))??;
        ensure!(ended.success(), "{} ended with {ended}", self.name);
        Ok(())
    }

    /// Stops it in its tracks, until [`resume`](Self::resume).
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let pid = Pid::from_raw(i32::try_from(id)?).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Returns what `/readyz` answers, `None` where nobody does.
    pub async fn readyz(&self) -> Option<u16> {
        let answer = Rest::new(&format!("http://{}", self.admin), None).get("/readyz").await;
        answer.ok().map(|answer| answer.status.as_u16())
    }

    /// Returns what `/status` says.
    pub async fn status(&self) -> anyhow::Result<Value> {
        let rest = Rest::new(&format!("http://{}", self.admin), Some(ADMIN_TOKEN.to_owned()));
        Ok(rest.get("/status").await?.body)
    }

    /// Waits until it is ready.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY;
        while self.readyz().await != Some(200) {
            ensure!(self.child.try_wait()?.is_none(), "{} ended: {}", self.name, std::fs::read_to_string(self.log())?);
            ensure!(Instant::now() < deadline, "{} is not ready: {:?}", self.name, self.status().await);
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

fn log_of(config: &Path, name: &str) -> PathBuf {
    config.with_file_name(format!("{name}.log"))
}

fn spawn(
    kind: Kind,
    name: &str,
    listen: SocketAddr,
    admin: SocketAddr,
    config: &Path,
    variables: &[(String, String)],
) -> anyhow::Result<Child> {
    let mut command = match kind {
        Kind::Gateway => Command::new(variable("GATEWAY_BIN")?),
        Kind::Workers => Command::new(variable("WORKERS_BIN")?),
    };
    match kind {
        Kind::Gateway => command
            .env("CHAT_GATEWAY__NAME", name)
            .env("CHAT_GATEWAY__LISTEN", listen.to_string())
            .env("CHAT_GATEWAY__ADMIN_LISTEN", admin.to_string()),
        Kind::Workers => command.env("CHAT_WORKERS__ADMIN_LISTEN", admin.to_string()),
    };
    let log = std::fs::File::options().create(true).append(true).open(log_of(config, name))?;
    command.envs(variables.iter().cloned()).arg("-c").arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().with_context(|| format!("start {name}"))
}

async fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}
