//! A batch: records of one partition in log order, decided against chats in memory, as one plan of writes.
//!
//! Pure. The partition loop reads what [`Needs`] names, calls [`plan`], then carries the plan out.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::clock::Time;
use chat_core::event::{Fact, Outcome, Verdict};
use chat_core::frame::ContentType;
use chat_core::id::{ChatId, GatewayId, Seq, UserId};
use chat_core::message_log::Position;
use chat_core::message_store::row::ACTIVE_SLOT_MS;
use chat_core::message_store::{ChatState, IdKey, IdRow, Roster, Row, StoredMessage};
use chat_core::record::{Op, Record};
use rustc_hash::{FxHashMap, FxHashSet};

use super::chat_state::CachedChat;
use super::decide::{Decision, Input, Target, decide};

/// A record with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Positioned {
    /// Where it stands.
    pub position: Position,
    /// When the log took it.
    pub time: Time,
    /// The record.
    pub record: Record,
}

/// What must be read from the store before a batch can be planned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Idempotency keys that memory cannot tell about, and those of records to be replayed.
    pub ids: Vec<IdKey>,
    /// Messages that edits, deletes and erasures are about.
    pub targets: Vec<(ChatId, Seq)>,
    /// Records that were decided before: they are emitted again, never decided again.
    pub replayed: Vec<(ChatId, Position)>,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Rows of idempotency keys that exist.
    pub ids: FxHashMap<IdKey, IdRow>,
    /// Rows of messages that exist, for targets and for replayed sends.
    pub messages: FxHashMap<(ChatId, Seq), StoredMessage>,
    /// Rosters of replayed records.
    pub rosters: FxHashMap<(ChatId, Position), RostersAt>,
}

/// The rosters around a record.
#[derive(Debug, Clone, Default)]
pub struct RostersAt {
    /// The newest below the record.
    pub before: Arc<Roster>,
    /// The one the record wrote, if it did.
    pub written: Option<Arc<Roster>>,
}

/// What became of one record, and who is to hear of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// Where the record stands.
    pub position: Position,
    /// What became of it.
    pub verdict: Verdict,
    /// The gateway that waits for the verdict.
    pub reply_to: Option<GatewayId>,
    /// Write timestamp of its rows.
    pub ts: u64,
    /// What to tell.
    pub facts: Vec<Fact>,
    /// The members to tell: as of this record, those just removed included.
    pub audience: Arc<Roster>,
    /// The membership record whose roster holds after this record.
    pub roster_at: Position,
    /// It was decided before, and is told of again.
    pub is_replay: bool,
}

impl Settled {
    pub(super) fn new(positioned: &Positioned, outcome: Outcome, ts: u64, audience: Arc<Roster>) -> Self {
        let record = &positioned.record;
        let verdict = Verdict {
            chat_id: record.chat_id,
            actor: record.actor.clone(),
            id: record.id,
            is_send: matches!(record.op, Op::Send { .. }),
            outcome,
        };
        Self {
            position: positioned.position,
            verdict,
            reply_to: record.reply_to.clone(),
            ts,
            facts: Vec::new(),
            audience,
            roster_at: Position::default(),
            is_replay: false,
        }
    }
}

/// The writes of a batch, and what to tell when they are acknowledged.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Stage 1.
    pub rows: Vec<Row>,
    /// Stage 2.
    pub states: Vec<(ChatId, ChatState)>,
    /// What became of each record, in log order.
    pub settled: Vec<Settled>,
}

/// The chats of a batch.
pub type Chats = FxHashMap<ChatId, CachedChat>;

/// Names what must be read before this batch can be planned.
pub fn needs(chats: &Chats, records: &[Positioned]) -> Needs {
    let mut needs = Needs::default();
    let mut made_here: FxHashMap<ChatId, Seq> = FxHashMap::default();
    let mut targets = BTreeSet::new();
    for Positioned { position, time, record } in records {
        let Some(chat) = chats.get(&record.chat_id) else { continue };
        let is_replay = *position <= chat.state.position;
        let memory = chat.ids.get(record.id, &record.actor, *position);
        let ask = memory.is_none() && chat.ids.must_ask_store(record.id, *time, chat.state.ids_ahead_until);
        if is_replay || ask {
            needs.ids.push(key(record));
        }
        if is_replay {
            needs.replayed.push((record.chat_id, *position));
        }
        let made = made_here.entry(record.chat_id).or_insert(0);
        let about = record.op.subjects();
        let there = about.iter().filter(|seq| **seq <= chat.state.seq + *made);
        targets.extend(there.map(|seq| (record.chat_id, *seq)));
        *made += u64::from(about.is_empty());
    }
    needs.targets = targets.into_iter().collect();
    needs
}

/// Plans a batch: decides each record against the chats, which it moves on, or finds again what was decided before.
/// A chat that is not in `chats` does not exist.
pub fn plan(chats: &mut Chats, records: &[Positioned], known: &Known) -> Plan {
    let mut plan = Plan::default();
    let mut overlay = Overlay::default();
    let mut touched: Vec<ChatId> = Vec::new();
    let mut decided: FxHashSet<ChatId> = FxHashSet::default();
    for positioned in records {
        let chat_id = positioned.record.chat_id;
        let chat =
            chats.entry(chat_id).or_insert_with(|| CachedChat::loaded(None, None, Arc::default(), positioned.time));
        if positioned.position <= chat.state.position {
            plan.settled.push(super::replay::find_again(chat, positioned, known));
            continue;
        }
        let before = Arc::clone(&chat.roster);
        let decision = decide_one(chat, positioned, known, &overlay);
        overlay.note(positioned, &decision);
        plan.settled.push(settle(chat, positioned, decision, before, &mut plan.rows));
        if decided.insert(chat_id) {
            touched.push(chat_id);
        }
    }
    for chat_id in touched {
        if let Some(chat) = chats.get_mut(&chat_id) {
            mark_active(chat_id, chat, &mut plan.rows);
            plan.states.push((chat_id, chat.state));
        }
    }
    if let Some(last) = records.last() {
        for chat in chats.values_mut() {
            chat.ids.forget(last.time);
        }
    }
    plan
}

pub(super) fn key(record: &Record) -> IdKey {
    IdKey { chat_id: record.chat_id, id: record.id, actor: record.actor.clone() }
}

fn decide_one(chat: &CachedChat, positioned: &Positioned, known: &Known, overlay: &Overlay) -> Decision {
    let Positioned { position, time, record } = positioned;
    let in_store = || known.ids.get(&key(record)).filter(|row| row.position < *position).map(|row| (row.seq, row.rev));
    let about = record.op.subjects().iter();
    let targets: Vec<(Seq, Target)> =
        about.filter_map(|seq| Some((*seq, overlay.target(record.chat_id, *seq, *position, known)?))).collect();
    decide(&Input {
        state: &chat.state,
        roster: &chat.roster,
        header: chat.header.as_ref(),
        position: *position,
        time: *time,
        record,
        duplicate: chat.ids.get(record.id, &record.actor, *position).or_else(in_store),
        targets: &targets,
    })
}

/// Moves the chat on and takes the rows of one decision into the plan.
fn settle(
    chat: &mut CachedChat,
    positioned: &Positioned,
    decision: Decision,
    before: Arc<Roster>,
    rows: &mut Vec<Row>,
) -> Settled {
    let Positioned { position, time, record } = positioned;
    chat.state = decision.state;
    if let Outcome::Applied { seq, rev } = decision.outcome {
        chat.ids.insert(record.id, &record.actor, *position, (seq, rev), *time);
    }
    let applied = decision.applied;
    let audience = match applied.roster {
        Some(after) => {
            chat.roster = Arc::clone(&after);
            union(&before, after)
        }
        None => before,
    };
    if applied.header.is_some() {
        chat.header = applied.header;
    }
    rows.extend(applied.rows);
    let settled = Settled::new(positioned, decision.outcome, decision.state.ts, audience);
    Settled { facts: applied.facts, roster_at: chat.state.roster_at, ..settled }
}

/// Returns the members of both; those of `after` keep their place there.
pub(super) fn union(before: &Roster, after: Arc<Roster>) -> Arc<Roster> {
    if before.users().all(|user| after.contains(user)) {
        return after;
    }
    let both = after.members().iter().chain(before.members()).cloned().collect();
    Arc::new(Roster::new(both))
}

/// Marks the chat active in its members' inboxes, once a slot.
fn mark_active(chat_id: ChatId, chat: &mut CachedChat, rows: &mut Vec<Row>) {
    let slot = (chat.state.ts / 1000) / ACTIVE_SLOT_MS;
    if !chat.state.exists() || slot <= chat.active_slot {
        return;
    }
    rows.extend(chat.roster.users().map(|user| Row::Active { user: user.clone(), chat_id, slot }));
    chat.active_slot = slot;
}

/// Messages made and deleted by this batch, which the store does not show yet.
#[derive(Debug, Default)]
struct Overlay {
    made: FxHashMap<(ChatId, Seq), (UserId, ContentType)>,
    deleted: FxHashSet<(ChatId, Seq)>,
}

impl Overlay {
    fn note(&mut self, positioned: &Positioned, decision: &Decision) {
        let chat_id = positioned.record.chat_id;
        for fact in &decision.applied.facts {
            match fact {
                Fact::Message(message) => {
                    self.made.insert((chat_id, message.seq), (message.sender.clone(), message.content_type));
                }
                Fact::Deleted { seq, .. } => {
                    self.deleted.insert((chat_id, *seq));
                }
                Fact::Updated { .. } | Fact::Changed { .. } => {}
            }
        }
    }

    /// Returns a message as of a position: a delete at a higher one, which the store may already show, does not count.
    fn target(&self, chat_id: ChatId, seq: Seq, position: Position, known: &Known) -> Option<Target> {
        let place = (chat_id, seq);
        let deleted_here = self.deleted.contains(&place);
        if let Some((sender, content_type)) = self.made.get(&place) {
            return Some(Target { sender: sender.clone(), content_type: *content_type, deleted: deleted_here });
        }
        let row = known.messages.get(&place).filter(|row| row.position < position)?;
        Some(Target {
            sender: row.message.sender.clone(),
            content_type: row.message.content_type,
            deleted: deleted_here || row.deleted_position.is_some_and(|at| at < position),
        })
    }
}
