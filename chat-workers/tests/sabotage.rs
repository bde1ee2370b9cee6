//! A checker that never failed proves nothing: each flaw is built into a driver on purpose, and must be found.

mod support {
    pub(crate) mod model;
    pub(crate) mod owner;
    pub(crate) mod readers;
    pub(crate) mod records;
    pub(crate) mod reference;
}

use std::time::Duration;

use support::model::{Flaw, Owners};
use support::records::{LogWriter, T0, create, group, id_at, remove, text};

/// A message, its retry, and a message that is refused.
fn model() -> Owners {
    let mut log = LogWriter::new();
    log.put(group(0), "ann", group(0).0, create(&["bob"])).at(T0.plus_millis(9));
    log.put(group(0), "bob", id_at(T0, 1), text("hi")).at(T0).retry(1);
    log.put(group(0), "ann", id_at(T0, 2), remove("bob"));
    Owners::new(log.records(), 1, 2)
}

fn is_found(flaw: Flaw) {
    let explored = model().with(flaw).explore(Duration::from_secs(90));
    assert_ne!(explored.broken, [] as [String; 0], "{flaw:?} was not found in {} states", explored.states);
    println!("{flaw:?} in {:.1?}: {}", explored.took, explored.broken[0]);
}

#[test]
fn without_a_flaw_nothing_is_found() {
    let explored = model().explore(Duration::from_secs(90));
    assert_eq!(explored.broken, [] as [String; 0]);
}

#[test]
fn a_commit_before_the_rows_is_found() {
    is_found(Flaw::CommitEarly);
}

#[test]
fn a_head_before_its_rows_is_found() {
    is_found(Flaw::HeadFirst);
}

#[test]
fn telling_what_is_not_kept_is_found() {
    is_found(Flaw::TellEarly);
}

#[test]
fn forgetting_a_chat_before_its_writes_are_acknowledged_is_found() {
    is_found(Flaw::EvictEarly);
}

#[test]
fn not_telling_again_what_was_decided_before_is_found() {
    is_found(Flaw::SkipReplay);
}

#[test]
fn deciding_without_looking_for_duplicates_is_found() {
    is_found(Flaw::NoDedupe);
}

#[test]
fn taking_a_record_for_its_own_duplicate_is_found() {
    is_found(Flaw::NoPositionCheck);
}
