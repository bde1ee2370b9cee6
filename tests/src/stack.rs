//! `chatctl local` as a process: started, killed, ended, and started again on the same data.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::rest::Rest;
use crate::socket::Socket;
use crate::{chatctl, workspace};

/// How long a stack may take to become ready; the promise is 2 s on an idle machine.
const READY: Duration = Duration::from_secs(30);

/// How long a stack may take to end.
const END: Duration = Duration::from_secs(30);

/// How a stack is started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The manifest.
    pub manifest: PathBuf,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The port of the front door, 0 for any.
    pub port: u16,
    /// More arguments.
    pub arguments: Vec<String>,
}

/// A running stack.
#[derive(Debug)]
pub struct Stack {
    setup: Setup,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Where REST calls go.
    pub url: String,
    /// Every event that the stack told of before it was ready.
    pub told: Vec<Value>,
    /// Milliseconds from its start until it was ready, as it says.
    pub ready_ms: u64,
}

impl Setup {
    /// Makes a set-up of the example manifest on this data directory.
    pub fn example(data_dir: &Path) -> Self {
        Self {
            manifest: workspace().join("examples/chatcluster.yaml"),
            data_dir: data_dir.to_owned(),
            port: 0,
            arguments: Vec::new(),
        }
    }

    /// Makes a set-up of the example manifest with more lines in its `spec`, all in this directory.
    pub fn extended(dir: &Path, more: &str) -> anyhow::Result<Self> {
        let example = std::fs::read_to_string(workspace().join("examples/chatcluster.yaml"))?;
        let manifest = dir.join("chatcluster.yaml");
        std::fs::write(&manifest, format!("{example}{more}"))?;
        Ok(Self { manifest, ..Self::example(&dir.join("data")) })
    }

    /// Adds arguments.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Starts the stack and waits until it is ready.
    pub async fn start(self) -> anyhow::Result<Stack> {
        let mut child = Command::new(chatctl()?)
            .args(["local", "--json", "-f"])
            .arg(&self.manifest)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--port", &self.port.to_string()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start chatctl local")?;
        let stdout = child.stdout.take().context("chatctl local has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut told = Vec::new();
        let ready = timeout(READY, async {
            while let Some(line) = lines.next_line().await? {
                let event: Value = serde_json::from_str(&line).with_context(|| format!("read the line {line:?}"))?;
                let is_ready = event["event"] == "ready";
                told.push(event);
                if is_ready {
                    return Ok(());
                }
            }
            bail!("chatctl local ended before it was ready; its events: {told:?}")
        });
        ready.await.context("wait for chatctl local to be ready")??;
        let ready = told.last().cloned().unwrap_or_default();
        let url = ready["url"].as_str().context("the ready event has no url")?.to_owned();
        let ready_ms = ready["after_ms"].as_u64().context("the ready event has no after_ms")?;
        Ok(Stack { setup: self, child, lines, url, told, ready_ms })
    }
}

impl Stack {
    /// Starts the example manifest on this data directory.
    pub async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        Setup::example(data_dir).start().await
    }

    /// Returns a token of a user.
    pub async fn token(&self, user: &str) -> anyhow::Result<String> {
        Ok(self.run_here(&["token", "--user", user]).await?.trim().to_owned())
    }

    /// Returns a token of the app's own backend.
    pub async fn admin_token(&self) -> anyhow::Result<String> {
        let arguments = ["token", "--user", "backend", "--scope", "read write admin"];
        Ok(self.run_here(&arguments).await?.trim().to_owned())
    }

    /// Returns a REST client of the app's own backend.
    pub async fn admin(&self) -> anyhow::Result<Rest> {
        Ok(Rest::new(&self.url, Some(self.admin_token().await?)))
    }

    /// Runs a command of `chatctl` on the stack's data directory, and returns what it prints.
    pub async fn run_here(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(chatctl()?);
        let output = command.args(arguments).arg("--data-dir").arg(&self.setup.data_dir).output().await?;
        anyhow::ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a command of `chatctl` that calls the stack, and returns what it prints.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run_here(&[arguments, &["--url", &self.url]].concat()).await
    }

    /// Returns a REST client of a user.
    pub async fn rest(&self, user: &str) -> anyhow::Result<Rest> {
        Ok(Rest::new(&self.url, Some(self.token(user).await?)))
    }

    /// Connects a user's session and takes its `hello`.
    pub async fn connect(&self, user: &str) -> anyhow::Result<Socket> {
        Socket::connect(&self.url, &self.token(user).await?).await
    }

    /// Returns the process id.
    pub fn pid(&self) -> anyhow::Result<i32> {
        Ok(self.child.id().context("the stack has ended")?.try_into()?)
    }

    /// Returns the port of the front door.
    pub fn port(&self) -> anyhow::Result<u16> {
        let port = self.url.rsplit(':').next().context("the url has no port")?;
        Ok(port.trim_end_matches('/').parse()?)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid()?).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills it as a power cut would, page cache excepted, and returns how to start it again on the same port.
    pub async fn kill(mut self) -> anyhow::Result<Setup> {
        let port = self.port()?;
        self.child.kill().await?;
        Ok(Setup { port, ..self.setup })
    }

    /// Asks it to end, as Ctrl-C does, and returns how it ended.
    pub async fn interrupt(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::INT)?;
        let ended = timeout(END, async {
            while self.lines.next_line().await?.is_some() {}
            self.child.wait().await
        });
        Ok(ended.await.context("wait for chatctl local to end")??)
    }
}
