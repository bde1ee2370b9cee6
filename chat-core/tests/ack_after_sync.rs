//! Proof that the embedded engines acknowledge what survives, and nothing sooner: their system calls are watched, then
//! the journal is cut where a crash could cut it, and the database is opened again.

#![expect(clippy::unwrap_used, reason = "a test may end anywhere, and the line says where")]

#[path = "crash/child.rs"]
mod child;
#[path = "crash/trace.rs"]
mod trace;

use std::path::Path;
use std::process::{Command, Stdio};

use chat_core::message_log::{MessageLog, Topic};

use child::{Ack, open};
use trace::{Event, Trace};

/// Runs one of these tests again as a child that works on a database and then dies without closing it.
fn itself(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(child::DIR, dir);
    command
}

/// Tells whether system calls can be watched; in CI they must.
fn can_trace() -> bool {
    let tried = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let can = tried.is_ok_and(|status| status.success());
    assert!(can || std::env::var("CI").as_deref() != Ok("true"), "strace is missing or not permitted");
    if !can {
        eprintln!("SKIPPED: strace is missing or not permitted (Debian package strace)");
    }
    can
}

#[test]
fn no_acknowledgement_leaves_before_the_sync_that_covers_it() {
    if let Some(dir) = std::env::var_os(child::DIR) {
        return child::write_in_phases(Path::new(&dir));
    }
    if !can_trace() {
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let (dir, log) = (scratch.path().join("db"), scratch.path().join("trace"));
    let test = itself("no_acknowledgement_leaves_before_the_sync_that_covers_it", &dir);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "1000000", "-e", "trace=write,fsync,fdatasync,sync_file_range,msync"]);
    strace.args(["-e", "signal=none", "-o"]).arg(&log).arg(test.get_program()).args(test.get_args());
    strace.env(child::DIR, &dir).stdout(Stdio::null());
    strace.status().unwrap();

    let trace = Trace::parse(&std::fs::read_to_string(&log).unwrap(), &dir.join("0.jnl"));
    let acks = trace.acks();
    assert_eq!(acks.iter().filter(|(ack, _)| matches!(ack, Ack::Record { .. })).count(), child::RECORDS);
    for (ack, at) in &acks {
        match ack {
            Ack::Record { text, .. } => assert_synced_before(&trace, text, *at),
            Ack::Mute => assert_synced_before(&trace, "\"muted\"", *at),
            Ack::Rows { .. } | Ack::Commit { .. } => {}
        }
    }
    assert_eq!(trace.syncs_in("rows"), 0, "rows and commits have no sync of their own");
    assert_eq!(trace.syncs_in("mute"), 1, "what the log cannot make again has one");
    let groups = trace.syncs_in("appends");
    assert!((1..child::RECORDS / 2).contains(&groups), "{groups} syncs for {} records", child::RECORDS);
    reopen_where_a_crash_could_cut(&trace, &dir, scratch.path());
}

/// Checks that the text was written to the journal, and that a sync began after that and ended before event `at`.
fn assert_synced_before(trace: &Trace, text: &str, at: usize) {
    let written =
        trace.events[..at].iter().position(|event| matches!(event, Event::Written { text: t, .. } if t.contains(text)));
    let written = written.unwrap_or_else(|| panic!("{text} was acknowledged before it was written"));
    let mut after = trace.events[written..at].iter();
    let is_covered = after.any(|event| *event == Event::SyncBegins) && after.any(|event| *event == Event::SyncEnds);
    assert!(is_covered, "{text} was acknowledged before it was synced");
}

/// Cuts the journal at the length that each of many crashes would leave at least, at that length and somewhat past it,
/// and checks what the database then holds.
fn reopen_where_a_crash_could_cut(trace: &Trace, dir: &Path, scratch: &Path) {
    let journal = std::fs::read(dir.join("0.jnl")).unwrap();
    let cuts = trace.cuts();
    let step = (cuts.len() / 12).max(1);
    let chosen = cuts.iter().step_by(step).chain(cuts.last());
    let mut previous = 0;
    for (number, cut) in chosen.enumerate() {
        // What was synced is there; of what came after, any beginning may be.
        let torn = (cut.synced + cut.written).div_ceil(2);
        for (variant, length) in [cut.synced, torn, cut.written, cut.written].into_iter().enumerate() {
            let copy = scratch.join(format!("cut-{number}-{variant}"));
            copy_all(dir, &copy, "0.jnl");
            let mut kept = journal[..length].to_vec();
            // The database allocates its journal ahead; what was never written reads as zeros.
            kept.resize(length + (1 << 16), 0);
            if variant == 3 {
                // The disk took later sectors before an earlier one.
                let hole = cut.synced.next_multiple_of(512).max(torn / 512 * 512);
                kept[hole..(hole + 512).min(length.max(hole))].fill(0);
            }
            std::fs::write(copy.join("0.jnl"), kept).unwrap();
            let records = child::check(&copy, cut.acks.iter());
            assert!(records >= previous, "a later crash left less");
            if variant == 0 {
                previous = records;
            }
        }
    }
    assert!(previous >= child::RECORDS as u64, "the last cut holds everything");
}

fn copy_all(from: &Path, to: &Path, except: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target, except);
        } else if entry.file_name() != except {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged() {
    use std::io::{BufRead, BufReader};

    if let Some(dir) = std::env::var_os(child::DIR) {
        return child::write_until_killed(Path::new(&dir));
    }
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("db");
    let mut acks = Vec::new();
    for round in 1..=3 {
        let mut child = itself("a_killed_process_loses_nothing_it_acknowledged", &dir);
        let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut is_killed = false;
        // What is in the pipe after the kill was acknowledged before it.
        while let Some(Ok(line)) = lines.next() {
            acks.extend(Ack::parse(&line));
            if acks.len() >= round * 3000 && !is_killed {
                child.kill().unwrap();
                is_killed = true;
            }
        }
        child.wait().unwrap();
        assert!(is_killed, "the child ended by itself");
        child::check(&dir, acks.iter());
    }
}

#[test]
fn offsets_go_on_after_a_kill() {
    if let Some(dir) = std::env::var_os(child::DIR) {
        return child::write_in_phases(Path::new(&dir));
    }
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("db");
    let mut before = 0;
    for _ in 0..3 {
        let status = itself("offsets_go_on_after_a_kill", &dir).stdout(Stdio::null()).status().unwrap();
        assert!(!status.success(), "the child dies without closing the database");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let db = open(&dir);
        let end: u64 = (0..child::PARTITIONS).map(|p| runtime.block_on(db.log.end(Topic::Messages, p)).unwrap()).sum();
        assert_eq!(end, before + child::RECORDS as u64);
        before = end;
    }
}
