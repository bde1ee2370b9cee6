use chat_core::clock::Time;
use chat_core::event::Event;
use chat_core::message_log::{MessageLog, Topic};
use chat_core::message_store::{MessageStore, Row};
use chat_core::push::outcome::{PushOutcomes, PushResult};
use chat_core::push::recording::{RecordingSender, Sent};
use chat_core::push::{Platform, PushAnswer};
use chat_core::user_store::{DeviceRow, UserWrite};
use tokio::time::sleep;

use super::*;
use crate::fixture::{Running, T0, World, poll, user};

mod vendors;

const TOPIC: Topic = Topic::Push;

/// A cluster whose pushes are recorded.
struct Pushes {
    world: World,
    sender: RecordingSender,
    config: NotifyConfig,
}

impl Pushes {
    fn new() -> Self {
        let world = World::new();
        let sender = RecordingSender::new(world.clock.clone());
        Self { world, sender, config: NotifyConfig::default() }
    }

    fn start(&self) -> Running {
        let World { log, store, users, clock, .. } = self.world.clone();
        let ports = NotifyPorts { log, store, users, push: Arc::new(self.sender.clone()), clock };
        self.world.run(Notify::new(ports, self.config, PushMetrics::default()), TOPIC)
    }

    /// Registers a device whose token is `name/device`.
    async fn device(&self, name: &str, device: &str) {
        let device = DeviceRow {
            device: device.to_owned(),
            platform: Platform::Apns,
            push_token: format!("{name}/{device}"),
            updated_at: T0,
            invalid_at: None,
        };
        self.world.users.write(vec![UserWrite::PutDevice { user: user(name), device }]).await.unwrap();
    }

    async fn push(&self, event: &Event, offline: &[&str]) {
        let record = self.world.push_record(event, offline).await;
        self.world.append(TOPIC, event.chat_id, record.encode()).await;
    }

    /// Returns what was sent: seconds since the beginning, token.
    fn sent(&self) -> Vec<(u64, String)> {
        let seconds = |sent: &Sent| sent.at.millis_since(T0) / 1_000;
        self.sender.sent().iter().map(|sent| (seconds(sent), sent.device.token.clone())).collect()
    }

    async fn outcomes(&self) -> Vec<PushOutcomes> {
        let mut outcomes = Vec::new();
        for partition in 0..self.world.log.partitions(Topic::PushOutcomes) {
            let entries = self.world.log.read(Topic::PushOutcomes, partition, 0, 1_000).await.unwrap();
            outcomes.extend(entries.iter().map(|entry| PushOutcomes::decode(&entry.payload).unwrap()));
        }
        outcomes
    }

    /// Returns what became of each member or device of the only message.
    async fn only_outcome(&self) -> Vec<(String, PushResult)> {
        poll("there are outcomes", || async { !self.outcomes().await.is_empty() }).await;
        let outcomes = self.outcomes().await;
        let [outcomes] = outcomes.as_slice() else { panic!("{outcomes:?}: one record a message") };
        let name =
            |member: &str, device: Option<&String>| device.map_or_else(|| member.into(), |d| format!("{member}/{d}"));
        let outcomes = outcomes.outcomes.iter();
        outcomes.map(|outcome| (name(outcome.member.as_str(), outcome.device.as_ref()), outcome.outcome)).collect()
    }
}

fn named(outcomes: &[(&str, PushResult)]) -> Vec<(String, PushResult)> {
    outcomes.iter().map(|(name, result)| ((*name).to_owned(), *result)).collect()
}

fn sent(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(at, token)| (*at, (*token).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn who_has_no_route_is_pushed_to_now_and_the_others_after_ten_seconds() {
    let pushes = Pushes::new();
    let chat = pushes.world.group(1, &["ann", "bob", "cyd"]).await;
    for (name, device) in [("ann", "phone"), ("bob", "phone"), ("bob", "pad"), ("cyd", "phone")] {
        pushes.device(name, device).await;
    }
    let running = pushes.start();
    let event = pushes.world.say(chat, "ann", "hi").await;
    pushes.push(&event, &["bob"]).await;
    sleep(Duration::from_secs(9)).await;
    assert_eq!(pushes.sent(), sent(&[(0, "bob/pad"), (0, "bob/phone")]), "every device of who is not there");
    assert!(pushes.outcomes().await.is_empty(), "one record a message");
    assert_eq!(running.lag(), 1);
    let all = [("bob/pad", PushResult::Sent), ("bob/phone", PushResult::Sent), ("cyd/phone", PushResult::Sent)];
    assert_eq!(pushes.only_outcome().await, named(&all), "nothing for the sender");
    assert_eq!(pushes.sent()[2..], sent(&[(10, "cyd/phone")]));
    running.caught_up(TOPIC, &pushes.world).await;
    assert_eq!(pushes.world.member(chat, "cyd").await.pushed, 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_reason_not_to_push_is_recorded() {
    let pushes = Pushes::new();
    let world = &pushes.world;
    let names = ["ann", "read", "active", "idle", "muted", "unmuted", "blocker", "gone", "bare", "dead"];
    let chat = world.group(1, &names).await;
    for name in names.iter().filter(|name| **name != "bare") {
        pushes.device(name, "phone").await;
    }
    let event = world.say(chat, "ann", "hi").await;
    pushes.push(&event, &["bare", "blocker"]).await;
    let cursor = |name: &str, delivered, read| Row::Cursor { chat_id: chat, user: user(name), delivered, read };
    let push_cursor = Row::PushCursor { chat_id: chat, user: user("active"), active: 1, pushed: 0 };
    let mute = |name: &str, millis| {
        let until = Some(T0.plus_millis(millis));
        Row::Mute { chat_id: chat, user: user(name), ts: 1, until }
    };
    let rows =
        vec![cursor("read", 1, 1), push_cursor, cursor("idle", 1, 0), mute("muted", 3_600_000), mute("unmuted", 5_000)];
    world.store.write_rows(rows).await.unwrap();
    world.change_members(chat, &[], &["gone"]).await;
    let dead = UserWrite::InvalidateDevice {
        user: user("dead"),
        device: "phone".into(),
        push_token: "dead/phone".into(),
        at: T0,
    };
    let block = UserWrite::Block { user: user("blocker"), blocked: user("ann"), at: T0 };
    world.users.write(vec![dead, block]).await.unwrap();
    let running = pushes.start();
    let mut outcomes = pushes.only_outcome().await;
    outcomes.sort();
    let expected = [
        ("active", PushResult::Delivered),
        ("bare", PushResult::NoDevice),
        ("blocker", PushResult::Blocked),
        ("dead", PushResult::NoDevice),
        ("gone", PushResult::Left),
        ("idle/phone", PushResult::Sent),
        ("muted", PushResult::Muted),
        ("read", PushResult::Read),
        ("unmuted/phone", PushResult::Sent),
    ];
    assert_eq!(outcomes, named(&expected));
    assert_eq!(pushes.sent(), sent(&[(10, "idle/phone"), (10, "unmuted/phone")]));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_comes_while_waiting_saves_the_push() {
    let pushes = Pushes::new();
    let chat = pushes.world.direct("ann", "bob").await;
    pushes.device("bob", "phone").await;
    let running = pushes.start();
    let event = pushes.world.say(chat, "ann", "hi").await;
    pushes.push(&event, &[]).await;
    sleep(Duration::from_secs(9)).await;
    let row = Row::PushCursor { chat_id: chat, user: user("bob"), active: 1, pushed: 0 };
    pushes.world.store.write_rows(vec![row]).await.unwrap();
    assert_eq!(pushes.only_outcome().await, named(&[("bob", PushResult::Delivered)]));
    assert!(pushes.sent().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_waited_in_the_log_is_due_at_once() {
    let pushes = Pushes::new();
    let chat = pushes.world.direct("ann", "bob").await;
    pushes.device("bob", "phone").await;
    let event = pushes.world.say(chat, "ann", "hi").await;
    pushes.push(&event, &[]).await;
    sleep(Duration::from_mins(1)).await;
    let running = pushes.start();
    poll("it is sent", || async { pushes.sent() == sent(&[(60, "bob/phone")]) }).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_vendors_answer_decides_what_follows() {
    let later = |retry_after_ms| PushAnswer::Later { reason: "busy".into(), retry_after_ms };
    let gone = |since| PushAnswer::InvalidToken { reason: "gone".into(), since };
    for (answer, result, attempts) in [
        (PushAnswer::Accepted, PushResult::Sent, 1),
        (gone(None), PushResult::InvalidToken, 1),
        (gone(Some(T0)), PushResult::InvalidToken, 1),
        (gone(Some(Time::from_millis(T0.millis() - 1))), PushResult::Refused, 1),
        (PushAnswer::Refused { reason: "bad".into() }, PushResult::Refused, 1),
        (later(None), PushResult::GivenUp, 6),
        (later(Some(2_000)), PushResult::GivenUp, 6),
    ] {
        let pushes = Pushes::new();
        let chat = pushes.world.direct("ann", "bob").await;
        pushes.device("bob", "phone").await;
        pushes.sender.set_answer("bob/phone", answer.clone());
        let event = pushes.world.say(chat, "ann", "hi").await;
        pushes.push(&event, &["bob"]).await;
        let running = pushes.start();
        assert_eq!(pushes.only_outcome().await, named(&[("bob/phone", result)]), "{answer:?}");
        let sent = pushes.sent();
        assert_eq!(sent.len(), attempts, "{answer:?}");
        if matches!(answer, PushAnswer::Later { retry_after_ms: Some(_), .. }) {
            assert!(sent.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 2), "the vendor's wish is kept: {sent:?}");
        }
        let device = pushes.world.users.devices(&[user("bob")]).await.unwrap().remove(0).remove(0);
        assert_eq!(device.invalid_at.is_some(), result == PushResult::InvalidToken, "{answer:?}");
        let bob = pushes.world.member(chat, "bob").await;
        assert_eq!(bob.pushed, u64::from(result == PushResult::Sent), "{answer:?}");
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_comes_back_gets_what_it_missed() {
    let pushes = Pushes::new();
    let chat = pushes.world.direct("ann", "bob").await;
    pushes.device("bob", "phone").await;
    pushes.sender.set_answer("bob/phone", PushAnswer::Later { reason: "down".into(), retry_after_ms: Some(5_000) });
    let event = pushes.world.say(chat, "ann", "hi").await;
    pushes.push(&event, &["bob"]).await;
    let running = pushes.start();
    sleep(Duration::from_secs(3)).await;
    pushes.sender.set_answer("bob/phone", PushAnswer::Accepted);
    assert_eq!(pushes.only_outcome().await, named(&[("bob/phone", PushResult::Sent)]));
    let sent = pushes.sender.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].collapse_id, sent[1].collapse_id);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_payload_tells_unread_and_content_only_when_configured() {
    for (send_content, content) in [(false, None), (true, Some("second"))] {
        let mut pushes = Pushes::new();
        pushes.config.send_content = send_content;
        let chat = pushes.world.direct("ann", "bob").await;
        pushes.device("bob", "phone").await;
        pushes.world.say(chat, "ann", "first").await;
        let event = pushes.world.say(chat, "ann", "second").await;
        let row = Row::Cursor { chat_id: chat, user: user("bob"), delivered: 1, read: 0 };
        pushes.world.store.write_rows(vec![row]).await.unwrap();
        pushes.push(&event, &["bob"]).await;
        let running = pushes.start();
        poll("it is sent", || async { pushes.sent().len() == 1 }).await;
        let payload: serde_json::Value = serde_json::from_str(&pushes.sender.sent()[0].payload).unwrap();
        let chat_of = &payload["chat"];
        assert_eq!(chat_of["unread"], 2);
        assert_eq!((&chat_of["seq"], &chat_of["sender"]), (&2.into(), &"ann".into()));
        assert_eq!(chat_of.get("content").and_then(serde_json::Value::as_str), content);
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_or_erased_meanwhile_is_not_in_the_payload() {
    let mut pushes = Pushes::new();
    pushes.config.send_content = true;
    let chat = pushes.world.direct("ann", "bob").await;
    pushes.device("bob", "phone").await;
    let event = pushes.world.say(chat, "ann", "secret").await;
    let (ts, deleted_at, position) = (event.ts + 1, T0, event.position);
    let row = Row::Delete { chat_id: chat, seq: 1, ts, rev: 1, deleted_at, position };
    pushes.world.store.write_rows(vec![row]).await.unwrap();
    pushes.push(&event, &["bob"]).await;
    let running = pushes.start();
    poll("it is sent", || async { pushes.sent().len() == 1 }).await;
    assert!(!pushes.sender.sent()[0].payload.contains("secret"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_cut_off_is_due_again() {
    let pushes = Pushes::new();
    let chat = pushes.world.group(1, &["ann", "bob", "cyd"]).await;
    pushes.device("bob", "phone").await;
    pushes.device("cyd", "phone").await;
    let event = pushes.world.say(chat, "ann", "hi").await;
    pushes.push(&event, &["bob"]).await;
    for run in 1..=2 {
        let running = pushes.start();
        poll("bob is pushed to", || async { pushes.sent().len() == run }).await;
        running.crash().await;
    }
    let running = pushes.start();
    let all = [("bob/phone", PushResult::Sent), ("cyd/phone", PushResult::Sent)];
    assert_eq!(pushes.only_outcome().await, named(&all));
    let sent = pushes.sender.sent();
    let ids: std::collections::BTreeSet<&str> = sent.iter().map(|sent| sent.collapse_id.as_str()).collect();
    assert_eq!((sent.len(), ids.len()), (4, 1), "more than once, under one collapse id");
    running.caught_up(TOPIC, &pushes.world).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_what_is_not_due() {
    let pushes = Pushes::new();
    let chat = pushes.world.direct("ann", "bob").await;
    pushes.device("bob", "phone").await;
    let event = pushes.world.say(chat, "ann", "hi").await;
    pushes.push(&event, &[]).await;
    let running = pushes.start();
    sleep(Duration::from_secs(2)).await;
    let begun = tokio::time::Instant::now();
    running.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    let running = pushes.start();
    assert_eq!(pushes.only_outcome().await, named(&[("bob/phone", PushResult::Sent)]), "it is due again");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_sequencer_emits_again_is_not_pushed_again() {
    let pushes = Pushes::new();
    let chat = pushes.world.direct("ann", "bob").await;
    pushes.device("bob", "phone").await;
    let event = pushes.world.say(chat, "ann", "hi").await;
    pushes.push(&event, &["bob"]).await;
    let running = pushes.start();
    running.caught_up(TOPIC, &pushes.world).await;
    pushes.push(&event, &["bob"]).await;
    running.caught_up(TOPIC, &pushes.world).await;
    assert_eq!(pushes.sent().len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_roster_that_is_no_longer_kept_is_made_from_the_members() {
    let pushes = Pushes::new();
    let chat = pushes.world.group(1, &["ann", "bob"]).await;
    pushes.device("bob", "phone").await;
    let event = pushes.world.say(chat, "ann", "hi").await;
    let mut record = pushes.world.push_record(&event, &["bob"]).await;
    record.roster_at.offset += 1_000;
    pushes.world.append(TOPIC, chat, record.encode()).await;
    let running = pushes.start();
    assert_eq!(pushes.only_outcome().await, named(&[("bob/phone", PushResult::Sent)]));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_waited_for() {
    let pushes = Pushes::new();
    let chat = pushes.world.direct("ann", "bob").await;
    pushes.device("bob", "phone").await;
    let event = pushes.world.say(chat, "ann", "hi").await;
    pushes.push(&event, &["bob"]).await;
    pushes.world.store.set_down(true);
    let running = pushes.start();
    sleep(Duration::from_secs(30)).await;
    assert_eq!((running.lag(), pushes.sent().len()), (1, 0));
    pushes.world.store.set_down(false);
    assert_eq!(pushes.only_outcome().await, named(&[("bob/phone", PushResult::Sent)]));
    running.caught_up(TOPIC, &pushes.world).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_is_in_hand_than_configured() {
    let mut pushes = Pushes::new();
    pushes.config.in_hand = 1;
    let chat = pushes.world.direct("ann", "bob").await;
    pushes.device("bob", "phone").await;
    let running = pushes.start();
    sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        let event = pushes.world.say(chat, "ann", "hi").await;
        pushes.push(&event, &[]).await;
        sleep(Duration::from_millis(10)).await;
    }
    running.caught_up(TOPIC, &pushes.world).await;
    assert_eq!(pushes.outcomes().await.len(), 3, "the others come when there is room");
    assert!(pushes.world.clock.now() < Time::from_millis(T0.millis() + 60_000));
    running.stop().await;
}
