//! A Redis Cluster whose primaries die, whose content is lost, and whose slots move.

use tests::cluster::{RedisCluster, Setup};

use crate::{Recovery, survives, turn};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_primary_is_killed() -> anyhow::Result<()> {
    let _turn = turn().await;
    let mut redis = RedisCluster::start().await?;
    let setup = Setup { redis: redis.urls(), ..Setup::from_variables()? };
    let inject = async |_: &mut _, n| redis.kill_primary(n).await;
    survives(&setup, "Redis primary killed", Recovery::Quick, inject).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_redis_is_flushed() -> anyhow::Result<()> {
    let _turn = turn().await;
    let redis = RedisCluster::start().await?;
    let setup = Setup { redis: redis.urls(), ..Setup::from_variables()? };
    survives(&setup, "Redis flushed", Recovery::Quick, async |_, _| redis.flush().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_slots_move() -> anyhow::Result<()> {
    let _turn = turn().await;
    let redis = RedisCluster::start().await?;
    let setup = Setup { redis: redis.urls(), ..Setup::from_variables()? };
    survives(&setup, "500 slots migrated under traffic", Recovery::Quick, async |_, n| redis.move_slots(n).await).await
}
