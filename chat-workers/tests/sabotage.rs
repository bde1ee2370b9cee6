//! A checker that never failed proves nothing: each flaw is built into a driver on purpose, and must be found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support {
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod flaky_log;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod flaky_store;
    pub(crate) mod gateway;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod ledger;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod model;
    pub(crate) mod owner;
    pub(crate) mod readers;
    pub(crate) mod records;
    pub(crate) mod reference;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod running;
    pub(crate) mod simulation;
    pub(crate) mod write;
}

use std::time::Duration;

use chat_core::message_store::tables::Tables;

use support::flaky_store::StoreFlaw;
use support::gateway::GatewayFlaw;
use support::ledger::Ledger;
use support::model::{Flaw, Owners};
use support::records::{LogWriter, T0, create, group, id_at, remove, text, user};
use support::simulation::{Sabotage, run};

/// A message, its retry, and a message that is refused.
fn model() -> Owners {
    let mut log = LogWriter::new();
    log.put(group(0), "ann", group(0).0, create(&["bob"])).at(T0.plus_millis(9));
    log.put(group(0), "bob", id_at(T0, 1), text("hi")).at(T0).retry(1);
    log.put(group(0), "ann", id_at(T0, 2), remove("bob"));
    Owners::new(log.records(), 1, 2)
}

fn is_found(flaw: Flaw) {
    let explored = model().with(flaw).explore(Duration::from_mins(3));
    assert_ne!(
        explored.broken,
        [] as [String; 0],
        "{flaw:?} was not found in {} states, {:?}",
        explored.states,
        explored.took
    );
}

#[test]
fn without_a_flaw_nothing_is_found() {
    let explored = model().explore(Duration::from_mins(3));
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

/// Runs seeds until the ledger finds what is broken.
fn is_found_by_the_ledger(sabotage: Sabotage) {
    let found = (0..40).find_map(|seed| run(seed, Some(sabotage)).check().err());
    assert!(found.is_some(), "{sabotage:?} was not found");
}

#[test]
fn a_store_that_forgets_what_it_acknowledged_is_found() {
    is_found_by_the_ledger(Sabotage::Store(StoreFlaw::ForgetsRows));
}

#[test]
fn a_store_whose_heads_come_before_their_rows_is_found() {
    is_found_by_the_ledger(Sabotage::Store(StoreFlaw::HeadsFirst));
}

#[test]
fn a_store_that_knows_no_ids_is_found() {
    is_found_by_the_ledger(Sabotage::Store(StoreFlaw::ForgetsIds));
}

#[test]
fn committing_what_is_only_read_is_found() {
    is_found_by_the_ledger(Sabotage::CommitsEarly);
}

#[test]
fn gateways_without_routes_are_found() {
    is_found_by_the_ledger(Sabotage::Gateway(GatewayFlaw::NoRoutes));
}

#[test]
fn gateways_that_do_not_mind_missing_envelopes_are_found() {
    is_found_by_the_ledger(Sabotage::Gateway(GatewayFlaw::NoNumbers));
}

#[test]
fn sessions_that_skip_what_is_missing_are_found() {
    is_found_by_the_ledger(Sabotage::Gateway(GatewayFlaw::NoOrder));
}

#[test]
fn sessions_that_read_before_they_are_registered_are_found() {
    is_found_by_the_ledger(Sabotage::Gateway(GatewayFlaw::ReadsFirst));
}

/// A ledger that balances, to be spoiled.
fn balanced() -> Ledger {
    let ledger = run(3, None);
    ledger.check().unwrap();
    ledger
}

#[test]
fn the_ledger_finds_what_is_lost_doubled_or_leaked() {
    let mut lost = balanced();
    lost.acked.push((group(0), id_at(T0, 99), user("ann")));
    let mut untold = balanced();
    untold.events.pop();
    let mut unpushed = balanced();
    unpushed.pushes.clear();
    let mut leaked = balanced();
    for copies in leaked.copies.iter_mut().flat_map(|copies| copies.values_mut()) {
        let other = copies.values().next().cloned().unwrap_or_default();
        copies.insert(group(1), other);
    }
    let mut emptied = balanced();
    emptied.tables = Tables::default();
    for (spoiled, what) in
        [(lost, "lost"), (untold, "untold"), (unpushed, "unpushed"), (leaked, "leaked"), (emptied, "emptied")]
    {
        assert!(spoiled.check().is_err(), "{what}");
    }
}
