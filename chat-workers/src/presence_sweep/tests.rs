use tokio::time::sleep;

use super::*;
use crate::fixture::{Gateway, T0, World, user, users};

/// Past the mark and the sweep after it.
const PAST_A_MARK: Duration = Duration::from_millis(PRESENCE_TTL_MS + 2_000);

fn start(world: &World) -> CancellationToken {
    let World { presence, users, relay, clock, .. } = world.clone();
    let sweep = PresenceSweep::new(SweepPorts { presence, users, relay, clock }, ReceiptsMetrics::default());
    let shutdown = CancellationToken::new();
    tokio::spawn(sweep.run(shutdown.clone()));
    shutdown
}

async fn offline(gateway: &mut Gateway, time: Duration) -> Vec<(UserId, Option<Time>)> {
    let frames = gateway.frames_within(time).await.into_iter();
    let mut offline: Vec<_> = frames
        .map(|(push, recipients)| {
            assert!(recipients.is_empty(), "the gateway knows who follows the user");
            let Push::Presence { user, status: PresenceStatus::Offline, last_seen_at } = push else {
                panic!("{push:?}");
            };
            (user, last_seen_at)
        })
        .collect();
    offline.sort();
    offline
}

#[tokio::test(start_paused = true)]
async fn watchers_hear_once_of_who_went_silent_and_when_they_were_last_seen() {
    let world = World::new();
    let (mut one, mut other) = (world.gateway(&["x"]).await, world.gateway(&["y"]).await);
    let shutdown = start(&world);
    world.presence.touch(&users(&["ann", "bob", "cyd"])).await.unwrap();
    world.presence.watch(&one.id, &users(&["ann", "bob"])).await.unwrap();
    world.presence.watch(&other.id, &users(&["bob"])).await.unwrap();
    let hidden = UserWrite::ShowLastSeen { user: user("bob"), visible: false };
    world.users.write(vec![hidden]).await.unwrap();
    let (told, told_other) = (offline(&mut one, PAST_A_MARK).await, offline(&mut other, Duration::ZERO).await);
    assert_eq!(told.iter().map(|(user, _)| user.clone()).collect::<Vec<_>>(), users(&["ann", "bob"]));
    assert_eq!(told_other, [(user("bob"), None)], "bob hides it");
    let last_seen = told[0].1.expect("ann does not hide it");
    assert!(last_seen.millis_since(T0) <= 2_000, "seen last at the touch, not at the sweep: {last_seen}");
    let rows = world.users.users(&users(&["ann", "bob", "cyd"])).await.unwrap();
    assert!(rows.iter().all(|row| row.last_seen_at == Some(last_seen)), "written for all: {rows:?}");
    assert!(offline(&mut one, PAST_A_MARK).await.is_empty(), "once");
    shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn who_shows_a_sign_of_life_is_left_alone() {
    let world = World::new();
    let mut gateway = world.gateway(&["x"]).await;
    let shutdown = start(&world);
    world.presence.watch(&gateway.id, &users(&["ann"])).await.unwrap();
    for _ in 0..4 {
        world.presence.touch(&users(&["ann"])).await.unwrap();
        assert!(offline(&mut gateway, Duration::from_secs(20)).await.is_empty());
    }
    assert_eq!(offline(&mut gateway, PAST_A_MARK).await.len(), 1);
    shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_gateways_end_is_told_in_bounded_sweeps() {
    let world = World::new();
    let mut gateway = world.gateway(&["x"]).await;
    let shutdown = start(&world);
    let many: Vec<UserId> = (0..BATCH * BATCHES + 10).map(|n| user(&format!("u{n}"))).collect();
    world.presence.touch(&many).await.unwrap();
    world.presence.watch(&gateway.id, &many).await.unwrap();
    sleep(Duration::from_millis(PRESENCE_TTL_MS - 500)).await;
    let first = offline(&mut gateway, Duration::from_secs(1)).await.len();
    let second = offline(&mut gateway, Duration::from_secs(1)).await.len();
    assert_eq!((first, second), (BATCH * BATCHES, 10));
    shutdown.cancel();
}
