//! The ledger: what was acknowledged, against what the store, the topics and every session hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::event::{Event, Fact, Outcome, PushRecord};
use chat_core::frame::ChangeKind;
use chat_core::id::{ChatId, Rev, Seq, UserId};
use chat_core::message_log::{Entry, Position};
use chat_core::message_store::tables::{Scan, Tables};
use chat_core::message_store::{Order, SeqRange};
use chat_core::record::Record;
use chat_workers::sequencer::batch::Positioned;
use uuid::Uuid;

use super::gateway::Copy;
use super::readers::{Violation, check_end};
use super::reference::{Reference, same_fact};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Sends that the log acknowledged: the chat, the id, the sender.
    pub(crate) acked: Vec<(ChatId, Uuid, UserId)>,
    /// The log, by partition.
    pub(crate) log: Vec<Vec<Entry>>,
    pub(crate) tables: Tables,
    pub(crate) events: Vec<Event>,
    pub(crate) pushes: Vec<PushRecord>,
    /// What the sessions of each gateway hold.
    pub(crate) copies: Vec<BTreeMap<UserId, BTreeMap<ChatId, Copy>>>,
}

impl Ledger {
    /// Checks every promise.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        for entries in &self.log {
            let log: Vec<Positioned> = entries.iter().map(decoded).collect();
            let reference = Reference::of(&log);
            check_end(&self.tables, &reference)?;
            self.check_acked(&log, &reference)?;
            self.check_topics(&log, &reference)?;
            for chat in reference.chats() {
                self.check_copies(chat)?;
            }
        }
        Ok(())
    }

    /// Every acknowledged send is in its chat exactly once, or was refused.
    fn check_acked(&self, log: &[Positioned], reference: &Reference) -> Result<(), Violation> {
        let mut applied: BTreeMap<(ChatId, Uuid, &UserId), usize> = BTreeMap::new();
        for (told, Positioned { record, .. }) in reference.told.iter().zip(log) {
            let times = applied.entry((record.chat_id, record.id, &record.actor)).or_default();
            *times += usize::from(matches!(told.outcome, Outcome::Applied { .. }));
        }
        let chats = reference.chats();
        for (chat, id, actor) in self.acked.iter().filter(|(chat, _, _)| chats.contains(chat)) {
            let Some(times) = applied.get(&(*chat, *id, actor)) else {
                return Err(Violation(format!("{id} is acknowledged and not in the log")));
            };
            let seq = reference.tables.state(*chat).unwrap().unwrap_or_default().seq;
            let range = SeqRange { after: 0, upto: seq };
            let rows = self.tables.messages(*chat, range, Order::OldestFirst, usize::MAX).unwrap();
            let found =
                rows.iter().filter(|row| row.message.message_id.0 == *id && row.message.sender == *actor).count();
            if *times > 1 || found != *times {
                return Err(Violation(format!("{id} was applied {times} times and is there {found} times")));
            }
        }
        Ok(())
    }

    /// Every fact is in the events, is always the same, and every message has its push record.
    fn check_topics(&self, log: &[Positioned], reference: &Reference) -> Result<(), Violation> {
        let mut emitted: BTreeMap<Position, Vec<&Event>> = BTreeMap::new();
        for event in &self.events {
            emitted.entry(event.position).or_default().push(event);
        }
        let pushed: BTreeSet<(ChatId, Seq)> = self.pushes.iter().map(|push| (push.chat_id, push.seq)).collect();
        for (told, Positioned { position, record, .. }) in reference.told.iter().zip(log) {
            let events = emitted.remove(position).unwrap_or_default();
            for fact in &told.facts {
                if !events.iter().any(|event| event.ts == told.ts && same_fact(&event.fact, fact, true)) {
                    return Err(Violation(format!("{position} was never told as {fact:?}")));
                }
                if let Fact::Message(message) = fact
                    && !pushed.contains(&(record.chat_id, message.seq))
                {
                    return Err(Violation(format!("{position} was never pushed")));
                }
            }
            for event in events {
                if !told.facts.iter().any(|fact| same_fact(&event.fact, fact, true)) {
                    return Err(Violation(format!("{position} was told as {event:?}, not {:?}", told.facts)));
                }
            }
        }
        Ok(())
    }

    /// Every session of a member has what the member may see, and nobody has anything else.
    fn check_copies(&self, chat: ChatId) -> Result<(), Violation> {
        let state = self.tables.state(chat).unwrap().unwrap_or_default();
        let range = SeqRange { after: 0, upto: state.seq };
        let rows = self.tables.messages(chat, range, Order::OldestFirst, usize::MAX).unwrap();
        let stays = stays(&rows.iter().map(|row| row.message.clone()).collect::<Vec<_>>());
        for (user, copies) in self.copies.iter().flatten() {
            let copy = copies.get(&chat).cloned().unwrap_or_default();
            let stays = stays.get(user).map_or(&[][..], Vec::as_slice);
            let violated = |what: &str, seq: Seq| Err(Violation(format!("chat {chat}, seq {seq}, {user}: {what}")));
            for (seq, (id, _)) in &copy.messages {
                if !stays.iter().any(|(after, upto)| after < seq && seq <= upto) {
                    return violated("holds what was said while they were not in the chat", *seq);
                }
                if rows.iter().all(|row| row.message.seq != *seq || row.message.message_id != *id) {
                    return violated("holds another message", *seq);
                }
            }
            let Some((after, Seq::MAX)) = stays.last() else { continue };
            for row in rows.iter().filter(|row| row.message.seq > *after) {
                match copy.messages.get(&row.message.seq) {
                    None => return violated("is missing", row.message.seq),
                    Some((_, content)) if *content != row.message.content => {
                        return violated("has other content", row.message.seq);
                    }
                    Some(_) => {}
                }
            }
            if copy.rev != state.rev && copy.messages.values().len() == rows.len() {
                return Err(Violation(format!("chat {chat}, {user}: rev {}, not {}", copy.rev, state.rev)));
            }
        }
        Ok(())
    }
}

/// From the SYSTEM messages: when who was in the chat, as `after < seq <= upto`; still in it where `upto` is the
/// highest number.
fn stays(messages: &[chat_core::frame::Message]) -> BTreeMap<UserId, Vec<(Seq, Seq)>> {
    let mut stays: BTreeMap<UserId, Vec<(Seq, Seq)>> = BTreeMap::new();
    for change in messages.iter().filter_map(|message| message.system.as_ref()) {
        for user in change.users.iter().flatten() {
            let of_user = stays.entry(user.clone()).or_default();
            match change.kind {
                ChangeKind::Created => of_user.push((0, Seq::MAX)),
                ChangeKind::MemberAdded => of_user.push((change.seq - 1, Seq::MAX)),
                ChangeKind::MemberRemoved | ChangeKind::MemberLeft => {
                    if let Some(last) = of_user.last_mut() {
                        last.1 = change.seq;
                    }
                }
                ChangeKind::Renamed | ChangeKind::RoleChanged => {}
            }
        }
    }
    stays
}

fn decoded(entry: &Entry) -> Positioned {
    let record = Record::decode(&entry.payload).unwrap();
    Positioned { position: entry.position, time: entry.time, record }
}

/// Counts what a run had, so that one that had nothing does not pass for a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) acked: usize,
    pub(crate) records: usize,
    pub(crate) events: usize,
    pub(crate) held: usize,
    pub(crate) revs: Rev,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.acked += other.acked;
        self.records += other.records;
        self.events += other.events;
        self.held += other.held;
        self.revs += other.revs;
    }
}

impl Ledger {
    pub(crate) fn counts(&self) -> Counts {
        let copies = || self.copies.iter().flat_map(BTreeMap::values).flat_map(BTreeMap::values);
        Counts {
            acked: self.acked.len(),
            records: self.log.iter().map(Vec::len).sum(),
            events: self.events.len(),
            held: copies().map(|copy| copy.messages.len()).sum(),
            revs: copies().map(|copy| copy.rev).sum(),
        }
    }
}
