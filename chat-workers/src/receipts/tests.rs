use chat_core::clock::Time;
use chat_core::id::UserId;
use chat_core::receipt::{Counts, UserCursors};
use tokio::time::sleep;

use super::*;
use crate::fixture::{Gateway, Running, World, poll, user, users};

const TOPIC: Topic = Topic::Receipts;

/// Long enough for any tick, too short for what is held.
const SOON: Duration = Duration::from_millis(1_200);

fn start(world: &World) -> Running {
    start_with(world, ReceiptsConfig::default())
}

fn start_with(world: &World, config: ReceiptsConfig) -> Running {
    let (log, store, relay) = (world.log.clone(), world.store.clone(), world.relay.clone());
    let ports = ReceiptsPorts { log, store, relay, clock: world.clock.clone() };
    world.run(Receipts::new(ports, config, ReceiptsMetrics::default()), TOPIC)
}

/// Appends one gateway's record.
async fn tell(world: &World, chat_id: ChatId, cursors: &[(&str, u64, u64, bool)]) {
    let cursors = cursors.iter();
    let cursors =
        cursors.map(|(name, delivered, read, active)| UserCursors::new(user(name), *delivered, *read, *active));
    let append = ReceiptRecord::new(chat_id, cursors.collect()).to_append(world.log.partitions(TOPIC));
    world.log.append(append).await.unwrap();
}

fn receipt(chat_id: ChatId, name: &str, delivered: u64, read: u64) -> Push {
    Push::Receipt { chat_id, user: user(name), delivered, read }
}

fn summary(chat_id: ChatId, seq: u64, counts: (u64, u64, u64)) -> Push {
    let (delivered, read, of) = counts;
    Push::ReceiptSummary { chat_id, seq, delivered, read, of }
}

async fn cursors(world: &World, chat_id: ChatId, name: &str) -> (u64, u64, u64) {
    let row = world.member(chat_id, name).await;
    (row.delivered, row.read, row.active)
}

#[tokio::test(start_paused = true)]
async fn read_is_written_before_the_peer_and_own_sessions_hear_of_it() {
    let world = World::new();
    let chat = world.direct("ann", "bob").await;
    world.say_times(chat, "ann", 3).await;
    let (mut ann, mut bob) = (world.gateway(&["ann"]).await, world.gateway(&["bob"]).await);
    let running = start(&world);
    tell(&world, chat, &[("bob", 3, 2, true)]).await;
    assert_eq!(ann.next_frames().await, [(receipt(chat, "bob", 3, 2), users(&["ann"]))]);
    let row = world.member(chat, "bob").await;
    assert_eq!((row.delivered, row.read), (3, 2));
    assert_eq!(bob.next_frames().await, [(receipt(chat, "bob", 3, 2), users(&["bob"]))]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn delivered_is_relayed_at_once_and_written_and_committed_within_ten_seconds() {
    let world = World::new();
    let chat = world.direct("ann", "bob").await;
    world.say_times(chat, "ann", 3).await;
    let (mut ann, mut bob) = (world.gateway(&["ann"]).await, world.gateway(&["bob"]).await);
    let running = start(&world);
    for seq in 1..=3 {
        tell(&world, chat, &[("bob", seq, 0, true)]).await;
        assert_eq!(ann.next_frames().await, [(receipt(chat, "bob", seq, 0), users(&["ann"]))]);
    }
    sleep(SOON).await;
    assert_eq!(cursors(&world, chat, "bob").await, (0, 0, 0), "held");
    assert_eq!(running.lag(), 3, "and so not committed");
    sleep(Duration::from_secs(8)).await;
    assert_eq!(cursors(&world, chat, "bob").await, (3, 0, 3));
    assert_eq!(running.lag(), 0);
    assert_eq!(bob.frames_within(SOON).await, [], "no use to own sessions");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_writes_and_commits_what_is_held() {
    let world = World::new();
    let chat = world.direct("ann", "bob").await;
    world.say_times(chat, "ann", 3).await;
    let mut ann = world.gateway(&["ann"]).await;
    let running = start(&world);
    tell(&world, chat, &[("bob", 3, 0, true)]).await;
    ann.next_frames().await;
    running.stop().await;
    assert_eq!(cursors(&world, chat, "bob").await, (3, 0, 3));
    let next = start(&world);
    next.caught_up(TOPIC, &world).await;
    ann.stay().await;
    assert_eq!(ann.frames_within(SOON).await, [], "nothing was left to be repeated");
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_held_cursors_are_written_before_their_time() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob", "cyd", "dan"]).await;
    world.say_times(chat, "ann", 3).await;
    let running = start_with(&world, ReceiptsConfig { held_cursors: 2, ..ReceiptsConfig::default() });
    tell(&world, chat, &[("bob", 3, 0, true), ("cyd", 2, 0, true)]).await;
    sleep(SOON).await;
    assert_eq!(cursors(&world, chat, "cyd").await, (2, 0, 2));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_shows_the_second_tick_but_does_not_count_for_push() {
    let world = World::new();
    let chat = world.direct("ann", "bob").await;
    world.say_times(chat, "ann", 5).await;
    let running = start(&world);
    tell(&world, chat, &[("bob", 2, 0, true)]).await;
    tell(&world, chat, &[("bob", 5, 0, false)]).await;
    running.caught_up(TOPIC, &world).await;
    assert_eq!(cursors(&world, chat, "bob").await, (5, 0, 2));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn cursors_are_cut_to_what_the_member_may_see_as_of_now() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob", "cyd"]).await;
    world.say_times(chat, "ann", 3).await;
    let running = start(&world);
    tell(&world, chat, &[("bob", 9, 9, true), ("cyd", 2, 2, true)]).await;
    poll("the head cuts", || async { cursors(&world, chat, "bob").await == (3, 3, 0) }).await;
    world.say_times(chat, "ann", 2).await;
    tell(&world, chat, &[("bob", 5, 5, true)]).await;
    poll("the head is read again", || async { cursors(&world, chat, "bob").await.1 == 5 }).await;
    world.change_members(chat, &[], &["cyd"]).await;
    world.say_times(chat, "ann", 2).await;
    tell(&world, chat, &[("cyd", 8, 8, true), ("stranger", 8, 8, true)]).await;
    poll("leaving cuts", || async { cursors(&world, chat, "cyd").await.1 == 6 }).await;
    world.change_members(chat, &["cyd", "new"], &[]).await;
    tell(&world, chat, &[("cyd", 9, 9, true), ("new", 9, 9, true)]).await;
    poll("coming back uncuts", || async { cursors(&world, chat, "cyd").await.1 == 9 }).await;
    poll("who came in is known", || async { cursors(&world, chat, "new").await.1 == 9 }).await;
    running.caught_up(TOPIC, &world).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn records_of_chats_that_do_not_exist_are_passed_over() {
    let world = World::new();
    let running = start(&world);
    tell(&world, ChatId(uuid::Uuid::nil()), &[("bob", 9, 9, true)]).await;
    running.caught_up(TOPIC, &world).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn cursors_never_fall_and_what_does_not_rise_is_not_relayed() {
    let world = World::new();
    let chat = world.direct("ann", "bob").await;
    world.say_times(chat, "ann", 5).await;
    let mut ann = world.gateway(&["ann"]).await;
    let running = start(&world);
    // Past what the partition found when it was begun: from here on nothing counts as a replay.
    sleep(SOON).await;
    tell(&world, chat, &[("bob", 5, 4, true)]).await;
    assert_eq!(ann.next_frames().await, [(receipt(chat, "bob", 5, 4), users(&["ann"]))]);
    tell(&world, chat, &[("bob", 3, 2, true)]).await;
    tell(&world, chat, &[("bob", 5, 4, true)]).await;
    assert_eq!(ann.frames_within(SOON).await, []);
    running.caught_up(TOPIC, &world).await;
    assert_eq!(cursors(&world, chat, "bob").await, (5, 4, 5));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_sender_is_told_counts_once_a_flush() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob", "cyd", "dan"]).await;
    world.say(chat, "ann", "one").await;
    world.say(chat, "bob", "two").await;
    world.say(chat, "ann", "three").await;
    let (mut ann, mut cyd) = (world.gateway(&["ann"]).await, world.gateway(&["cyd"]).await);
    let running = start(&world);
    tell(&world, chat, &[("cyd", 3, 2, true)]).await;
    tell(&world, chat, &[("dan", 3, 0, true), ("cyd", 0, 3, true)]).await;
    let told = ann.frames_within(SOON).await;
    // Bob read one and two by sending two; three reached cyd and dan, cyd read it.
    let expected = [summary(chat, 3, (2, 1, 3)), summary(chat, 1, (3, 2, 3))];
    assert_eq!(told, expected.map(|push| (push, users(&["ann"]))), "newest first, nothing for bob's message");
    assert_eq!(cyd.frames_within(SOON).await.len(), 1, "own sessions hear what was read, in any chat");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn membership_and_sends_are_seen_by_later_counts() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob", "cyd"]).await;
    world.say(chat, "ann", "one").await;
    let mut ann = world.gateway(&["ann"]).await;
    let running = start(&world);
    tell(&world, chat, &[("bob", 0, 1, true)]).await;
    assert_eq!(ann.next_frames().await, [(summary(chat, 1, (1, 1, 2)), users(&["ann"]))]);
    world.change_members(chat, &["dan"], &["bob"]).await;
    world.say(chat, "ann", "three").await;
    tell(&world, chat, &[("cyd", 3, 0, true)]).await;
    let expected = [summary(chat, 3, (1, 0, 2)), summary(chat, 1, (1, 0, 1))];
    assert_eq!(ann.next_frames().await, expected.map(|push| (push, users(&["ann"]))), "bob left, dan came after one");
    world.say(chat, "cyd", "four").await;
    tell(&world, chat, &[("dan", 4, 0, true)]).await;
    let told = ann.next_frames().await;
    assert_eq!(told, [(summary(chat, 3, (2, 1, 2)), users(&["ann"]))], "cyd read three by sending four");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn summaries_are_bounded_in_number_distance_and_age() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob"]).await;
    world.say_times(chat, "ann", 130).await;
    let mut ann = world.gateway(&["ann"]).await;
    let running = start(&world);
    tell(&world, chat, &[("bob", 0, 130, true)]).await;
    for flush in 0..5 {
        ann.stay().await;
        let newest = 130 - 20 * flush;
        let expected = (newest - 19..=newest).rev().map(|seq| (summary(chat, seq, (1, 1, 1)), users(&["ann"])));
        assert_eq!(ann.next_frames().await, expected.collect::<Vec<_>>(), "20 a flush, newest first");
    }
    assert_eq!(ann.frames_within(SOON).await, [], "the last 100, no more");
    running.caught_up(TOPIC, &world).await;
    sleep(Duration::from_millis(summary_age() + 1_000)).await;
    ann.stay().await;
    world.say(chat, "ann", "new").await;
    world.change_members(chat, &["cyd"], &[]).await;
    tell(&world, chat, &[("bob", 0, 131, true)]).await;
    assert_eq!(ann.next_frames().await, [(summary(chat, 131, (1, 1, 1)), users(&["ann"]))]);
    running.stop().await;
}

fn summary_age() -> u64 {
    24 * 3_600_000
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_cut_off_is_relayed_again_and_written_the_same() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob", "cyd"]).await;
    let direct = world.direct("ann", "bob").await;
    world.say_times(chat, "ann", 2).await;
    world.say_times(direct, "ann", 2).await;
    let (mut ann, mut bob) = (world.gateway(&["ann"]).await, world.gateway(&["bob"]).await);
    tell(&world, chat, &[("bob", 2, 1, true), ("cyd", 2, 0, true)]).await;
    tell(&world, direct, &[("bob", 2, 1, true)]).await;
    let sorted = |mut frames: Vec<(Push, Vec<UserId>)>| {
        frames.sort_by_key(|frame| format!("{frame:?}"));
        frames
    };
    let mut first: Option<(Vec<_>, Vec<_>)> = None;
    for run in 0..3 {
        ann.stay().await;
        bob.stay().await;
        let running = start(&world);
        let told = (sorted(ann.frames_within(SOON).await), sorted(bob.frames_within(Duration::ZERO).await));
        assert_eq!((told.0.len(), told.1.len()), (3, 2), "run {run}");
        assert_eq!(*first.get_or_insert_with(|| told.clone()), told, "run {run}");
        for chat_id in [chat, direct] {
            assert_eq!(world.member(chat_id, "bob").await.read, 1);
        }
        running.crash().await;
    }
    let running = start(&world);
    running.caught_up(TOPIC, &world).await;
    assert_eq!(cursors(&world, chat, "bob").await, (2, 1, 2));
    assert_eq!(cursors(&world, chat, "cyd").await, (2, 0, 2));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_relayed_that_could_not_be_written() {
    let world = World::new();
    let chat = world.direct("ann", "bob").await;
    world.say_times(chat, "ann", 3).await;
    let mut ann = world.gateway(&["ann"]).await;
    world.store.set_down(true);
    let running = start(&world);
    tell(&world, chat, &[("bob", 3, 3, true)]).await;
    assert_eq!(ann.frames_within(Duration::from_secs(20)).await, []);
    assert_eq!(running.lag(), 1);
    ann.stay().await;
    world.store.set_down(false);
    assert_eq!(ann.next_frames().await, [(receipt(chat, "bob", 3, 3), users(&["ann"]))]);
    running.caught_up(TOPIC, &world).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_held_survives_a_store_that_is_away() {
    let world = World::new();
    let chat = world.direct("ann", "bob").await;
    world.say_times(chat, "ann", 3).await;
    let mut ann = world.gateway(&["ann"]).await;
    let running = start(&world);
    tell(&world, chat, &[("bob", 3, 0, true)]).await;
    ann.next_frames().await;
    world.store.set_down(true);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(running.lag(), 1);
    world.store.set_down(false);
    running.caught_up(TOPIC, &world).await;
    assert_eq!(cursors(&world, chat, "bob").await, (3, 0, 3));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_left_memory_keeps_what_is_held() {
    let world = World::new();
    let chat = world.group(1, &["ann", "bob", "cyd"]).await;
    world.say_times(chat, "ann", 3).await;
    let mut ann: Gateway = world.gateway(&["ann"]).await;
    let running = start_with(&world, ReceiptsConfig { cached_members: 0, ..ReceiptsConfig::default() });
    tell(&world, chat, &[("bob", 3, 0, true)]).await;
    let counts =
        |counts: Counts, seq| (summary(chat, seq, (counts.delivered, counts.read, counts.of)), users(&["ann"]));
    let one = Counts { delivered: 1, read: 0, of: 2 };
    assert_eq!(ann.next_frames().await, [3, 2, 1].map(|seq| counts(one, seq)));
    tell(&world, chat, &[("cyd", 3, 0, true)]).await;
    assert_eq!(ann.next_frames().await, [3, 2, 1].map(|seq| counts(Counts { delivered: 2, ..one }, seq)));
    assert!(world.clock.now() < Time::from_millis(crate::fixture::T0.millis() + 5_000), "nothing was written yet");
    running.stop().await;
}
