//! Records for tests: users, chats, ids, and a log that is written record by record.

use chat_core::clock::Time;
use chat_core::frame::{ContentType, Role};
use chat_core::id::{ChatId, Seq, UserId};
use chat_core::message_log::Position;
use chat_core::record::{Op, Record};
use chat_workers::sequencer::batch::Positioned;
use uuid::Uuid;

/// When the logs of tests begin.
pub(crate) const T0: Time = Time::from_millis(1_764_000_000_000);

/// Makes a user id.
pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// Makes a `UUIDv7` with this time inside.
pub(crate) fn id_at(time: Time, n: u64) -> Uuid {
    Uuid::from_u128((u128::from(time.millis()) << 80) | (7 << 76) | (0b10 << 62) | u128::from(n))
}

/// Makes the id of a group.
pub(crate) fn group(n: u64) -> ChatId {
    ChatId(id_at(T0, 0x6770_0000 + n))
}

/// A place in the only partition.
pub(crate) fn position(offset: u64) -> Position {
    Position { epoch: 1, partition: 0, offset }
}

pub(crate) fn text(content: &str) -> Op {
    Op::Send { direct: None, content_type: ContentType::Text, content: content.into(), attachment: None, meta: None }
}

pub(crate) fn create(members: &[&str]) -> Op {
    Op::CreateGroup { name: "club".into(), members: members.iter().map(|name| user(name)).collect(), limit: 500 }
}

pub(crate) fn add(name: &str) -> Op {
    Op::SetMember { user: user(name), role: Role::Member, limit: 500 }
}

pub(crate) fn remove(name: &str) -> Op {
    Op::RemoveMember { user: user(name) }
}

pub(crate) fn edit(seq: Seq, content: &str) -> Op {
    Op::Edit { seq, content: content.into(), meta: None }
}

/// One partition of the log, as its readers get it.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter {
    now: Time,
    records: Vec<Positioned>,
}

impl LogWriter {
    pub(crate) fn new() -> Self {
        Self { now: T0, records: Vec::new() }
    }

    /// Sets the log's clock, which may also go backwards.
    pub(crate) fn at(&mut self, time: Time) -> &mut Self {
        self.now = time;
        self
    }

    /// Appends a record.
    pub(crate) fn put(&mut self, chat_id: ChatId, actor: &str, id: Uuid, op: Op) -> &mut Self {
        let position = position(self.records.len() as u64);
        let record = Record::new(chat_id, user(actor), id, op);
        self.records.push(Positioned { position, time: self.now, record });
        self
    }

    /// Appends a record again, as a client that heard no answer does.
    pub(crate) fn retry(&mut self, offset: usize) -> &mut Self {
        let position = position(self.records.len() as u64);
        let record = self.records[offset].record.clone();
        self.records.push(Positioned { position, time: self.now, record });
        self
    }

    pub(crate) fn records(&self) -> &[Positioned] {
        &self.records
    }
}
