//! The reference: the real `decide`, one record at a time, with perfect knowledge and nothing that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_core::event::{Fact, Outcome};
use chat_core::frame::ChatInfo;
use chat_core::id::{ChatId, Rev, Seq, UserId};
use chat_core::message_log::Position;
use chat_core::message_store::row::ACTIVE_SLOT_MS;
use chat_core::message_store::tables::Tables;
use chat_core::message_store::{ChatHeader, ChatState, IdKey, Roster, Row};
use chat_workers::sequencer::batch::{Positioned, Settled};
use chat_workers::sequencer::decide::{Input, Target, decide};

use super::readers::Violation;

/// What a record must become, whoever decides it, however often.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) outcome: Outcome,
    pub(crate) facts: Vec<Fact>,
    pub(crate) audience: BTreeSet<UserId>,
    pub(crate) ts: u64,
    pub(crate) roster_at: Position,
}

/// What a log must become.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    /// By offset.
    pub(crate) told: Vec<Told>,
    /// The tables at the end.
    pub(crate) tables: Tables,
    /// The state cell of a chat after each of its records.
    pub(crate) states: BTreeMap<(ChatId, Position), ChatState>,
    pub(crate) users: BTreeSet<UserId>,
}

#[derive(Default)]
struct Known {
    state: ChatState,
    roster: Arc<Roster>,
    header: Option<ChatHeader>,
    targets: BTreeMap<Seq, Target>,
}

impl Reference {
    /// Decides a log.
    pub(crate) fn of(log: &[Positioned]) -> Self {
        let mut reference = Self::default();
        let mut chats: BTreeMap<ChatId, Known> = BTreeMap::new();
        let mut ids: BTreeMap<IdKey, (Seq, Rev)> = BTreeMap::new();
        for positioned in log {
            let chat = chats.entry(positioned.record.chat_id).or_default();
            reference.decide(positioned, chat, &mut ids);
        }
        reference
    }

    fn decide(&mut self, positioned: &Positioned, chat: &mut Known, ids: &mut BTreeMap<IdKey, (Seq, Rev)>) {
        let Positioned { position, time, record } = positioned;
        let key = IdKey { chat_id: record.chat_id, id: record.id, actor: record.actor.clone() };
        let about = record.op.subjects().iter();
        let targets: Vec<(Seq, Target)> =
            about.filter_map(|seq| Some((*seq, chat.targets.get(seq)?.clone()))).collect();
        let decision = decide(&Input {
            state: &chat.state,
            roster: &chat.roster,
            header: chat.header.as_ref(),
            position: *position,
            time: *time,
            record,
            duplicate: ids.get(&key).copied(),
            targets: &targets,
        });
        let mut audience: BTreeSet<UserId> = chat.roster.users().cloned().collect();
        if let Outcome::Applied { seq, rev } = decision.outcome {
            ids.insert(key, (seq, rev));
        }
        if let Some(roster) = decision.applied.roster {
            audience.extend(roster.users().cloned());
            chat.roster = roster;
        }
        if decision.applied.header.is_some() {
            chat.header = decision.applied.header;
        }
        for fact in &decision.applied.facts {
            chat.note(fact);
        }
        chat.state = decision.state;
        let slot = (chat.state.ts / 1000) / ACTIVE_SLOT_MS;
        let active = |user: &UserId| Row::Active { user: user.clone(), chat_id: record.chat_id, slot };
        let rows = decision.applied.rows.into_iter().chain(chat.roster.users().map(active));
        rows.for_each(|row| self.tables.apply(&row));
        self.tables.apply_state(record.chat_id, &chat.state);
        self.states.insert((record.chat_id, *position), chat.state);
        self.users.extend(audience.iter().cloned());
        let facts = decision.applied.facts;
        self.told.push(Told {
            outcome: decision.outcome,
            facts,
            audience,
            ts: chat.state.ts,
            roster_at: chat.state.roster_at,
        });
    }

    /// Returns the chats that the log is about.
    pub(crate) fn chats(&self) -> BTreeSet<ChatId> {
        self.states.keys().map(|(chat, _)| *chat).collect()
    }

    /// Checks what a sequencer says a record became, the first time or again.
    pub(crate) fn check_settled(&self, settled: &Settled, is_replay: bool) -> Result<(), Violation> {
        let told = &self.told[usize::try_from(settled.position.offset).unwrap()];
        let violated = |what: &str| {
            Err(Violation(format!("{} at {} (again: {is_replay}): {settled:?}, not {told:?}", what, settled.position)))
        };
        let outcome = &settled.verdict.outcome;
        let same_outcome = match (outcome, &told.outcome) {
            // Why it was refused is not kept.
            (Outcome::Refused { .. }, Outcome::Refused { .. }) if is_replay => true,
            (found, wanted) => found == wanted,
        };
        if !same_outcome {
            return violated("another outcome");
        }
        let same_facts = settled.facts.len() == told.facts.len()
            && settled.facts.iter().zip(&told.facts).all(|(found, wanted)| same_fact(found, wanted, is_replay));
        if !same_facts {
            return violated("other facts");
        }
        if !told.facts.is_empty() {
            if settled.ts != told.ts {
                return violated("another write timestamp");
            }
            // A roster that was superseded since is not named again: then none is, and never a later one.
            let names_none = is_replay && settled.roster_at == settled.position;
            if settled.roster_at != told.roster_at && !names_none {
                return violated("another roster");
            }
            if !settled.audience.users().eq(&told.audience) {
                return violated("another audience");
            }
        }
        Ok(())
    }
}

impl Known {
    fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::Message(message) => {
                let target =
                    Target { sender: message.sender.clone(), content_type: message.content_type, deleted: false };
                self.targets.insert(message.seq, target);
            }
            Fact::Deleted { seq, .. } => {
                if let Some(target) = self.targets.get_mut(seq) {
                    target.deleted = true;
                }
            }
            Fact::Updated { .. } | Fact::Changed { .. } => {}
        }
    }
}

/// The same fact, told for the first time or again. A chat's name is not part of its state: it may show what a batch
/// that was begun before has renamed it to. Told again, the whole view of the chat may be newer.
pub(crate) fn same_fact(found: &Fact, wanted: &Fact, is_replay: bool) -> bool {
    let (
        Fact::Changed { chat, change, members },
        Fact::Changed { chat: old, change: same_change, members: same_members },
    ) = (found, wanted)
    else {
        return found == wanted;
    };
    let same_chat = ChatInfo { name: old.name.clone(), ..chat.clone() } == *old;
    change == same_change && members == same_members && (same_chat || is_replay && chat.head_seq >= old.head_seq)
}
