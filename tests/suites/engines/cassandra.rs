//! A store that is restarted, killed, and silent.

use std::path::Path;
use std::time::Duration;

use tests::cluster::{Server, Setup, variable};
use tokio::time::sleep;

use crate::{Recovery, survives, turn};

/// How long it says nothing: longer than any deadline of a call.
const SILENCE: Duration = Duration::from_secs(30);

fn node() -> anyhow::Result<Server> {
    Ok(Server::of("cassandra", Path::new(&variable("CASSANDRA_WORK")?)))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_cassandra_is_restarted() -> anyhow::Result<()> {
    let _turn = turn().await;
    let node = node()?;
    survives(&Setup::from_variables()?, "Cassandra restarted", Recovery::Quick, async |_, _| {
        node.end().await?;
        node.start().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_cassandra_is_killed() -> anyhow::Result<()> {
    let _turn = turn().await;
    let node = node()?;
    survives(&Setup::from_variables()?, "Cassandra killed", Recovery::Quick, async |_, _| {
        node.kill().await?;
        node.start().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_cassandra_says_nothing() -> anyhow::Result<()> {
    let _turn = turn().await;
    let node = node()?;
    survives(&Setup::from_variables()?, "Cassandra paused for 30 s", Recovery::Slow, async |_, _| {
        node.pause()?;
        sleep(SILENCE).await;
        node.resume()
    })
    .await
}
