//! The sequencer's promise over random logs: whatever the split into batches, whoever owns the partition, wherever
//! it dies and whichever of its writes land, in whatever order, readers get what one record after the other gives.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support {
    pub(crate) mod owner;
    pub(crate) mod readers;
    pub(crate) mod records;
    pub(crate) mod reference;
    pub(crate) mod write;
}

use std::collections::BTreeSet;

use chat_core::clock::Time;
use chat_core::event::{Fact, Outcome};
use chat_core::frame::{ContentType, Role};
use chat_core::id::{ChatId, Rev, Seq};
use chat_core::message_log::Position;
use chat_core::message_store::memory::MemoryStore;
use chat_core::record::Op;
use chat_workers::sequencer::batch::{Chats, Positioned};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use support::owner::{self, Batch};
use support::readers::{Violation, check_end, check_moment};
use support::records::{LogWriter, T0, add, create, edit, group, id_at, remove, text, user};
use support::reference::Reference;
use support::write::Write;

const USERS: [&str; 4] = ["ann", "bob", "cyd", "dan"];

/// One record to come.
#[derive(Debug, Clone)]
struct Ask {
    chat: usize,
    actor: usize,
    kind: Kind,
    /// How the log's clock moves before it, in milliseconds.
    clock: i64,
    /// How far the sender's clock is ahead of the log's, in milliseconds.
    ahead: i64,
}

#[derive(Debug, Clone)]
enum Kind {
    Send,
    Edit(Seq),
    Delete(Seq),
    Erase(Vec<Seq>),
    Create,
    Rename,
    Set(usize, Role),
    Remove(usize),
    /// An earlier record again, so many before this one.
    Retry(usize),
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let kind = prop_oneof![
        6 => Just(Kind::Send),
        2 => (1..12_u64).prop_map(Kind::Edit),
        1 => (1..12_u64).prop_map(Kind::Delete),
        1 => prop::collection::btree_set(1..12_u64, 1..6).prop_map(|seqs| Kind::Erase(seqs.into_iter().collect())),
        1 => Just(Kind::Create),
        1 => Just(Kind::Rename),
        2 => (0..4_usize, prop_oneof![Just(Role::Member), Just(Role::Admin)]).prop_map(|(who, role)| Kind::Set(who, role)),
        2 => (0..4_usize).prop_map(Kind::Remove),
        5 => (1..24_usize).prop_map(Kind::Retry),
    ];
    let clock = prop_oneof![20 => 0..900_i64, 2 => -3_000..0_i64, 2 => 400_000..700_000_i64, 1 => Just(7 * 3_600_000)];
    let ahead = prop_oneof![
        8 => -5_000..2_000_i64,
        2 => 115_000..125_000_i64,
        1 => 125_000..900_000_i64,
        1 => Just(-900_000_i64)
    ];
    let ask = (0..4_usize, 0..4_usize, kind, clock, ahead).prop_map(|(chat, actor, kind, clock, ahead)| {
        // Most of the traffic is in the first two groups.
        Ask { chat: chat.min(3) % 4, actor, kind, clock, ahead }
    });
    prop::collection::vec(ask, 1..48)
}

fn direct_pair() -> [chat_core::id::UserId; 2] {
    [user("ann"), user("bob")]
}

fn chat_id(chat: usize) -> ChatId {
    match chat {
        3 => ChatId::direct(&user("ann"), &user("bob")),
        n => group(n as u64 % 2),
    }
}

/// Writes the log that was asked for. The two groups exist from the beginning, unless `Create` comes late.
fn log_of(asks: &[Ask]) -> Vec<Positioned> {
    let mut log = LogWriter::new();
    let mut now = T0;
    log.put(group(0), "ann", group(0).0, create(&["bob", "cyd"]));
    for (n, ask) in asks.iter().enumerate() {
        now = Time::from_millis(now.millis().saturating_add_signed(ask.clock));
        log.at(now);
        let made = Time::from_millis(now.millis().saturating_add_signed(ask.ahead));
        let id = id_at(made, n as u64);
        let (chat, actor) = (chat_id(ask.chat), USERS[ask.actor]);
        match &ask.kind {
            Kind::Send if chat.is_direct() => {
                let direct = Some(direct_pair());
                let content_type = ContentType::Text;
                let op = Op::Send { direct, content_type, content: format!("m{n}"), attachment: None, meta: None };
                log.put(chat, USERS[ask.actor % 2], id, op);
            }
            Kind::Create if chat.is_direct() => {
                log.put(chat, USERS[ask.actor % 2], id, Op::OpenDirect { users: direct_pair() });
            }
            Kind::Create => drop(log.put(chat, actor, chat.0, create(&["bob", "cyd"]))),
            Kind::Send => drop(log.put(chat, actor, id, text(&format!("m{n}")))),
            Kind::Edit(seq) => drop(log.put(chat, actor, id, edit(*seq, &format!("e{n}")))),
            Kind::Delete(seq) => drop(log.put(chat, actor, id, Op::Delete { seq: *seq })),
            Kind::Erase(seqs) => drop(log.put(chat, actor, id, Op::Erase { seqs: seqs.clone() })),
            Kind::Rename => drop(log.put(chat, actor, id, Op::Rename { name: format!("n{n}") })),
            Kind::Set(who, Role::Member) => drop(log.put(chat, actor, id, add(USERS[*who]))),
            Kind::Set(who, role) => {
                log.put(chat, actor, id, Op::SetMember { user: user(USERS[*who]), role: *role, limit: 500 });
            }
            Kind::Remove(who) => drop(log.put(chat, actor, id, remove(USERS[*who]))),
            Kind::Retry(back) => {
                let last = log.records().len();
                log.retry(last.saturating_sub(*back));
            }
        }
    }
    log.records().to_vec()
}

/// How a batch ends.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Written, told, and possibly committed.
    Done,
    /// Only some of its rows land now; the owner loses its memory.
    DiesInRows,
    /// All rows and only some of the state cells land; the owner loses its memory.
    DiesInStates,
    /// All is written, nothing told; the owner loses its memory.
    DiesUntold,
    /// Some of its rows land; the owner goes on with it later.
    Pauses,
}

#[derive(Debug, Clone)]
enum Step {
    Batch {
        owner: usize,
        len: usize,
        fate: Fate,
    },
    /// A write of a dead owner lands.
    LandLate,
    Commit {
        owner: usize,
    },
    /// A chat falls out of the owner's memory.
    Evict {
        owner: usize,
        chat: usize,
    },
    /// The owner begins again at the committed offset, or another process does.
    Restart {
        owner: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![
        6 => Just(Fate::Done),
        2 => Just(Fate::DiesInRows),
        2 => Just(Fate::DiesInStates),
        1 => Just(Fate::DiesUntold),
        2 => Just(Fate::Pauses),
    ];
    let step = prop_oneof![
        8 => (0..2_usize, 1..20_usize, fate).prop_map(|(owner, len, fate)| Step::Batch { owner, len, fate }),
        3 => Just(Step::LandLate),
        2 => (0..2_usize).prop_map(|owner| Step::Commit { owner }),
        1 => (0..2_usize, 0..4_usize).prop_map(|(owner, chat)| Step::Evict { owner, chat }),
        1 => (0..2_usize).prop_map(|owner| Step::Restart { owner }),
    ];
    prop::collection::vec(step, 0..40)
}

/// A batch whose owner waits for the store.
#[derive(Debug)]
struct Paused {
    batch: Batch,
    rows: Vec<Write>,
    to: usize,
}

#[derive(Debug, Default)]
struct Owner {
    cache: Chats,
    next: usize,
    paused: Option<Paused>,
}

struct World<'a> {
    log: &'a [Positioned],
    reference: Reference,
    store: MemoryStore,
    owners: [Owner; 2],
    late: Vec<Write>,
    committed: usize,
    emitted: BTreeSet<(ChatId, Seq, Rev)>,
    told: BTreeSet<Position>,
    rng: StdRng,
}

impl<'a> World<'a> {
    fn new(log: &'a [Positioned], seed: u64) -> Self {
        Self {
            log,
            reference: Reference::of(log),
            store: MemoryStore::new(Uuid::nil()),
            owners: Default::default(),
            late: Vec::new(),
            committed: 0,
            emitted: BTreeSet::new(),
            told: BTreeSet::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn run(mut self, steps: &[Step]) -> Result<(), Violation> {
        for step in steps {
            self.step(step)?;
            check_moment(&self.store.tables(), &self.reference)?;
        }
        // In the end an owner lives long enough.
        self.restart(0);
        while self.owners[0].next < self.log.len() {
            let len = self.rng.random_range(1..20);
            self.batch(0, len, Fate::Done)?;
            while !self.late.is_empty() && self.rng.random_bool(0.5) {
                self.land_late();
            }
        }
        // Of what is still late, some never lands.
        while !self.late.is_empty() && self.rng.random_bool(0.8) {
            self.land_late();
        }
        check_end(&self.store.tables(), &self.reference)?;
        self.commit(0)?;
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Violation> {
        match *step {
            Step::Batch { owner, len, fate } => return self.batch(owner, len, fate),
            Step::LandLate => self.land_late(),
            Step::Commit { owner } => return self.commit(owner),
            Step::Evict { owner, chat } => drop(self.owners[owner].cache.remove(&chat_id(chat))),
            Step::Restart { owner } => self.restart(owner),
        }
        Ok(())
    }

    fn land_late(&mut self) {
        if !self.late.is_empty() {
            let pick = self.rng.random_range(0..self.late.len());
            self.late.swap_remove(pick).land(&self.store);
        }
    }

    /// A commit names what this owner has seen persisted, relayed and emitted.
    fn commit(&mut self, owner: usize) -> Result<(), Violation> {
        self.committed = self.committed.max(self.owners[owner].next);
        for positioned in &self.log[..self.committed] {
            let offset = usize::try_from(positioned.position.offset).unwrap();
            if !self.reference.told[offset].facts.is_empty() && !self.told.contains(&positioned.position) {
                return Err(Violation(format!("{} is committed and nobody was told", positioned.position)));
            }
        }
        Ok(())
    }

    fn restart(&mut self, owner: usize) {
        let died = std::mem::take(&mut self.owners[owner]);
        self.late.extend(died.paused.into_iter().flat_map(|paused| paused.rows));
        self.owners[owner].next = self.committed;
    }

    fn batch(&mut self, owner: usize, len: usize, fate: Fate) -> Result<(), Violation> {
        if let Some(paused) = self.owners[owner].paused.take() {
            paused.rows.iter().for_each(|write| write.land(&self.store));
            paused.batch.states.iter().for_each(|write| write.land(&self.store));
            return self.tell(owner, paused.batch, paused.to);
        }
        let from = self.owners[owner].next;
        let to = (from + len).min(self.log.len());
        let (cache, records) = (&self.owners[owner].cache, &self.log[from..to]);
        let batch = owner::plan(&self.store, cache, records, &|_, _| {}).unwrap();
        for (settled, is_replay) in &batch.settled {
            self.reference.check_settled(settled, *is_replay)?;
        }
        let mut rows = batch.rows.clone();
        rows.shuffle(&mut self.rng);
        let all = if matches!(fate, Fate::DiesInRows | Fate::Pauses) {
            self.rng.random_range(0..=rows.len())
        } else {
            rows.len()
        };
        for write in rows.drain(..all) {
            write.land(&self.store);
            check_moment(&self.store.tables(), &self.reference)?;
        }
        match fate {
            Fate::Pauses => self.owners[owner].paused = Some(Paused { batch, rows, to }),
            Fate::DiesInRows => {
                self.late.extend(rows);
                self.restart(owner);
            }
            Fate::DiesInStates => {
                let (now, late): (Vec<_>, Vec<_>) = batch.states.into_iter().partition(|_| self.rng.random_bool(0.5));
                for write in &now {
                    write.land(&self.store);
                }
                self.late.extend(late);
                self.restart(owner);
            }
            Fate::DiesUntold => {
                batch.states.iter().for_each(|write| write.land(&self.store));
                self.restart(owner);
            }
            Fate::Done => {
                batch.states.iter().for_each(|write| write.land(&self.store));
                self.tell(owner, batch, to)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, owner: usize, batch: Batch, to: usize) -> Result<(), Violation> {
        for (settled, _) in &batch.settled {
            self.told.insert(settled.position);
            let chat = settled.verdict.chat_id;
            self.emitted.extend(settled.facts.iter().filter_map(|fact| key(chat, fact)));
        }
        self.owners[owner].next = to;
        self.owners[owner].cache.extend(batch.chats);
        check_moment(&self.store.tables(), &self.reference)
    }
}

/// What consumers tell facts apart by; a chat's own change stands beside its SYSTEM message.
fn key(chat: ChatId, fact: &Fact) -> Option<(ChatId, Seq, Rev)> {
    match fact {
        Fact::Message(message) => Some((chat, message.seq, 0)),
        Fact::Updated { seq, rev, .. } | Fact::Deleted { seq, rev, .. } => Some((chat, *seq, *rev)),
        Fact::Changed { .. } => None,
    }
}

/// Checks that a log's facts are told apart by (chat, seq, rev), and that seqs and revs have no gaps.
fn check_facts(reference: &Reference, log: &[Positioned]) -> Result<(), Violation> {
    let mut seen = BTreeSet::new();
    for (told, positioned) in reference.told.iter().zip(log) {
        for key in told.facts.iter().filter_map(|fact| key(positioned.record.chat_id, fact)) {
            if !seen.insert(key) {
                return Err(Violation(format!("two facts are {key:?}")));
            }
        }
    }
    for chat in reference.chats() {
        let of_chat = || seen.iter().filter(|(of, _, _)| *of == chat);
        let seqs: Vec<Seq> = of_chat().filter(|(_, _, rev)| *rev == 0).map(|(_, seq, _)| *seq).collect();
        let revs: BTreeSet<Rev> = of_chat().map(|(_, _, rev)| *rev).filter(|rev| *rev > 0).collect();
        if !seqs.iter().copied().eq(1..=seqs.len() as u64) || !revs.iter().copied().eq(1..=revs.len() as u64) {
            return Err(Violation(format!("gaps in {seqs:?} or {revs:?}")));
        }
    }
    Ok(())
}

/// Checks that an id is applied once, whoever retries it whenever.
fn check_ids(reference: &Reference, log: &[Positioned]) -> Result<(), Violation> {
    let mut applied = BTreeSet::new();
    for (told, Positioned { record, .. }) in reference.told.iter().zip(log) {
        let id = (record.chat_id, record.id, record.actor.clone());
        let is_new = match told.outcome {
            Outcome::Applied { .. } => applied.insert(id),
            Outcome::Duplicate { .. } => applied.contains(&id),
            Outcome::Refused { .. } => !applied.contains(&id),
        };
        if !is_new {
            return Err(Violation(format!("{:?} became {:?}", record.id, told.outcome)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decide_gives_gapless_numbers_and_applies_an_id_once(asks in asks()) {
        let log = log_of(&asks);
        let reference = Reference::of(&log);
        check_facts(&reference, &log).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
        check_ids(&reference, &log).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
    }

    #[test]
    fn any_split_any_crash_and_any_zombie_give_the_same_rows(asks in asks(), steps in steps(), seed: u64) {
        let log = log_of(&asks);
        let world = World::new(&log, seed);
        world.run(&steps).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
    }
}
