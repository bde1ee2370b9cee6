//! The whole sequencer on the memory engines: what it tells, what stops it, and what it never does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support {
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod flaky_log;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod flaky_store;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod records;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod running;
    pub(crate) mod write;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::codes::ErrorCode;
use chat_core::event::{Event, Fact, Outcome, Verdict};
use chat_core::frame::ChangeKind;
use chat_core::id::{ChatId, Seq};
use chat_core::message_log::memory::MemoryLog;
use chat_core::message_log::{Position, Topic, partition_of};
use chat_core::message_store::tables::Scan;
use chat_core::message_store::{ChatState, MessageStore};
use chat_core::record::Record;
use chat_core::relay::Item;
use chat_core::relay::in_process::InProcessRelay;
use chat_core::relay::lossy::LossyRelay;
use chat_workers::metrics::OutcomeLabel;
use chat_workers::sequencer::BlockReason;
use tokio::time::sleep;

use support::flaky_log::FlakyLog;
use support::records::{T0, add, create, edit, group, id_at, remove, text, user};
use support::running::{Engines, until};

fn record(chat: ChatId, actor: &str, n: u64, op: chat_core::record::Op) -> Record {
    Record::new(chat, user(actor), id_at(T0, n), op)
}

/// Begins a group with `ann` and the others.
async fn begin(engines: &Engines, chat: ChatId, others: &[&str]) {
    engines.append(&Record::new(chat, user("ann"), chat.0, create(others))).await;
}

fn head(engines: &Engines, chat: ChatId) -> Seq {
    engines.store.inner.tables().state(chat).unwrap().unwrap_or_default().seq
}

fn verdicts(items: &[Item]) -> Vec<Verdict> {
    let verdict = |item: &Item| match item {
        Item::Verdict(verdict) => Some(verdict.clone()),
        _ => None,
    };
    items.iter().filter_map(verdict).collect()
}

/// Who is told of what: `(fact, names)`.
fn told(items: &[Item]) -> Vec<(String, Vec<String>)> {
    let told = |item: &Item| match item {
        Item::Event { event, recipients } => {
            let names = recipients.iter().map(ToString::to_string).collect();
            Some((describe(event), names))
        }
        _ => None,
    };
    items.iter().filter_map(told).collect()
}

fn describe(event: &Event) -> String {
    match &event.fact {
        Fact::Message(message) => match &message.system {
            Some(change) => format!("{} {:?}", message.seq, change.kind),
            None => format!("{} {}", message.seq, message.content),
        },
        Fact::Updated { seq, rev, .. } => format!("{seq} edited {rev}"),
        Fact::Deleted { seq, rev, .. } => format!("{seq} deleted {rev}"),
        Fact::Changed { change, .. } => format!("changed {:?}", change.kind),
    }
}

fn facts(of: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    of.iter().map(|(fact, names)| ((*fact).to_owned(), names.iter().map(|name| (*name).to_owned()).collect())).collect()
}

/// A group id whose chat is in this partition.
fn group_in(partition: u32, count: u32) -> ChatId {
    (0..1_000).map(group).find(|chat| partition_of(*chat, count) == partition).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_gateway_hears_what_its_users_may_see() {
    let engines = Engines::new(1);
    let mut left = engines.connect("left", &["ann", "bob"]).await;
    let mut right = engines.connect("right", &["cyd"]).await;
    let sequencer = engines.start();
    let chat = group(0);
    begin(&engines, chat, &["bob"]).await;
    engines.append(&record(chat, "bob", 1, text("hi"))).await;
    engines.append(&record(chat, "ann", 2, add("cyd"))).await;
    engines.append(&record(chat, "bob", 3, edit(2, "ho"))).await;
    engines.append(&record(chat, "cyd", 4, text("hey"))).await;
    engines.append(&record(chat, "ann", 5, remove("bob"))).await;
    engines.append(&record(chat, "ann", 6, text("bye"))).await;
    let both: &[&str] = &["ann", "bob"];
    let expected = facts(&[
        ("1 Created", both),
        ("changed Created", both),
        ("2 hi", both),
        ("3 MemberAdded", both),
        ("changed MemberAdded", both),
        ("2 edited 1", both),
        ("4 hey", both),
        ("5 MemberRemoved", both),
        ("changed MemberRemoved", both),
        ("6 bye", &["ann"]),
    ]);
    assert_eq!(told(&left.drain().await), expected, "who is removed is told that, and nothing after it");
    let expected = facts(&[
        ("3 MemberAdded", &["cyd"]),
        ("changed MemberAdded", &["cyd"]),
        ("4 hey", &["cyd"]),
        ("5 MemberRemoved", &["cyd"]),
        ("changed MemberRemoved", &["cyd"]),
        ("6 bye", &["cyd"]),
    ]);
    assert_eq!(told(&right.drain().await), expected, "an edit of what was before is not theirs");
    sequencer.caught_up().await;
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_push_record_names_who_was_not_connected() {
    let engines = Engines::new(1);
    let _gateway = engines.connect("left", &["bob"]).await;
    let sequencer = engines.start();
    let chat = group(0);
    begin(&engines, chat, &["bob", "cyd"]).await;
    engines.append(&record(chat, "bob", 1, text("hi"))).await;
    sequencer.caught_up().await;
    let pushes = engines.pushes().await;
    let offline: Vec<(Seq, Vec<String>)> =
        pushes.iter().map(|push| (push.seq, push.offline.iter().map(ToString::to_string).collect())).collect();
    assert_eq!(offline, [(1, vec!["cyd".into()]), (2, vec!["ann".into(), "cyd".into()])], "never the sender");
    assert_eq!(engines.events().await.len(), 3);
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_gateway_that_waits_hears_the_verdict() {
    let engines = Engines::new(1);
    let mut gateway = engines.connect("left", &[]).await;
    let sequencer = engines.start();
    let chat = group(0);
    begin(&engines, chat, &["bob"]).await;
    let ask = |actor: &str, n: u64, op| record(chat, actor, n, op).reply_to(gateway.id.clone());
    for asked in [
        ask("bob", 1, text("hi")),
        ask("bob", 1, text("hi")),
        ask("eve", 2, text("let me in")),
        ask("bob", 3, edit(2, "ho")),
        ask("bob", 4, edit(9, "what")),
        ask("bob", 5, remove("ann")),
    ] {
        engines.append(&asked).await;
    }
    let heard: Vec<(bool, Outcome)> =
        verdicts(&gateway.drain().await).into_iter().map(|verdict| (verdict.is_send, verdict.outcome)).collect();
    let refused = |code| Outcome::Refused { code };
    let expected = [
        (true, Outcome::Applied { seq: 2, rev: 0 }),
        (true, Outcome::Duplicate { seq: 2, rev: 0 }),
        (true, refused(ErrorCode::Forbidden)),
        (false, Outcome::Applied { seq: 2, rev: 1 }),
        (false, refused(ErrorCode::MessageNotFound)),
        (false, refused(ErrorCode::Forbidden)),
    ];
    assert_eq!(heard, expected);
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_format_blocks_what_follows_and_nothing_before() {
    for (commit_delay, batch_records) in [(0, 1_024), (0, 2), (15, 1_024), (15, 2)] {
        let mut engines = Engines::new(1);
        engines.config.commit_delay = Duration::from_secs(commit_delay);
        engines.config.batch_records = batch_records;
        let chat = group(0);
        begin(&engines, chat, &["bob"]).await;
        engines.append(&record(chat, "bob", 1, text("hi"))).await;
        let newer = engines.append_raw(chat, r#"{"v":2,"what":"ever"}"#.into()).await;
        engines.append(&record(chat, "bob", 2, text("behind it"))).await;
        let sequencer = engines.start();
        until("the prefix is committed", async || sequencer.committed(0).await == newer.position.offset).await;
        assert_eq!(head(&engines, chat), 2);
        let blocked = sequencer.partition(0).await.blocked.unwrap();
        assert_eq!(blocked.reason, BlockReason::UnknownFormat);
        sleep(Duration::from_mins(2)).await;
        assert_eq!(sequencer.committed(0).await, newer.position.offset);
        assert_eq!(sequencer.partition(0).await.blocked, Some(blocked), "it is the same stop all the time");
        assert_eq!(head(&engines, chat), 2);
        assert_eq!(engines.events().await.len(), 3, "what is done is not done again and again");
        assert_eq!(engines.entries(Topic::MessagesDlq).await, []);
        sequencer.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_apply_goes_to_the_dead_letters_with_its_reason() {
    let engines = Engines::new(2);
    let sequencer = engines.start();
    let (here, there) = (group_in(0, 2), group_in(1, 2));
    begin(&engines, here, &["bob"]).await;
    engines.append_to(0, here, "{".into()).await;
    let lost = Record::new(there, user("ann"), there.0, create(&["bob"]));
    let lost = engines.append_to(0, there, lost.encode()).await;
    let direct = chat_core::record::Op::OpenDirect { users: [user("ann"), user("bob")] };
    engines.append_to(0, here, record(here, "ann", 1, direct).encode()).await;
    engines.append(&record(here, "bob", 2, text("hi"))).await;
    sequencer.caught_up().await;
    assert_eq!((head(&engines, here), head(&engines, there)), (2, 0), "the partition goes on");
    let letters = engines.entries(Topic::MessagesDlq).await;
    let header = |letter: &chat_core::message_log::Entry, name: &str| {
        let found = letter.headers.iter().find(|(of, _)| of == name).unwrap();
        String::from_utf8(found.1.to_vec()).unwrap()
    };
    let reasons: Vec<String> = letters.iter().map(|letter| header(letter, "reason")).collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].starts_with("not a record"), "{reasons:?}");
    assert_eq!(reasons[1], "the key does not belong to this partition");
    assert_eq!(reasons[2], "the chat id does not belong to its members");
    assert_eq!(header(&letters[1], "position"), lost.position.to_string());
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_waited_for() {
    let engines = Engines::new(1);
    let sequencer = engines.start();
    let chat = group(0);
    begin(&engines, chat, &["bob"]).await;
    sequencer.caught_up().await;
    engines.store.set_down(true);
    for n in 0..10 {
        engines.append(&record(chat, "bob", n, text("hi"))).await;
    }
    sleep(Duration::from_mins(1)).await;
    assert_eq!(sequencer.committed(0).await, 1, "nothing is committed past it");
    assert_eq!(engines.events().await.len(), 2, "nothing is told before it is kept");
    assert_eq!(engines.entries(Topic::MessagesDlq).await, []);
    engines.store.set_down(false);
    sequencer.caught_up().await;
    assert_eq!(head(&engines, chat), 11, "nothing is skipped");
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_owner_goes_on_where_the_last_one_stopped() {
    let engines = Engines::new(2);
    let chats = [group_in(0, 2), group_in(1, 2)];
    let mut sequencer = engines.start();
    for chat in chats {
        begin(&engines, chat, &["bob"]).await;
    }
    for (n, chat) in (0..60).zip(chats.into_iter().cycle()) {
        engines.append(&record(chat, "bob", n, text("hi"))).await;
        if n % 10 == 9 {
            // The new one takes over while the old one works.
            let next = engines.start();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(sequencer.status(), [], "the old one gave everything up");
            std::mem::replace(&mut sequencer, next).stop().await;
        }
    }
    sequencer.caught_up().await;
    assert_eq!(chats.map(|chat| head(&engines, chat)), [31, 31]);
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn giving_one_partition_up_does_not_disturb_the_others() {
    let mut engines = Engines::new(2);
    engines.config.batch_records = 1;
    let chats = [group_in(0, 2), group_in(1, 2)];
    let sequencer = engines.start();
    for chat in chats {
        begin(&engines, chat, &["bob"]).await;
    }
    sequencer.caught_up().await;
    for round in 0..20 {
        // Both wait for a store that will fail them; one is given up meanwhile, and the other wants to be rewound.
        engines.store.set_slow(Duration::from_secs(4));
        engines.store.set_down(true);
        for n in 0..20 {
            let id = round * 100 + n;
            engines.append(&record(chats[0], "bob", id, text("hi"))).await;
            engines.append(&record(chats[1], "bob", id, text("hi"))).await;
        }
        sleep(Duration::from_millis(500)).await;
        engines.log.revoke(1);
        sleep(Duration::from_secs(6)).await;
        engines.store.set_slow(Duration::ZERO);
        engines.store.set_down(false);
        engines.log.assign(1);
        sequencer.caught_up().await;
    }
    assert_eq!(chats.map(|chat| head(&engines, chat)), [401, 401]);
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rewind_that_fails_skips_nothing() {
    let engines = Engines::new(1);
    let sequencer = engines.start();
    let chat = group(0);
    begin(&engines, chat, &["bob"]).await;
    sequencer.caught_up().await;
    engines.store.set_down(true);
    engines.append(&record(chat, "bob", 1, text("one"))).await;
    engines.log.faults().seeks = 3;
    sleep(Duration::from_millis(20)).await;
    engines.store.set_down(false);
    for n in 2..20 {
        engines.append(&record(chat, "bob", n, text("more"))).await;
        sleep(Duration::from_millis(100)).await;
    }
    sequencer.caught_up().await;
    assert_eq!(head(&engines, chat), 20);
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_is_tried_again() {
    let engines = Engines::new(1);
    let sequencer = engines.start();
    engines.log.faults().commits = 3;
    begin(&engines, group(0), &["bob"]).await;
    sequencer.caught_up().await;
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_keep_their_order_and_none_is_lost_when_the_log_refuses_some() {
    for (full, unacknowledged) in [(1, 0), (5, 0), (0, 1), (2, 2)] {
        let mut engines = Engines::new(1);
        engines.config.batch_records = 1;
        let chat = group(0);
        begin(&engines, chat, &["bob"]).await;
        for n in 0..8 {
            engines.append(&record(chat, "bob", n, text("hi"))).await;
        }
        engines.log.faults().full = full;
        engines.log.faults().unacknowledged = unacknowledged;
        let sequencer = engines.start();
        sequencer.caught_up().await;
        let seqs: Vec<Seq> = engines.pushes().await.iter().map(|push| push.seq).collect();
        let falls = seqs.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!(falls <= unacknowledged, "order is kept, but for what is told again from the beginning: {seqs:?}");
        let mut distinct = seqs.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct, (1..=9).collect::<Vec<_>>());
        sequencer.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn gateways_that_missed_something_are_told_once_the_relay_answers() {
    let mut engines = Engines::new(1);
    let relay = LossyRelay::new(Arc::new(InProcessRelay::new()), 0);
    engines.relay = Arc::new(relay.clone());
    let mut gateway = engines.connect("left", &["bob"]).await;
    let sequencer = engines.start();
    let chat = group(0);
    begin(&engines, chat, &["bob"]).await;
    assert_eq!(told(&gateway.drain().await).len(), 2);
    relay.set_down(true);
    engines.append(&record(chat, "ann", 1, text("hi"))).await;
    sequencer.caught_up().await;
    assert_eq!(head(&engines, chat), 2, "a relay that is away holds nothing up");
    relay.set_down(false);
    let mut gateway = engines.connect("left", &["bob"]).await;
    assert_eq!(gateway.drain().await, [Item::Resync], "though nothing else happens");
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_lookup_after_a_start_may_fail_too() {
    let mut engines = Engines::new(1);
    let relay = LossyRelay::new(Arc::new(InProcessRelay::new()), 0);
    engines.relay = Arc::new(relay.clone());
    relay.set_down(true);
    begin(&engines, group(0), &["bob"]).await;
    let sequencer = engines.start();
    sequencer.caught_up().await;
    relay.set_down(false);
    let mut gateway = engines.connect("left", &["bob"]).await;
    assert_eq!(gateway.drain().await, [Item::Resync]);
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_ends_below_the_store_stops_the_partition() {
    let engines = Engines::new(1);
    let sequencer = engines.start();
    let chat = group(0);
    begin(&engines, chat, &["bob"]).await;
    engines.append(&record(chat, "bob", 1, text("hi"))).await;
    sequencer.caught_up().await;
    sequencer.stop().await;

    // The log lost its end and took another record instead.
    let log = FlakyLog::new(MemoryLog::new(Arc::new(engines.clock.clone()), 1));
    let engines = Engines { log, ..engines };
    engines.append(&record(chat, "bob", 2, text("ho"))).await;
    let sequencer = engines.start();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(sequencer.partition(0).await.blocked.map(|blocked| blocked.reason), Some(BlockReason::LogWentBackwards));
    assert_eq!((head(&engines, chat), sequencer.committed(0).await), (2, 0));
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_of_a_later_life_of_the_log_stops_the_partition() {
    let engines = Engines::new(1);
    let chat = group(0);
    let state = ChatState { position: Position { epoch: 2, partition: 0, offset: 0 }, ..ChatState::default() };
    engines.store.write_states(vec![(chat, state)]).await.unwrap();
    begin(&engines, chat, &["bob"]).await;
    let sequencer = engines.start();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(sequencer.partition(0).await.blocked.map(|blocked| blocked.reason), Some(BlockReason::TopicReplaced));
    assert_eq!(sequencer.committed(0).await, 0);
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn records_that_are_gone_stop_their_partition_alone() {
    let engines = Engines::new(2);
    let chats = [group_in(0, 2), group_in(1, 2)];
    for chat in chats {
        begin(&engines, chat, &["bob"]).await;
        engines.append(&record(chat, "bob", 1, text("hi"))).await;
    }
    engines.log.inner.trim(Topic::Messages, 0, 1);
    let sequencer = engines.start();
    until("the other partition goes on", async || head(&engines, chats[1]) == 2).await;
    let blocked = sequencer.partition(0).await.blocked;
    assert_eq!(blocked.map(|blocked| blocked.reason), Some(BlockReason::DataLost));
    assert_eq!(head(&engines, chats[0]), 0);
    sequencer.stop().await;
}

#[tokio::test(start_paused = true)]
async fn retries_are_known_after_a_restart_whatever_their_sender_s_clock_says() {
    let engines = Engines::new(1);
    let sequencer = engines.start();
    let chat = group(0);
    begin(&engines, chat, &["bob"]).await;
    let hour = 3_600_000_i64;
    let ids: Vec<_> = [-24 * 20 * hour, -hour, 0, 119_000, 121_000, 3 * hour, 23 * hour]
        .into_iter()
        .zip(0..)
        .map(|(ahead, n)| id_at(Time::from_millis(T0.millis().saturating_add_signed(ahead)), n))
        .collect();
    let send = |id| Record::new(chat, user("bob"), id, text("hi"));
    for id in &ids {
        engines.append(&send(*id)).await;
    }
    sequencer.caught_up().await;
    sequencer.stop().await;
    let mut last = 8;
    for minutes in [0, 1, 2, 3, 60, 181, 24 * 60] {
        engines.clock.set(T0.plus_millis(minutes * 60_000));
        let sequencer = engines.start();
        // A fresh one lets the chat be loaded; retries must be found behind it as well.
        engines.append(&send(id_at(T0.plus_millis(minutes * 60_000), 1_000 + minutes))).await;
        sequencer.caught_up().await;
        last += 1;
        for id in &ids {
            engines.append(&send(*id)).await;
        }
        sequencer.caught_up().await;
        assert_eq!(head(&engines, chat), last, "after {minutes} minutes");
        sequencer.stop().await;
    }
    assert_eq!(engines.pushes().await.len() as u64, last, "and nobody is told twice");
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_until_what_it_covers_is_old_enough() {
    let mut engines = Engines::new(1);
    engines.config.commit_delay = Duration::from_secs(15);
    let chat = group(0);
    let sequencer = engines.start();
    begin(&engines, chat, &["bob"]).await;
    sleep(Duration::from_secs(10)).await;
    let second = engines.append(&record(chat, "bob", 1, text("hi"))).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!((head(&engines, chat), sequencer.committed(0).await), (2, 0));
    sleep(Duration::from_secs(4)).await;
    assert_eq!(sequencer.committed(0).await, 1);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(sequencer.committed(0).await, second.position.offset + 1);
    // What is younger at a shutdown is left to the next owner, who tells of it again.
    engines.append(&record(chat, "bob", 2, text("ho"))).await;
    sleep(Duration::from_secs(1)).await;
    sequencer.stop().await;
    let events = engines.events().await.len();
    let next = engines.start();
    until("the next owner commits", async || next.committed(0).await == 3).await;
    assert_eq!((head(&engines, chat), engines.events().await.len()), (3, events + 1));
    next.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_told_again_is_the_same() {
    let mut engines = Engines::new(1);
    engines.config.commit_delay = Duration::from_hours(1);
    let chat = group(0);
    begin(&engines, chat, &["bob"]).await;
    engines.append(&record(chat, "bob", 1, text("hi"))).await;
    engines.append(&record(chat, "bob", 2, edit(2, "ho"))).await;
    engines.append(&record(chat, "ann", 3, add("cyd"))).await;
    engines.append(&record(chat, "ann", 4, chat_core::record::Op::Delete { seq: 2 })).await;
    engines.append(&record(chat, "ann", 5, remove("bob"))).await;
    engines.append(&record(chat, "ann", 6, text("mine"))).await;
    engines.append(&record(chat, "ann", 7, chat_core::record::Op::Erase { seqs: vec![1, 2, 5] })).await;
    for _ in 0..3 {
        let sequencer = engines.start();
        sleep(Duration::from_secs(5)).await;
        sequencer.stop().await;
    }
    let counted =
        ["applied", "replayed"].map(|outcome| engines.metrics.decided.get_or_create(&OutcomeLabel { outcome }).get());
    assert_eq!(counted, [8, 16], "decided once, told again twice");
    let events = engines.events().await;
    let once = events.len() / 3;
    let dressed = |event: &Event| {
        let fact = match &event.fact {
            // How the chat looks may be newer; what changed is the same.
            Fact::Changed { change, members, .. } => format!("{change:?} {members:?}"),
            fact => format!("{fact:?}"),
        };
        (event.position, event.ts, fact)
    };
    let all: Vec<_> = events.iter().map(dressed).collect();
    assert_eq!(all[..once], all[once..2 * once]);
    assert_eq!(all[..once], all[2 * once..]);
    let mut kinds = BTreeMap::new();
    for event in &events[..once] {
        if let Fact::Changed { change, .. } = &event.fact {
            *kinds.entry(format!("{:?}", change.kind)).or_insert(0) += 1;
        }
    }
    let expected = [ChangeKind::Created, ChangeKind::MemberAdded, ChangeKind::MemberRemoved];
    assert_eq!(kinds.into_keys().collect::<Vec<_>>(), expected.map(|kind| format!("{kind:?}")));
}
