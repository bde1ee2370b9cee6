//! What strace saw: writes to the journal, syncs of it, and acknowledgements, in the order in which they happened.
//!
//! That order is sound: strace stops a thread at the entry and at the exit of each call. A thread that acknowledges
//! because another one's sync returned can only do so after strace has seen that return.

use std::collections::HashMap;
use std::path::Path;

use super::child::Ack;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A write to the journal returned; it took so many bytes.
    Written { text: String, bytes: usize },
    /// A sync of the journal was asked for.
    SyncBegins,
    /// It returned without an error.
    SyncEnds,
    /// An acknowledgement is about to leave.
    Acknowledged(Ack),
    /// The child announced a phase.
    Phase(String),
}

/// All that happened.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) events: Vec<Event>,
}

/// A moment at which the machine might have stopped.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Bytes of the journal that the disk must have.
    pub(crate) synced: usize,
    /// Bytes that it may have.
    pub(crate) written: usize,
    /// What was acknowledged until then.
    pub(crate) acks: Vec<Ack>,
}

impl Trace {
    /// Parses the output of `strace -f -y`.
    pub(crate) fn parse(text: &str, journal: &Path) -> Self {
        let journal = format!("<{}>", journal.display());
        let mut events = Vec::new();
        // Calls that another thread's line interrupted, by thread.
        let mut unfinished: HashMap<&str, String> = HashMap::new();
        for line in text.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if let Some((_, rest)) = call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>")) {
                if let Some(begun) = unfinished.remove(thread) {
                    events.extend(end(&begun, rest, &journal));
                }
            } else if let Some(begun) = call.strip_suffix("<unfinished ...>") {
                events.extend(begin(begun, &journal));
                unfinished.insert(thread, begun.to_owned());
            } else {
                events.extend(begin(call, &journal));
                events.extend(end(call, call, &journal));
            }
        }
        Self { events }
    }

    /// Returns every acknowledgement with its place among the events.
    pub(crate) fn acks(&self) -> Vec<(Ack, usize)> {
        let acks = self.events.iter().enumerate().filter_map(|(at, event)| match event {
            Event::Acknowledged(ack) => Some((ack.clone(), at)),
            _ => None,
        });
        acks.collect()
    }

    /// Counts the syncs of one phase.
    pub(crate) fn syncs_in(&self, phase: &str) -> usize {
        let begins = |event: &Event| matches!(event, Event::Phase(name) if name == phase);
        let of_phase = self.events.iter().skip_while(|event| !begins(event)).skip(1);
        let of_phase = of_phase.take_while(|event| !matches!(event, Event::Phase(_)));
        of_phase.filter(|event| **event == Event::SyncEnds).count()
    }

    /// Returns the moment before each sync ends and the moment after each acknowledgement.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let (mut synced, mut syncing, mut written) = (0, 0, 0);
        let mut acks = Vec::new();
        for event in &self.events {
            match event {
                Event::Written { bytes, .. } => written += bytes,
                Event::SyncBegins => syncing = written,
                Event::SyncEnds => {
                    cuts.push(Cut { synced, written, acks: acks.clone() });
                    synced = syncing;
                }
                Event::Acknowledged(ack) => {
                    acks.push(ack.clone());
                    cuts.push(Cut { synced, written, acks: acks.clone() });
                }
                Event::Phase(_) => {}
            }
        }
        // Making the database takes a few syncs; before the first acknowledgement there is nothing to lose.
        cuts.retain(|cut| !cut.acks.is_empty());
        cuts
    }
}

fn is_sync(call: &str) -> bool {
    call.starts_with("fdatasync(") || call.starts_with("fsync(")
}

fn begin(call: &str, journal: &str) -> Option<Event> {
    if is_sync(call) && call.contains(journal) {
        return Some(Event::SyncBegins);
    }
    let text = call.strip_prefix("write(1<")?.split_once('"')?.1.split_once("\\n\"")?.0;
    if let Some((_, name)) = text.split_once("PHASE ") {
        return Some(Event::Phase(name.to_owned()));
    }
    Ack::parse(text).map(Event::Acknowledged)
}

fn end(call: &str, rest: &str, journal: &str) -> Option<Event> {
    let result: usize = rest.rsplit_once("= ")?.1.trim().parse().ok()?;
    if !call.contains(journal) {
        None
    } else if is_sync(call) {
        Some(Event::SyncEnds)
    } else {
        // Quotes stand in the trace with a backslash.
        call.starts_with("write(").then(|| Event::Written { text: call.replace("\\\"", "\""), bytes: result })
    }
}
