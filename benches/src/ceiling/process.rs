//! Processes: a core for each, what they use, and how they end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::time::Instant;

/// The cores of the two processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    /// The server's.
    pub server: usize,
    /// The generator's.
    pub generator: usize,
}

impl Cores {
    /// Takes the first two cores that this process may use; both the same where there is one only.
    pub(crate) fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("the system does not tell which cores there are")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let server = cores.next().context("no core")?;
        Ok(Self { server, generator: cores.next().unwrap_or(server) })
    }

    /// Returns whether each has its own.
    pub(crate) fn are_two(self) -> bool {
        self.server != self.generator
    }
}

/// Keeps this process on one core; to be called before it has other threads.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    ensure!(core < CpuSet::MAX_CPU, "there is no core {core}");
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot keep to core {core}"))
}

/// Raises the limit of open files as far as it goes.
pub(crate) fn raise_open_files() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

/// Returns the processor time that the main thread of a process has used; ours have no other.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/schedstat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let nanos = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Ok(Duration::from_nanos(nanos.with_context(|| format!("{path} has another form"))?))
}

/// Returns the memory of a process, with its part of what it shares.
pub(crate) fn pss_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(kib.with_context(|| format!("{path} has another form"))? * 1024)
}

/// A process of this program, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    stdout: Option<BufReader<ChildStdout>>,
    /// The first line it printed.
    pub first_line: String,
}

impl Child {
    /// Starts the program with `args` and waits for its first line.
    pub(crate) fn start(program: &Path, args: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = process.stdout.take().map(BufReader::new);
        let mut child = Self { process, stdout, first_line: String::new() };
        child.first_line = child.read_line()?;
        Ok(child)
    }

    fn read_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().context("the process has no output")?;
        stdout.read_line(&mut line).context("cannot read what the process prints")?;
        ensure!(!line.is_empty(), "the process ended without a word");
        Ok(line.trim_end().to_owned())
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the process to end well, and returns its line.
    pub(crate) fn finish(mut self, deadline: Duration) -> anyhow::Result<String> {
        let give_up = Instant::now() + deadline;
        loop {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "the process failed: {status}");
                return Ok(std::mem::take(&mut self.first_line));
            }
            if Instant::now() > give_up {
                bail!("the process did not end in {deadline:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
