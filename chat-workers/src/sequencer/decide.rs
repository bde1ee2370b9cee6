//! The heart: what one record does to one chat. A pure function of the chat's state, its roster and the record.
//!
//! Two owners of a partition, or one owner before and after a crash, compute the same rows from the same log, because
//! nothing else goes in: no clock, no table that runs ahead of the state cell. Duplicates are tested before
//! membership, so a retry by someone who has left since is still the same message. Every decided record moves the
//! position and the write timestamp, applied or not.

use std::sync::Arc;

use chat_core::clock::Time;
use chat_core::codes::ErrorCode;
use chat_core::event::{Fact, Outcome};
use chat_core::frame::{ContentType, Message};
use chat_core::id::{MessageId, Rev, Seq, UserId, v7_millis};
use chat_core::message_log::Position;
use chat_core::message_store::{ChatHeader, ChatState, IdKey, IdRow, Roster, Row};
use chat_core::record::{Op, Record};

mod change;
mod group;
mod message;

pub(super) use change::chat_info;

#[cfg(test)]
mod tests;

/// How far the time inside an id may run ahead of the log before memory alone no longer tells a duplicate.
pub const CLOCK_AHEAD_MS: u64 = 120_000;

/// Everything `decide` may look at.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The state cell before the record; the default where the chat does not exist.
    pub state: &'a ChatState,
    /// The members before the record.
    pub roster: &'a Arc<Roster>,
    /// What the chat is; it only dresses facts and never decides.
    pub header: Option<&'a ChatHeader>,
    /// Where the record stands.
    pub position: Position,
    /// When the log took it.
    pub time: Time,
    /// The record.
    pub record: &'a Record,
    /// What the same idempotency key was applied as at a lower position.
    pub duplicate: Option<(Seq, Rev)>,
    /// Those of the messages it is about that there are, as of the record's position, ascending.
    pub targets: &'a [(Seq, Target)],
}

/// The immutable part of a message row, and whether it was deleted below the asking record's position.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Who wrote it.
    pub sender: UserId,
    /// What it carries.
    pub content_type: ContentType,
    /// Deleted by a record at a lower position.
    pub deleted: bool,
}

/// What a record does.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The state cell after the record.
    pub state: ChatState,
    /// What became of it.
    pub outcome: Outcome,
    /// What it changes, where it is applied.
    pub applied: Applied,
}

/// The effects of an applied record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Applied {
    /// Rows of stage 1.
    pub rows: Vec<Row>,
    /// What to tell, in order.
    pub facts: Vec<Fact>,
    /// The members after the record, where they changed.
    pub roster: Option<Arc<Roster>>,
    /// What the chat is after the record, where that changed.
    pub header: Option<ChatHeader>,
}

/// Decides one record.
pub fn decide(input: &Input<'_>) -> Decision {
    let state = ChatState {
        position: input.position,
        ts: write_timestamp(input.time, input.position.offset, input.state.ts),
        ..*input.state
    };
    if let Some((seq, rev)) = input.duplicate {
        return Decision { state, outcome: Outcome::Duplicate { seq, rev }, applied: Applied::default() };
    }
    let step = Step { input, state, at: moment(state.ts), applied: Applied::default() };
    match step.apply() {
        Ok(step) => step.done(),
        Err(code) => Decision { state, outcome: Outcome::Refused { code }, applied: Applied::default() },
    }
}

/// Returns the write timestamp of a record: microseconds made of the log's time and the offset, never at or below the
/// chat's last one.
pub fn write_timestamp(time: Time, offset: u64, last: u64) -> u64 {
    (time.millis() * 1000 + offset % 1000).max(last + 1)
}

/// Returns the time that a record's rows and facts carry: the log's, but never falling within a chat. It follows from
/// the write timestamp, so that a replay finds it again.
pub fn moment(ts: u64) -> Time {
    Time::from_millis(ts / 1000)
}

/// One record on its way to being applied.
struct Step<'a> {
    input: &'a Input<'a>,
    state: ChatState,
    at: Time,
    applied: Applied,
}

impl Step<'_> {
    fn apply(self) -> Result<Self, ErrorCode> {
        let record = self.input.record;
        match &record.op {
            Op::Send { direct, content_type, content, attachment, meta } => {
                let body = message::Body { content_type: *content_type, content, attachment, meta };
                self.send(direct.as_ref(), body)
            }
            Op::Edit { seq, content, meta } => self.edit(*seq, content, meta.as_ref()),
            Op::Delete { seq } => self.delete(*seq),
            Op::OpenDirect { users } => Ok(self.open_direct(users)),
            Op::CreateGroup { name, members, limit } => self.create_group(name, members, *limit),
            Op::Rename { name } => self.rename(name),
            Op::SetMember { user, role, limit } => self.set_member(user, *role, *limit),
            Op::RemoveMember { user } => self.remove_member(user),
            Op::Erase { seqs } => self.erase(seqs),
        }
    }

    fn roster(&self) -> &Arc<Roster> {
        self.applied.roster.as_ref().unwrap_or(self.input.roster)
    }

    /// Returns a message that the record is about, where it is there and not deleted.
    fn target(&self, seq: Seq) -> Option<&Target> {
        let found = self.input.targets.iter().find(|(found, _)| *found == seq);
        found.map(|(_, target)| target).filter(|target| seq <= self.state.seq && !target.deleted)
    }

    fn require_member(&self) -> Result<(), ErrorCode> {
        if self.roster().contains(&self.input.record.actor) {
            Ok(())
        } else if self.state.exists() {
            Err(ErrorCode::Forbidden)
        } else {
            Err(ErrorCode::ChatNotFound)
        }
    }

    /// Takes the next seq for a message.
    fn push_message(&mut self, message: Message) {
        let record = self.input.record;
        self.state.seq = message.seq;
        self.state.head_at = self.at;
        let message = Arc::new(message);
        self.applied.rows.push(Row::Message {
            ts: self.state.ts,
            position: self.input.position,
            message: Arc::clone(&message),
        });
        self.applied.rows.push(Row::Cursor {
            chat_id: record.chat_id,
            user: record.actor.clone(),
            delivered: message.seq,
            read: message.seq,
        });
        self.applied.facts.push(Fact::Message(Arc::unwrap_or_clone(message)));
    }

    fn set_roster(&mut self, roster: Roster) {
        let roster = Arc::new(roster);
        self.state.roster_at = self.input.position;
        self.applied.rows.push(Row::Roster {
            chat_id: self.input.record.chat_id,
            at: self.input.position,
            roster: Arc::clone(&roster),
        });
        self.applied.roster = Some(roster);
    }

    /// Closes an applied record: its idempotency key is written with what it became.
    fn done(mut self) -> Decision {
        let record = self.input.record;
        let (seq, rev) = match self.applied.facts.last() {
            Some(Fact::Message(message)) => (message.seq, 0),
            Some(Fact::Updated { seq, rev, .. } | Fact::Deleted { seq, rev, .. }) => (*seq, *rev),
            Some(Fact::Changed { change, .. }) => (change.seq, 0),
            None => (0, 0),
        };
        self.applied.rows.push(Row::Id {
            key: IdKey { chat_id: record.chat_id, id: record.id, actor: record.actor.clone() },
            row: IdRow { seq, rev, position: self.input.position, ts: self.state.ts },
        });
        if let Some(made) = v7_millis(record.id).map(Time::from_millis)
            && made > self.input.time.plus_millis(CLOCK_AHEAD_MS)
        {
            self.state.ids_ahead_until = self.state.ids_ahead_until.max(made);
        }
        Decision { state: self.state, outcome: Outcome::Applied { seq, rev }, applied: self.applied }
    }
}

/// Returns the id that a message made by this record has.
fn message_id(record: &Record) -> MessageId {
    MessageId(record.id)
}
