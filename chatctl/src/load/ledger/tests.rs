use super::*;

/// One chat of two members (seats 0 and 1), base 10; messages 0, 1 and 2 are its own, 3 belongs to chat 1 (seat 2).
fn books() -> Ledger {
    Ledger::new([(10, 2), (0, 1)], [0, 0, 0, 1])
}

#[derive(Clone, Copy)]
enum Step {
    Live(Event),
    History(Seq, u32),
}
use Step::{History, Live};

fn receive(seat: u32, seq: Seq, message: u32) -> Step {
    Live(Event::Received { seat, seq, message })
}

fn acked(message: u32) -> Step {
    Live(Event::Acked { message })
}

fn opened(seat: u32, named: Seq) -> [Step; 2] {
    [Live(Event::Opened { seat, named }), Live(Event::Synced { seat })]
}

/// A run of two messages in which everything is right.
fn good() -> Vec<Step> {
    let mut steps = Vec::new();
    steps.extend(opened(0, 10));
    steps.extend(opened(1, 10));
    steps.extend([acked(0), acked(1)]);
    for seat in [0, 1] {
        steps.extend([receive(seat, 11, 0), receive(seat, 12, 1)]);
    }
    steps.extend([History(11, 0), History(12, 1)]);
    steps
}

fn judge(steps: impl IntoIterator<Item = Step>) -> Verdict {
    let mut ledger = books();
    for step in steps {
        match step {
            Live(event) => ledger.record(event),
            History(seq, message) => ledger.history(0, seq, message, true),
        }
    }
    ledger.close()
}

fn counts(verdict: &Verdict) -> [u64; 4] {
    [verdict.lost, verdict.duplicated, verdict.misordered, verdict.contradicted]
}

/// Index of the first history step of [`good`].
const READ: usize = 10;

#[test]
fn a_good_run_is_clean() {
    let verdict = judge(good());
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.acked, verdict.delivered), (2, 4));
}

#[test]
fn every_bad_history_is_caught() {
    type Spoil = fn(&mut Vec<Step>);
    let table: [(&str, [u64; 4], Spoil); 17] = [
        ("acknowledged, then gone everywhere", [1, 0, 0, 0], |steps| steps.insert(4, acked(2))),
        ("one member never got it", [1, 0, 0, 0], |steps| _ = steps.remove(9)),
        ("acknowledged, seen live by one, not in history", [1, 0, 0, 1], |steps| {
            steps.splice(READ..READ, [acked(2), receive(0, 13, 2)]);
        }),
        ("the same frame twice", [0, 1, 0, 0], |steps| steps.insert(8, receive(0, 12, 1))),
        ("a message stored at two seqs", [0, 3, 0, 0], |steps| {
            steps.splice(READ..READ, [receive(0, 13, 1), receive(1, 13, 1)]);
            steps.push(History(13, 1));
        }),
        ("history has it twice, nobody saw the second", [2, 1, 0, 0], |steps| steps.push(History(13, 1))),
        ("sent again below the named position", [0, 1, 0, 0], |steps| {
            steps.splice(READ..READ, opened(0, 12));
            steps.insert(READ + 1, receive(0, 12, 1));
        }),
        ("members see another order", [0, 0, 1, 0], |steps| {
            steps[8] = receive(1, 11, FOREIGN);
        }),
        ("history has another order than was live", [0, 0, 2, 0], |steps| {
            steps[READ] = History(11, 1);
            steps[READ + 1] = History(12, 0);
        }),
        ("frames go back", [1, 0, 1, 0], |steps| steps.swap(6, 7)),
        ("a hole in history", [0, 0, 1, 0], |steps| {
            steps.splice(READ..READ, [receive(0, 13, FOREIGN), receive(1, 13, FOREIGN)]);
            steps.push(History(14, FOREIGN));
        }),
        ("history lists a seq twice", [0, 1, 1, 0], |steps| steps.push(History(12, 1))),
        ("another content", [0, 0, 0, 1], |steps| {
            steps[6] = Live(Event::Contradicted { seat: 0, seq: 11, message: 0 });
        }),
        ("the message of another chat", [0, 0, 0, 3], |steps| {
            steps.splice(READ..READ, [receive(0, 13, 3), receive(1, 13, 3)]);
            steps.push(History(13, 3));
        }),
        ("rejected, and yet there", [0, 0, 0, 1], |steps| steps.insert(READ, Live(Event::Rejected { message: 0 }))),
        ("live only, never stored", [0, 0, 0, 2], |steps| {
            steps.splice(READ..READ, [receive(0, 13, FOREIGN), receive(1, 13, FOREIGN)]);
        }),
        ("history was never written", [2, 0, 0, 4], |steps| steps.truncate(READ)),
    ];
    for (name, expected, spoil) in table {
        let mut steps = good();
        spoil(&mut steps);
        let verdict = judge(steps);
        assert_eq!(counts(&verdict), expected, "{name}: lost, duplicated, misordered, contradicted; {verdict:?}");
        assert!(!verdict.is_clean(), "{name}");
        assert!(!verdict.found.is_empty(), "{name}");
    }
}

#[test]
fn what_the_protocol_allows_is_no_fault() {
    type Bend = fn(&mut Vec<Step>);
    let table: [(&str, Bend); 6] = [
        ("an unacknowledged message, there once", |steps| _ = steps.remove(4)),
        ("an unacknowledged message, nowhere", |_| {}),
        ("acknowledged twice, after a retry", |steps| steps.insert(5, acked(0))),
        ("acknowledged, then refused, and not there", |steps| {
            steps.extend([acked(2), Live(Event::Rejected { message: 2 })]);
        }),
        ("live frames run ahead of the first sync and overlap it", |steps| {
            let first = [receive(0, 12, 1), receive(0, 11, 0), receive(0, 11, 0), receive(0, 12, 1)];
            steps.splice(6..8, []);
            steps.splice(1..1, first);
        }),
        ("a gap, asked for and filled", |steps| {
            let asked = Live(Event::Asked { seat: 0, named: 10 });
            let synced = Live(Event::Synced { seat: 0 });
            steps.splice(6..8, [receive(0, 12, 1), asked, receive(0, 11, 0), receive(0, 12, 1), synced]);
        }),
    ];
    for (name, bend) in table {
        let mut steps = good();
        bend(&mut steps);
        let verdict = judge(steps);
        assert!(verdict.is_clean(), "{name}: {verdict:?}");
    }
}

#[test]
fn a_reconnect_goes_on_where_the_client_was() {
    let mut steps = good();
    steps.drain(7..8);
    steps
        .splice(7..7, [Live(Event::Opened { seat: 0, named: 11 }), receive(0, 12, 1), Live(Event::Synced { seat: 0 })]);
    assert!(judge(steps).is_clean());
}

#[test]
fn findings_are_bounded_and_counts_are_not() {
    let again = std::iter::repeat_n(receive(0, 11, 0), 100);
    let verdict = judge(opened(0, 10).into_iter().chain(again).chain([History(11, 0)]));
    assert_eq!(verdict.duplicated, 99);
    assert!(verdict.found.len() <= 20);
    assert_eq!(verdict.found[0].to_string(), "Duplicated: chat 0, seq 11, message 0, at seat 0");
}

#[test]
fn what_was_read_from_history_may_still_come_live_once() {
    let read = |seq, message| Live(Event::Read { seat: 0, seq, message });
    let reload = [read(11, 0), read(12, 1), receive(0, 12, 1)];
    let mut steps = good();
    steps.splice(6..8, reload);
    assert!(judge(steps.clone()).is_clean());
    steps.insert(9, receive(0, 12, 1));
    assert_eq!(judge(steps).duplicated, 1);
}

#[test]
fn a_message_for_others_is_a_contradiction() {
    let mut steps = good();
    steps.push(Live(Event::Leaked { message: 0 }));
    assert_eq!(judge(steps).contradicted, 1);
}

#[test]
fn books_are_level_once_all_members_have_what_any_has() {
    let mut ledger = books();
    assert!(ledger.is_level());
    ledger.record(Event::Received { seat: 0, seq: 11, message: 0 });
    assert!(!ledger.is_level());
    ledger.record(Event::Received { seat: 1, seq: 11, message: 0 });
    assert!(ledger.is_level());
}
