//! The sequencer as a model that a checker can exhaust: two owners of one partition, the real reads, plan and replay,
//! and every write a step of its own. A dead owner's writes land at any later point or never.
//!
//! States hold numbers only: tables, memories, plans and writes are kept once, so that what the real code does for
//! one of them is worked out once.

use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use chat_core::event::{Fact, Outcome};
use chat_core::message_store::Row;
use chat_core::message_store::memory::MemoryStore;
use chat_core::message_store::tables::{Scan, Tables};
use chat_workers::sequencer::batch::{Chats, Known, Positioned};
use chat_workers::sequencer::chat_state::RecentIds;
use rustc_hash::FxHashMap;
use stateright::{Checker, HasDiscoveries, Model, Property};
use tokio::time::Instant;

use super::owner;
use super::readers::{check_end, check_moment};
use super::reference::Reference;
use super::write::Write;

/// What a driver does wrong, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A batch is committed when it is read.
    CommitEarly,
    /// The state cell is written with the rows.
    HeadFirst,
    /// A batch is told when its rows are not acknowledged yet.
    TellEarly,
    /// The next batch begins when the state cell is not acknowledged, from what the store shows.
    EvictEarly,
    /// What was decided before is not told again.
    SkipReplay,
    /// Nothing is found under an idempotency key.
    NoDedupe,
    /// An id counts whatever the position of its record.
    NoPositionCheck,
}

/// What is explored.
#[derive(Debug)]
pub(crate) struct Owners {
    log: Vec<Positioned>,
    begun: u8,
    reference: Reference,
    /// How often an owner begins anew: it crashed, or the other one takes over.
    starts: u8,
    /// Whether chats fall out of memory between batches.
    evicts: bool,
    /// Whether the log has edits or deletes.
    changes_messages: bool,
    flaw: Option<Flaw>,
    kept: Mutex<Kept>,
}

/// All that states refer to by number.
#[derive(Debug, Default)]
struct Kept {
    /// Writes that land together: one row, or all those of a batch that no sequencer ever reads.
    landings: Numbered<Vec<Write>>,
    writes: Vec<Vec<Write>>,
    tables: Numbered<Tables>,
    /// Of each of the tables: a store that holds them, how it came to be, and whether readers may see it now and when
    /// all is committed.
    stores: Vec<StoreAt>,
    landed: FxHashMap<(u32, u32), u32>,
    memories: Numbered<String>,
    chats: Vec<Chats>,
    plans: Vec<Planned>,
    planned: FxHashMap<(u32, u32, u8, u8), u32>,
}

#[derive(Debug, Clone)]
struct StoreAt {
    store: MemoryStore,
    witness: Vec<u32>,
    is_sound: bool,
    is_final: bool,
}

/// The default is what cannot be planned, because the store is torn.
#[derive(Debug, Clone, Default)]
struct Planned {
    rows: Vec<u32>,
    states: Vec<u32>,
    memory: u32,
    /// The records that are told, as bits.
    told: u16,
    /// The highest seq that is told.
    head: u64,
    is_right: bool,
}

#[derive(Debug)]
struct Numbered<T>(FxHashMap<T, u32>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<T: Hash + Eq> Numbered<T> {
    /// Returns the number of a value, and whether it is new.
    fn number(&mut self, value: T) -> (u32, bool) {
        let next = u32::try_from(self.0.len()).unwrap();
        let number = *self.0.entry(value).or_insert(next);
        (number, number == next)
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub(crate) struct State {
    tables: u32,
    owners: [Owner; 2],
    /// Writes whose owner is gone.
    late: Vec<u32>,
    committed: u8,
    /// Records above the committed offset that were told, as bits.
    told: u16,
    starts: u8,
    wrong_outcome: bool,
    told_unkept: bool,
    committed_untold: bool,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, Default)]
struct Owner {
    is_up: bool,
    next: u8,
    done: u8,
    memory: u32,
    batch: Option<Running>,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Running {
    plan: u32,
    to: u8,
    /// Rows, then state cells.
    stage: u8,
    pending: Vec<u32>,
    is_told: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    Start(usize),
    Begin(usize, u8),
    Land(usize, u32),
    LandLate(u32),
    Tell(usize),
    EvictEarly(usize),
    Evict(usize),
    Commit(usize),
}

impl Owners {
    /// Makes the model of a log whose first records are decided, told and committed already.
    pub(crate) fn new(log: &[Positioned], begun: u8, starts: u8) -> Self {
        let reference = Reference::of(log);
        let mut kept = Kept::default();
        let (empty, _) = kept.memories.number(String::new());
        kept.chats.push(Chats::default());
        assert_eq!(empty, 0);
        let kept = Mutex::new(kept);
        let is_change = |positioned: &Positioned| !positioned.record.op.subjects().is_empty();
        let changes_messages = log.iter().any(is_change);
        let owners =
            Self { log: log.to_vec(), begun, reference, starts, evicts: false, changes_messages, flaw: None, kept };
        owners.kept.lock().unwrap().store_of(Vec::new(), &owners.reference);
        owners
    }

    #[must_use]
    pub(crate) fn evicting(self) -> Self {
        Self { evicts: true, ..self }
    }

    #[must_use]
    pub(crate) fn with(self, flaw: Flaw) -> Self {
        Self { flaw: Some(flaw), ..self }
    }

    fn len(&self) -> u8 {
        u8::try_from(self.log.len()).unwrap()
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Explores everything; returns the broken promises. Fails if it does not get to the end.
    pub(crate) fn explore(self, limit: Duration) -> Explored {
        let stops_early = self.flaw.is_some();
        let begun = Instant::now();
        let checker = self.checker().threads(2).timeout(limit);
        let checker = if stops_early { checker.finish_when(HasDiscoveries::AnyFailures) } else { checker };
        let checker = checker.spawn_bfs().join();
        let broken: Vec<String> = checker
            .discoveries()
            .into_iter()
            .map(|(what, path)| format!("{what}: {:?}", path.into_actions()))
            .collect();
        let took = begun.elapsed();
        assert!(took < limit || !broken.is_empty(), "not exhausted within {limit:?}: proves nothing");
        Explored { states: checker.unique_state_count(), took, broken }
    }

    fn meddle(&self, chats: &mut Chats, known: &mut Known) {
        match self.flaw {
            Some(Flaw::NoDedupe) => {
                known.ids.clear();
                for chat in chats.values_mut() {
                    chat.ids = RecentIds::default();
                }
            }
            Some(Flaw::NoPositionCheck) => {
                known.ids.values_mut().for_each(|row| row.position = chat_core::message_log::Position::default());
            }
            _ => {}
        }
    }

    /// Plans the records from `next` up to `to` with the real code.
    fn plan(&self, tables: u32, memory: u32, next: u8, to: u8) -> u32 {
        let mut kept = self.kept.lock().unwrap();
        if let Some(plan) = kept.planned.get(&(tables, memory, next, to)) {
            return *plan;
        }
        let records = &self.log[usize::from(next)..usize::from(to)];
        let store = kept.stores[tables as usize].store.clone();
        let cache = &kept.chats[memory as usize];
        let Ok(batch) = owner::plan(&store, cache, records, &|chats, known| self.meddle(chats, known)) else {
            kept.plans.push(Planned::default());
            return u32::try_from(kept.plans.len() - 1).unwrap();
        };
        let is_right =
            batch.settled.iter().all(|(settled, again)| self.reference.check_settled(settled, *again).is_ok());
        let mut planned = Planned { is_right, ..Planned::default() };
        for (settled, is_replay) in &batch.settled {
            let is_skipped = self.has(Flaw::SkipReplay) && *is_replay;
            if matches!(settled.verdict.outcome, Outcome::Applied { .. }) && !is_skipped {
                planned.told |= 1 << settled.position.offset;
                let seqs =
                    settled.facts.iter().map(|fact| if let Fact::Message(message) = fact { message.seq } else { 0 });
                planned.head = planned.head.max(seqs.max().unwrap_or(0));
            }
        }
        let (alone, together): (Vec<_>, Vec<_>) =
            batch.rows.into_iter().partition(|write| is_read_by_sequencers(write, self.changes_messages));
        let mut landings: Vec<Vec<Write>> = alone.into_iter().map(|write| vec![write]).collect();
        if !together.is_empty() {
            landings.push(together);
        }
        planned.rows = landings.into_iter().map(|landing| kept.landing(landing)).collect();
        planned.states = batch.states.into_iter().map(|state| kept.landing(vec![state])).collect();
        let mut remembered: Vec<String> = batch.chats.iter().map(|chat| format!("{chat:?}")).collect();
        remembered.sort();
        let (number, is_new) = kept.memories.number(remembered.join("\n"));
        if is_new {
            kept.chats.push(batch.chats);
        }
        planned.memory = number;
        kept.plans.push(planned);
        let plan = u32::try_from(kept.plans.len() - 1).unwrap();
        kept.planned.insert((tables, memory, next, to), plan);
        plan
    }

    /// Forgets writes that change nothing now: as no cell ever goes back, they never will.
    fn drop_idle(&self, state: &mut State) {
        let mut kept = self.kept.lock().unwrap();
        let tables = state.tables;
        let mut changes = |landing: &u32| kept.land(tables, *landing, &self.reference) != tables;
        state.late.retain(&mut changes);
        for owner in &mut state.owners {
            if let Some(batch) = &mut owner.batch {
                batch.pending.retain(&mut changes);
            }
        }
    }

    /// Takes the steps that change nothing for anybody else, and makes equal what can never differ any more.
    fn settle(&self, state: &mut State) {
        self.drop_idle(state);
        state.told &= !((1 << state.committed) - 1);
        for i in 0..state.owners.len() {
            // The state cells are written when all rows are acknowledged; that they land is a step of its own.
            if let Some(batch) = &mut state.owners[i].batch
                && batch.stage == 1
                && batch.pending.is_empty()
            {
                batch.stage = 2;
                batch.pending.clone_from(&self.kept.lock().unwrap().plans[batch.plan as usize].states);
                self.drop_idle(state);
            }
            let owner = &mut state.owners[i];
            if owner.batch.is_none() && owner.next == self.len() {
                owner.memory = 0;
            }
            if owner.done <= state.committed {
                owner.done = 0;
            }
        }
    }

    fn abandon(state: &mut State, owner: usize) {
        if let Some(batch) = state.owners[owner].batch.take() {
            state.late.extend(batch.pending);
            state.late.sort_unstable();
            state.late.dedup();
        }
    }
}

impl Kept {
    fn landing(&mut self, writes: Vec<Write>) -> u32 {
        let (number, is_new) = self.landings.number(writes.clone());
        if is_new {
            self.writes.push(writes);
        }
        number
    }

    /// Returns the tables after one more landing.
    fn land(&mut self, tables: u32, landing: u32, reference: &Reference) -> u32 {
        if let Some(after) = self.landed.get(&(tables, landing)) {
            return *after;
        }
        let mut witness = self.stores[tables as usize].witness.clone();
        witness.push(landing);
        let after = self.store_of(witness, reference);
        self.landed.insert((tables, landing), after);
        after
    }

    fn store_of(&mut self, witness: Vec<u32>, reference: &Reference) -> u32 {
        let store = MemoryStore::default();
        let writes = witness.iter().flat_map(|landing| &self.writes[*landing as usize]);
        writes.for_each(|write| write.land(&store));
        let found = store.tables();
        let (is_sound, is_final) = (check_moment(&found, reference).is_ok(), check_end(&found, reference).is_ok());
        let (number, is_new) = self.tables.number(found);
        if is_new {
            self.stores.push(StoreAt { store, witness, is_sound, is_final });
        }
        number
    }
}

/// Rows that no decision depends on land together: how far they have landed matters to readers only, who see none of
/// them before the state cell. Messages are read for edits and deletes alone.
fn is_read_by_sequencers(write: &Write, changes_messages: bool) -> bool {
    match write {
        Write::Row(Row::Id { .. } | Row::Roster { .. }) => true,
        Write::Row(Row::Message { .. } | Row::Delete { .. }) => changes_messages,
        _ => false,
    }
}

impl Model for Owners {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let number = self.plan(0, 0, 0, self.begun);
        let mut kept = self.kept.lock().unwrap();
        let Planned { rows, states, .. } = kept.plans[number as usize].clone();
        let writes = rows.into_iter().chain(states);
        let tables = writes.fold(0, |tables, landing| kept.land(tables, landing, &self.reference));
        let first = Owner { is_up: true, next: self.begun, ..Owner::default() };
        vec![State {
            tables,
            owners: [first, Owner::default()],
            late: Vec::new(),
            committed: self.begun,
            told: 0,
            starts: 0,
            wrong_outcome: false,
            told_unkept: false,
            committed_untold: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (i, owner) in state.owners.iter().enumerate() {
            if state.starts < self.starts {
                actions.push(Action::Start(i));
            }
            if !owner.is_up {
                continue;
            }
            if owner.done > state.committed {
                actions.push(Action::Commit(i));
            }
            let Some(batch) = &owner.batch else {
                actions.extend((owner.next + 1..=self.len()).map(|to| Action::Begin(i, to)));
                if self.evicts && owner.memory != 0 {
                    actions.push(Action::Evict(i));
                }
                continue;
            };
            actions.extend(batch.pending.iter().map(|landing| Action::Land(i, *landing)));
            let is_acknowledged = batch.pending.is_empty();
            if batch.stage == 2 && self.has(Flaw::EvictEarly) && !is_acknowledged {
                actions.push(Action::EvictEarly(i));
            }
            if !batch.is_told && (batch.stage == 2 && is_acknowledged || self.has(Flaw::TellEarly)) {
                actions.push(Action::Tell(i));
            }
        }
        actions.extend(state.late.iter().map(|landing| Action::LandLate(*landing)));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Start(i) => {
                state.starts += 1;
                Self::abandon(&mut state, i);
                let next = state.committed;
                state.owners[i] = Owner { is_up: true, next, ..Owner::default() };
            }
            Action::Begin(i, to) => {
                let Owner { next, memory, .. } = state.owners[i];
                let number = self.plan(state.tables, memory, next, to);
                let planned = self.kept.lock().unwrap().plans[number as usize].clone();
                state.wrong_outcome |= !planned.is_right;
                let mut batch = Running { plan: number, to, stage: 1, pending: planned.rows, is_told: false };
                if self.has(Flaw::HeadFirst) {
                    batch.pending.extend(planned.states);
                    batch.stage = 2;
                }
                batch.pending.sort_unstable();
                if self.has(Flaw::CommitEarly) {
                    state.owners[i].done = to;
                }
                state.owners[i].batch = Some(batch);
            }
            Action::Land(i, landing) => {
                state.owners[i].batch.as_mut()?.pending.retain(|other| *other != landing);
                state.tables = self.kept.lock().unwrap().land(state.tables, landing, &self.reference);
            }
            Action::LandLate(landing) => {
                state.late.retain(|other| *other != landing);
                state.tables = self.kept.lock().unwrap().land(state.tables, landing, &self.reference);
            }
            Action::Tell(i) => {
                let batch = state.owners[i].batch.as_mut()?;
                batch.is_told = true;
                let kept = self.kept.lock().unwrap();
                let planned = &kept.plans[batch.plan as usize];
                let chat = self.log[0].record.chat_id;
                let visible =
                    kept.stores[state.tables as usize].store.tables().state(chat).unwrap().unwrap_or_default();
                state.told_unkept |= visible.seq < planned.head;
                state.told |= planned.told;
                if batch.stage == 2 && batch.pending.is_empty() {
                    let (to, memory) = (batch.to, planned.memory);
                    let done = state.owners[i].done.max(to);
                    state.owners[i] = Owner { is_up: true, next: to, done, memory, batch: None };
                }
            }
            Action::EvictEarly(i) => {
                let to = state.owners[i].batch.as_ref()?.to;
                Self::abandon(&mut state, i);
                state.owners[i] = Owner { next: to, memory: 0, ..state.owners[i].clone() };
            }
            Action::Evict(i) => state.owners[i].memory = 0,
            Action::Commit(i) => {
                state.committed = state.committed.max(state.owners[i].done);
                let applied = |offset: &u8| !self.reference.told[usize::from(*offset)].facts.is_empty();
                let mut fresh = (last.committed..state.committed).filter(applied);
                state.committed_untold |= fresh.any(|offset| state.told >> offset & 1 == 0);
            }
        }
        self.settle(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let sound = |model: &Self, state: &State| model.kept.lock().unwrap().stores[state.tables as usize].is_sound;
        let whole = |model: &Self, state: &State| {
            state.committed < model.len() || model.kept.lock().unwrap().stores[state.tables as usize].is_final
        };
        let ends_well = |model: &Self, state: &State| {
            let mut actions = Vec::new();
            model.actions(state, &mut actions);
            !actions.is_empty() || state.committed == model.len()
        };
        vec![
            Property::always("readers see the right rows without gaps", sound),
            Property::always("what is committed is kept whole", whole),
            Property::always("a record always becomes the same", |_, state: &State| !state.wrong_outcome),
            Property::always("what is committed was told", |_, state: &State| !state.committed_untold),
            Property::always("what is told is kept", |_, state: &State| !state.told_unkept),
            Property::always("the end is reached", ends_well),
        ]
    }
}

/// What an exploration found.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) took: Duration,
    pub(crate) broken: Vec<String>,
}
