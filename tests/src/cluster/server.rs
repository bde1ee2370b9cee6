//! A server of an engine that `tests/engines` started: killed, ended, paused, and started again on its data.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::workspace;

/// How long a server may take to end, and to start again.
const END: Duration = Duration::from_mins(1);
const START: Duration = Duration::from_mins(3);

/// One server.
#[derive(Debug, Clone)]
pub struct Server {
    engine: &'static str,
    name: String,
    script: &'static str,
    work: PathBuf,
}

impl Server {
    /// Names the server of an engine that has one, with the folder of its data.
    pub fn of(engine: &'static str, work: &Path) -> Self {
        Self { engine, name: engine.to_owned(), script: "up.sh", work: work.to_owned() }
    }

    /// Names one of several servers of an engine, which this script starts.
    pub fn one_of(engine: &'static str, name: &str, script: &'static str, work: &Path) -> Self {
        Self { engine, name: name.to_owned(), script, work: work.to_owned() }
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        let noted = std::fs::read_to_string(self.work.join(format!("{}.pid", self.name)))?;
        let pid = noted.split(' ').next().context("no process id")?.parse()?;
        Pid::from_raw(pid).context("no process id")
    }

    /// Stops it in its tracks, until [`resume`](Self::resume).
    pub fn pause(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid()?, Signal::STOP)?)
    }

    /// Lets it go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        Ok(kill_process(self.pid()?, Signal::CONT)?)
    }

    /// Kills it as a lost machine would.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.end_by(Signal::KILL).await
    }

    /// Asks it to end, and waits until it has.
    pub async fn end(&self) -> anyhow::Result<()> {
        self.end_by(Signal::TERM).await
    }

    async fn end_by(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid()?;
        kill_process(pid, signal)?;
        let deadline = Instant::now() + END;
        while PathBuf::from(format!("/proc/{pid}")).exists() {
            ensure!(Instant::now() < deadline, "{} does not end", self.name);
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Starts it again on its data, and waits until it answers.
    pub async fn start(&self) -> anyhow::Result<()> {
        let script = workspace().join("tests/engines").join(self.engine).join(self.script);
        let started = Command::new(script).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let started = timeout(START, started).await.with_context(|| format!("start {} again", self.name))??;
        ensure!(started.success(), "{} does not start again", self.name);
        Ok(())
    }
}
