//! Every interleaving of two owners of one partition over small logs, with the real decisions and replay.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support {
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod model;
    pub(crate) mod owner;
    pub(crate) mod readers;
    pub(crate) mod records;
    pub(crate) mod reference;
    pub(crate) mod write;
}

use std::time::Duration;

use chat_core::record::Op;

use support::model::Owners;
use support::records::{LogWriter, T0, add, create, edit, group, id_at, remove, text};

/// A run that takes longer proves nothing, and fails.
const LIMIT: Duration = Duration::from_mins(3);

/// A log that begins with `ann` and `bob` in a group. Its clock goes back on purpose.
fn log(rest: impl FnOnce(&mut LogWriter)) -> LogWriter {
    let mut log = LogWriter::new();
    log.put(group(0), "ann", group(0).0, create(&["bob"]));
    log.at(T0.plus_millis(9));
    rest(&mut log);
    log
}

fn holds(model: Owners) {
    let explored = model.explore(LIMIT);
    assert_eq!(explored.broken, [] as [String; 0]);
    assert!(explored.states > 1_000, "{} states in {:?} are too few to prove anything", explored.states, explored.took);
}

#[test]
fn a_retry_is_one_message() {
    let log = log(|log| {
        log.put(group(0), "bob", id_at(T0, 1), text("hi")).at(T0).retry(1);
    });
    holds(Owners::new(log.records(), 1, 4));
}

#[test]
fn a_refused_message_may_come_again_later() {
    let log = log(|log| {
        let id = id_at(T0, 1);
        log.put(group(0), "ann", id_at(T0, 2), remove("bob")).put(group(0), "bob", id, text("hi"));
        log.at(T0).put(group(0), "ann", id_at(T0, 3), add("bob")).retry(2);
    });
    holds(Owners::new(log.records(), 2, 2));
}

#[test]
fn a_retry_by_someone_removed_since_is_the_same_message() {
    let log = log(|log| {
        log.put(group(0), "bob", id_at(T0, 1), text("hi"));
        log.put(group(0), "ann", id_at(T0, 2), remove("bob")).at(T0).retry(1);
    });
    holds(Owners::new(log.records(), 1, 2));
}

#[test]
fn an_edit_behind_a_delete_is_refused_by_whoever_decides_it() {
    let log = log(|log| {
        log.put(group(0), "bob", id_at(T0, 1), text("hi")).at(T0);
        log.put(group(0), "bob", id_at(T0, 2), edit(2, "ho"));
        log.put(group(0), "bob", id_at(T0, 3), Op::Delete { seq: 2 });
        log.put(group(0), "bob", id_at(T0, 4), edit(2, "hey"));
    });
    holds(Owners::new(log.records(), 2, 2));
}

#[test]
fn chats_may_fall_out_of_memory() {
    let log = log(|log| {
        log.put(group(0), "bob", id_at(T0, 1), text("hi")).at(T0).retry(1);
    });
    holds(Owners::new(log.records(), 1, 3).evicting());
}

#[test]
fn a_long_silence_does_not_hide_a_retry() {
    let log = log(|log| {
        log.put(group(0), "bob", id_at(T0, 1), text("hi")).at(T0.plus_millis(11 * 60_000));
        log.put(group(0), "ann", id_at(T0.plus_millis(11 * 60_000), 2), text("well")).retry(1);
    });
    holds(Owners::new(log.records(), 1, 2));
}
