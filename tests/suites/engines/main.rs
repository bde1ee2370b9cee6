//! Gateways and workers on real Kafka, Cassandra, Redis and Elasticsearch: the promise, while each part is broken under
//! load.
//!
//! `tests/run.sh engines` starts the engines. `FAULTS` is how often each fault is injected (2; where recovery takes more
//! than 20 s a quarter of it, at least 1); with `UPDATE_DOCS=1` the figures go to `docs/reliability.json` and from there
//! to `docs/reliability.md`.

mod cassandra;
mod gateways;
mod kafka;
mod processes;
mod redis;
mod search;
mod table;
mod workers;

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::cluster::{Cluster, Setup};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{sleep, timeout};

/// One at a time: the engines are shared, and many of the faults are theirs.
static TURN: Mutex<()> = Mutex::const_new(());

/// Load before a fault, and after it. A pause of the load itself, not a wait for something.
const BETWEEN: Duration = Duration::from_secs(2);

/// Longest run, for the tokens and the plan of the load; it is ended when the last fault is over.
const LONGEST: Duration = Duration::from_hours(1);

/// How long the load may take after its end to see every message come.
const LEVEL: Duration = Duration::from_mins(4);

/// 40 users in groups of 12, a hundred messages a second: what a machine bears that runs all engines too.
const LOAD: &str = "--users 40 --groups 4x12 --rate 100 --drain 180s --late-fraction 1";

/// Whether recovery from a fault takes more than 20 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    Quick,
    Slow,
}

impl Recovery {
    /// Returns how often a fault is injected in one run.
    fn times(self) -> usize {
        let times = std::env::var("FAULTS").ok().and_then(|faults| faults.parse().ok()).unwrap_or(2);
        match self {
            Self::Quick => times,
            Self::Slow => (times / 4).max(1),
        }
    }
}

async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Users who talk until they are told to end.
#[derive(Debug)]
struct Load(Child);

impl Load {
    fn start(cluster: &Cluster) -> anyhow::Result<Self> {
        let load = Command::new(tests::chatctl()?)
            .args(["load", "--json", "--url", &cluster.url, "--key-file"])
            .arg(cluster.key_file())
            .args(["--duration", &format!("{}s", LONGEST.as_secs())])
            .args(LOAD.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        Ok(Self(load.context("start chatctl load")?))
    }

    /// Ends the talk, waits until every member has every message, and returns the ledger's report.
    async fn end(self) -> anyhow::Result<Value> {
        let id = self.0.id().context("chatctl load ended before its time")?;
        kill_process(Pid::from_raw(i32::try_from(id)?).context("no process id")?, Signal::INT)?;
        let output = timeout(LEVEL, self.0.wait_with_output()).await.context("wait for chatctl load")??;
        let text = String::from_utf8(output.stdout)?;
        let last = text.lines().last().context("chatctl load printed nothing")?;
        Ok(serde_json::from_str(last)?)
    }
}

fn check(report: &Value, cluster: &Cluster) -> anyhow::Result<()> {
    for count in ["lost", "duplicated", "misordered", "contradicted"] {
        ensure!(report[count] == 0, "{count} in {report}\n{}", cluster.logs());
    }
    ensure!(report["acked"].as_u64().is_some_and(|acked| acked > 0), "{report}\n{}", cluster.logs());
    Ok(())
}

/// Injects a fault a few times under load, and notes what came of it.
async fn survives(
    setup: &Setup,
    fault: &str,
    recovery: Recovery,
    inject: impl AsyncFnMut(&mut Cluster, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(setup).await?;
    let load = Load::start(&cluster)?;
    let injected = inject_all(&mut cluster, recovery.times(), inject).await;
    let report = load.end().await.with_context(|| cluster.logs())?;
    injected.with_context(|| cluster.logs())?;
    check(&report, &cluster)?;
    cluster.stop().await?;
    table::note(fault, recovery.times(), &report)
}

async fn inject_all(
    cluster: &mut Cluster,
    times: usize,
    mut inject: impl AsyncFnMut(&mut Cluster, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for n in 0..times {
        sleep(BETWEEN).await;
        inject(cluster, n).await.with_context(|| format!("injection {}", n + 1))?;
        sleep(BETWEEN).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_run_through_two_gateways_is_clean() -> anyhow::Result<()> {
    let _turn = turn().await;
    let cluster = Cluster::start(&Setup::from_variables()?).await?;
    let load = Load::start(&cluster)?;
    sleep(Duration::from_secs(10)).await;
    check(&load.end().await?, &cluster)?;
    for process in cluster.gateways.iter().chain(&cluster.workers) {
        let status = process.status().await?;
        let engines = status["engines"].as_array().context("no engines")?;
        let up: Vec<_> = engines.iter().filter(|engine| engine["up"] == true).collect();
        ensure!(up.len() == 4, "{status}");
    }
    cluster.stop().await
}
