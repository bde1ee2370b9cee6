//! Gateways that die, that lose their clients, and whose clock jumps.

use std::path::PathBuf;

use anyhow::Context as _;
use tests::cluster::{Setup, variable};
use tokio::time::sleep;

use crate::{BETWEEN, Recovery, survives, turn};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_gateway_is_killed() -> anyhow::Result<()> {
    let _turn = turn().await;
    survives(&Setup::from_variables()?, "gateway killed", Recovery::Quick, async |cluster, n| {
        let gateway = &mut cluster.gateways[n % 2];
        gateway.restart().await?;
        gateway.ready().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_gateway_ends_in_order() -> anyhow::Result<()> {
    let _turn = turn().await;
    survives(&Setup::from_variables()?, "gateway drained by SIGTERM", Recovery::Quick, async |cluster, n| {
        let gateway = &mut cluster.gateways[n % 2];
        gateway.end().await?;
        gateway.spawn()?;
        gateway.ready().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_sockets_are_cut_in_mid_ack() -> anyhow::Result<()> {
    let _turn = turn().await;
    survives(&Setup::from_variables()?, "all sockets cut at once", Recovery::Quick, async |cluster, _| {
        cluster.cut();
        Ok(())
    })
    .await
}

/// The wall clock of the first gateway jumps, its monotonic one does not.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_clock_of_a_gateway_jumps() -> anyhow::Result<()> {
    let _turn = turn().await;
    let dir = tempfile::tempdir()?;
    let offset = dir.path().join("offset");
    std::fs::write(&offset, "+0")?;
    let variables = [
        ("LD_PRELOAD", PathBuf::from(variable("FAKETIME_LIBRARY")?)),
        ("FAKETIME_TIMESTAMP_FILE", offset.clone()),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ];
    let text = |(name, value): (&str, PathBuf)| Some((name.to_owned(), value.into_os_string().into_string().ok()?));
    let first_gateway = variables.into_iter().map(text).collect::<Option<_>>().context("a path is no text")?;
    let setup = Setup { first_gateway, ..Setup::from_variables()? };
    let offsets = ["+90", "-90", "+600", "-600", "+1500"];
    survives(&setup, "clock of a gateway jumps, and back", Recovery::Quick, async |_, n| {
        std::fs::write(&offset, offsets[n % offsets.len()])?;
        sleep(BETWEEN).await;
        Ok(std::fs::write(&offset, "+0")?)
    })
    .await
}
