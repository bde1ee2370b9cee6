//! Brokers that are restarted, killed, and lost.

use std::path::Path;

use anyhow::Context as _;
use tests::cluster::{Brokers, Server, Setup, variable};

use crate::{Recovery, survives, turn};

fn broker() -> anyhow::Result<Server> {
    let certificate = variable("KAFKA_CA")?;
    Ok(Server::of("kafka", Path::new(&certificate).parent().context("the certificate has a folder")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_broker_is_restarted() -> anyhow::Result<()> {
    let _turn = turn().await;
    let broker = broker()?;
    survives(&Setup::from_variables()?, "Kafka restarted", Recovery::Quick, async |_, _| {
        broker.end().await?;
        broker.start().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_broker_is_killed() -> anyhow::Result<()> {
    let _turn = turn().await;
    let broker = broker()?;
    survives(&Setup::from_variables()?, "Kafka killed", Recovery::Quick, async |_, _| {
        broker.kill().await?;
        broker.start().await
    })
    .await
}

/// `min.insync.replicas` is 2 where there are three copies, so the loss of one broker loses nothing and stops nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_one_of_three_brokers_is_lost() -> anyhow::Result<()> {
    let _turn = turn().await;
    let brokers = Brokers::start().await?;
    let setup = Setup { kafka: brokers.bootstrap.clone(), copies: 3, ..Setup::from_variables()? };
    survives(&setup, "one of three brokers killed", Recovery::Quick, async |_, n| {
        let broker = brokers.broker(n);
        broker.kill().await?;
        tokio::time::sleep(crate::BETWEEN).await;
        broker.start().await
    })
    .await
}
