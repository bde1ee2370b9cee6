//! Workers that die, that own a partition together, and that are given what nobody can read.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use chat_core::config::KafkaConfig;
use chat_core::message_log::kafka::KafkaLog;
use chat_core::message_log::{Append, MessageLog as _, Topic};
use serde_json::Value;
use tests::cluster::{Cluster, Process, Setup};
use tokio::time::{Instant, sleep};

use crate::{Recovery, survives, turn};

/// How long a group may take to give a partition to another member.
const MOVES_WITHIN: Duration = Duration::from_mins(1);

/// Partitions of each topic.
const PARTITIONS: u32 = 8;

/// Waits until workers sequence so many partitions.
async fn until_it_owns(workers: &Process, count: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + MOVES_WITHIN;
    loop {
        let status = workers.status().await.unwrap_or_default();
        let roles = status["roles"].as_array().into_iter().flatten();
        let mut sequencers = roles.filter(|role| role["role"] == "sequencer");
        let owned = sequencers.next().and_then(|role| role["partitions"].as_array()).map_or(0, Vec::len);
        if owned >= count {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{} owns {owned} partitions, not {count}: {status}", workers.name());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_worker_is_killed() -> anyhow::Result<()> {
    let _turn = turn().await;
    survives(&Setup::from_variables()?, "worker killed", Recovery::Quick, async |cluster, n| {
        let workers = &mut cluster.workers[n % 2];
        workers.restart().await?;
        workers.ready().await?;
        until_it_owns(workers, 1).await
    })
    .await
}

/// One stops in its tracks, the group gives what it owned to the other, and then it goes on as if it still owned it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_two_workers_own_a_partition() -> anyhow::Result<()> {
    let _turn = turn().await;
    survives(&Setup::from_variables()?, "two workers own a partition", Recovery::Quick, async |cluster, n| {
        let (zombie, heir) = (n % 2, (n + 1) % 2);
        cluster.workers[zombie].pause()?;
        let moved = until_it_owns(&cluster.workers[heir], PARTITIONS as usize).await;
        cluster.workers[zombie].resume()?;
        moved?;
        until_it_owns(&cluster.workers[zombie], 1).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_partitions_move_every_few_seconds() -> anyhow::Result<()> {
    let _turn = turn().await;
    survives(&Setup::from_variables()?, "rebalance every few seconds", Recovery::Quick, async |cluster, _| {
        until_it_owns(cluster.add_workers().await?, 1).await?;
        let mut added = cluster.workers.pop().context("one was added")?;
        added.end().await
    })
    .await
}

/// Puts what nobody can read into every partition of every topic that workers read.
async fn spoil(cluster: &Cluster, log: &KafkaLog) -> anyhow::Result<()> {
    let garbage =
        [&b"garbage"[..], b"", b"{}", b"{\"v\":1}", b"\xff\xfe\x00", b"{\"v\":1,\"chat_id\":\"x\",\"body\":[]}"];
    for topic in [Topic::Messages, Topic::Receipts, Topic::Events, Topic::Push] {
        for partition in 0..PARTITIONS {
            for payload in garbage {
                let (key, payload) = (Bytes::from_static(b"key"), Bytes::copy_from_slice(payload));
                log.append(Append { topic, partition, key, payload, headers: Vec::new() }).await?;
            }
        }
    }
    for workers in &cluster.workers {
        let status = workers.status().await?;
        let roles = status["roles"].as_array().context("no roles")?;
        let partitions = roles.iter().filter_map(|role| role["partitions"].as_array()).flatten();
        let blocked: Vec<&Value> = partitions.filter(|partition| !partition["blocked"].is_null()).collect();
        ensure!(blocked.is_empty(), "{status}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_go_to_the_dead_letters_and_nothing_stops() -> anyhow::Result<()> {
    let _turn = turn().await;
    let setup = Setup::from_variables()?;
    let mut log = None;
    let mut spoiled = 0;
    survives(&setup, "bad records in every topic", Recovery::Quick, async |cluster, _| {
        if log.is_none() {
            let config = KafkaConfig {
                bootstrap_servers: setup.kafka.clone(),
                prefix: cluster.prefix.clone(),
                partitions: PARTITIONS,
                epoch: 1,
                sasl: None,
                tls: None,
            };
            log = Some(KafkaLog::open(&config).await?);
        }
        let log = log.as_ref().context("it was opened")?;
        spoil(cluster, log).await?;
        spoiled += 1;
        let deadline = Instant::now() + MOVES_WITHIN;
        let wanted = spoiled * 6 * u64::from(PARTITIONS);
        loop {
            let dead = log.end(Topic::MessagesDlq, 0).await?;
            if dead >= wanted {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{dead} dead letters, not {wanted}");
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}
