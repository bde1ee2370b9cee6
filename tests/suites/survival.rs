//! The promise under kill -9: whatever `chatctl load` saw acknowledged is there exactly once, in one order.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::Stack;
use tests::stack::Setup;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// Kills in a run; more with `KILLS`.
fn kills() -> u32 {
    std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20)
}

/// Starts `chatctl load` for this many seconds.
fn load(
    url: &str,
    data_dir: &std::path::Path,
    seconds: u64,
    arguments: &[&str],
) -> anyhow::Result<tokio::process::Child> {
    Command::new(tests::chatctl()?)
        .args(["load", "--json", "--url", url, "--data-dir"])
        .arg(data_dir)
        .args(["--duration", &format!("{seconds}s")])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start chatctl load")
}

/// Waits for a load to end and returns its report.
async fn report(load: tokio::process::Child, deadline: Duration) -> anyhow::Result<(bool, Value)> {
    let output = timeout(deadline, load.wait_with_output()).await.context("wait for chatctl load")??;
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().context("chatctl load printed nothing")?;
    Ok((output.status.success(), serde_json::from_str(last)?))
}

fn assert_clean(report: &Value) {
    for count in ["lost", "duplicated", "misordered"] {
        assert_eq!(report[count], 0, "{count} in {report}");
    }
    assert!(report["acked"].as_u64().is_some_and(|acked| acked > 0), "nothing was acknowledged: {report}");
}

/// Starts two gateways without limits on sends: what piles up while the stack is down is sent at once afterwards.
async fn unlimited(data_dir: &std::path::Path) -> anyhow::Result<Stack> {
    let example = Setup::example(data_dir).with(&["--gateways", "2"]);
    Setup { manifest: tests::workspace().join("examples/benchmark.yaml"), ..example }.start().await
}

/// Users in groups. Sessions that are cut again and again back off for up to 30 s, as the protocol asks, so what they
/// missed is waited for longer than that. Whether the generator was on time is a matter of the machine, not of the promise.
const LOAD: [&str; 10] =
    ["--users", "40", "--groups", "4x12", "--rate", "200", "--drain", "120s", "--late-fraction", "1"];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_when_the_process_is_killed() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut stack = unlimited(dir.path()).await?;
    let kills = kills();
    let seconds = u64::from(kills) * 3 + 5;
    let load = load(&stack.url, dir.path(), seconds, &LOAD)?;
    for kill in 1..=kills {
        // The pause is the load between two kills, not a wait for something.
        sleep(Duration::from_millis(1_000 + u64::from(kill * 97 % 1_000))).await;
        stack = stack.kill().await?.start().await.with_context(|| format!("start after kill {kill}"))?;
        assert!(stack.ready_ms <= 3_000, "ready {} ms after kill {kill}", stack.ready_ms);
    }
    let (_, report) = report(load, Duration::from_secs(seconds + 180)).await?;
    assert_clean(&report);
    assert!(stack.interrupt().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_across_one_kill_exits_with_zero() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = unlimited(dir.path()).await?;
    let load = load(&stack.url, dir.path(), 12, &LOAD)?;
    sleep(Duration::from_secs(4)).await;
    let stack = stack.kill().await?.start().await?;
    let (success, report) = report(load, Duration::from_mins(3)).await?;
    assert_clean(&report);
    assert!(success, "{report}");
    assert!(stack.interrupt().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_is_judged_by_what_was_sent() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = unlimited(dir.path()).await?;
    let load = load(&stack.url, dir.path(), 600, &LOAD)?;
    let id = load.id().context("chatctl load has ended")?;
    // Long enough for the first messages: the run itself, not a wait for something.
    sleep(Duration::from_secs(3)).await;
    kill_process(Pid::from_raw(i32::try_from(id)?).context("no process id")?, Signal::INT)?;
    let (success, report) = report(load, Duration::from_mins(1)).await?;
    assert_clean(&report);
    assert!(success, "{report}");
    assert_eq!(
        (report["sent"].as_u64(), &report["generator"]["unsent"]),
        (report["acked"].as_u64(), &0.into()),
        "{report}"
    );
    assert!(stack.interrupt().await?.success());
    Ok(())
}

/// Drains and adds gateways under load, then kills the process, all while clients talk over one transport.
async fn comings_and_goings(transport: &str) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = unlimited(dir.path()).await?;
    let gateways = async |arguments: &[&str]| {
        let mut command = Command::new(tests::chatctl()?);
        command.arg("gateways").args(arguments).arg("--data-dir").arg(dir.path()).kill_on_drop(true);
        let output =
            timeout(Duration::from_secs(30), command.output()).await.context("wait for chatctl gateways")??;
        anyhow::ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let mut arguments = vec!["--transport", transport, "--users", "30", "--groups", "3x12", "--rate", "100"];
    arguments.extend(["--drain", "120s", "--late-fraction", "1"]);
    let load = load(&stack.url, dir.path(), 16, &arguments)?;
    // The pauses are the load between two changes, not waits for something.
    let pause = Duration::from_secs(2);
    sleep(pause).await;
    gateways(&["add"]).await?;
    gateways(&["drain", "gateway-0"]).await?;
    sleep(pause).await;
    gateways(&["add"]).await?;
    gateways(&["drain", "gateway-1"]).await?;
    sleep(pause).await;
    let stack = stack.kill().await?.start().await?;
    sleep(pause).await;
    gateways(&["drain", "gateway-1"]).await?;
    let (success, report) = report(load, Duration::from_mins(4)).await?;
    assert_clean(&report);
    assert!(success, "{report}");
    let moved = report["disconnects"].as_object().context("no disconnects")?;
    assert!(moved.values().filter_map(Value::as_u64).sum::<u64>() >= 30, "everybody was moved at least once: {report}");
    assert!(stack.interrupt().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_outlive_gateways_that_drain_come_and_die() -> anyhow::Result<()> {
    comings_and_goings("ws").await
}

#[tokio::test(flavor = "multi_thread")]
async fn event_streams_outlive_gateways_that_drain_come_and_die() -> anyhow::Result<()> {
    comings_and_goings("sse").await
}

#[tokio::test(flavor = "multi_thread")]
async fn long_polls_outlive_gateways_that_drain_come_and_die() -> anyhow::Result<()> {
    comings_and_goings("poll").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_run_is_clean_and_exits_with_zero() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let stack = Stack::start(dir.path()).await?;
    let arguments = ["--users", "30", "--groups", "2x20", "--rate", "50", "--late-fraction", "1"];
    let load = load(&stack.url, dir.path(), 5, &arguments)?;
    let (success, report) = report(load, Duration::from_secs(90)).await?;
    assert_clean(&report);
    assert!(success, "{report}");
    Ok(())
}
