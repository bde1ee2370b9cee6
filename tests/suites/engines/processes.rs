//! What the processes say and refuse.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::cluster::{Cluster, Process, Setup};
use tokio::time::{Instant, sleep};

use crate::turn;

/// How long until an engine that does not answer is told of.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

async fn until_it_is_down(process: &Process, name: &str) -> anyhow::Result<String> {
    let deadline = Instant::now() + TOLD_WITHIN;
    loop {
        let status = process.status().await.unwrap_or_default();
        let mut engines = status["engines"].as_array().into_iter().flatten();
        let reason = engines.find(|engine| engine["name"] == name).and_then(|engine| engine["reason"].as_str());
        if let Some(reason) = reason {
            ensure!(status["ready"] == false, "{status}");
            return Ok(reason.to_owned());
        }
        ensure!(Instant::now() < deadline, "{name} is not told of: {status}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_waits_for_its_engines_and_says_for_which() -> anyhow::Result<()> {
    let _turn = turn().await;
    let mut cluster = Cluster::start(&Setup::from_variables()?).await?;
    let nowhere = |setting: &str, value: &str| [(format!("CHAT_ENGINES__{setting}"), value.to_owned())];
    for (engine, variables) in [
        ("kafka", nowhere("KAFKA__BOOTSTRAP_SERVERS", "['127.0.0.1:1']")),
        ("cassandra", nowhere("CASSANDRA__CONTACT_POINTS", "['127.0.0.1:1']")),
        ("cassandra", nowhere("CASSANDRA__KEYSPACE", "nobody_made_it")),
        ("redis", nowhere("REDIS__URLS", "['redis://127.0.0.1:1']")),
    ] {
        let gateway = cluster.add_gateway(&variables).await?;
        let reason = until_it_is_down(gateway, engine).await?;
        ensure!(!reason.is_empty());
        assert_eq!(gateway.readyz().await, Some(503), "{engine}: {reason}");
        let mut gateway = cluster.gateways.pop().context("one was added")?;
        gateway.end().await.with_context(|| format!("while it waits for {engine}"))?;
    }
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_told_with_their_path() -> anyhow::Result<()> {
    let _turn = turn().await;
    let cluster = Cluster::start(&Setup::from_variables()?).await?;
    for ((name, value), told) in [
        (("CHAT_ENGINES__KAFKA__PARTITIONS", "many"), "engines.kafka.partitions: invalid type"),
        (("CHAT_ENGINES__KAFKA__PARTITION", "8"), "unknown field `partition`"),
        (("CHAT_GATEWAY__ADMIN_TOKEN_FILE", "/no/such"), "gateway.adminTokenFile: cannot read /no/such"),
        (("CHAT_WORKERS__ROLES", "[]"), "workers.roles: it names no role"),
        (("CHAT_LOG__FILTER", "a=b=c"), "log.filter: "),
    ] {
        let output = cluster.command(&["--check"], &[(name, value)]).await?;
        let error = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{error}");
        ensure!(error.contains(told), "{error}");
    }
    let url = ("CHAT_ENGINES__REDIS__URLS", "['redis://ann:secret@127.0.0.1:1']");
    let output = cluster.command(&["--dump-config"], &[url]).await?;
    let shown = String::from_utf8(output.stdout)?;
    ensure!(shown.contains("redis://***@127.0.0.1:1") && !shown.contains("secret"), "{shown}");
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_clusters_is_refused_and_can_be_given_up() -> anyhow::Result<()> {
    let _turn = turn().await;
    let cluster = Cluster::start(&Setup::from_variables()?).await?;
    let other = [("CHAT_PROVISION__OWNER", "other")];
    let refused = cluster.command(&["provision"], &other).await?;
    ensure!(!refused.status.success());
    let report: Value = serde_json::from_slice(&refused.stdout)?;
    let owner = cluster.owner();
    for part in ["topics", "keyspace"] {
        let reason = report[part]["reason"].as_str().unwrap_or_default();
        ensure!(
            reason.contains(&format!("belong to {owner}")) || reason.contains(&format!("belongs to {owner}")),
            "{report}"
        );
    }
    let taken = cluster.command(&["provision", "--take-over", owner], &other).await?;
    ensure!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stdout));
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_adopted_only_while_nobody_reads_it() -> anyhow::Result<()> {
    let _turn = turn().await;
    let mut cluster = Cluster::start(&Setup::from_variables()?).await?;
    let redriven = cluster.command(&["log", "redrive"], &[]).await?;
    ensure!(redriven.status.success(), "{}", String::from_utf8_lossy(&redriven.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&redriven.stdout)?, json!({"records": 0}));
    let refused = cluster.command(&["log", "adopt"], &[]).await?;
    let error = String::from_utf8(refused.stderr)?;
    ensure!(!refused.status.success() && error.contains("stop its workers first"), "{error}");
    for workers in &mut cluster.workers {
        workers.end().await?;
    }
    let adopted = cluster.command(&["log", "adopt"], &[]).await?;
    ensure!(adopted.status.success(), "{}", String::from_utf8_lossy(&adopted.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&adopted.stdout)?, json!({"epoch": 2}));
    let rewound = cluster.command(&["log", "rewind", "--since", "2026-01-01T00:00:00Z"], &[]).await?;
    ensure!(rewound.status.success(), "{}", String::from_utf8_lossy(&rewound.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&rewound.stdout)?["partitions"], json!([]), "nothing was read");
    for workers in &mut cluster.workers {
        workers.spawn()?;
        workers.ready().await?;
    }
    cluster.stop().await
}
