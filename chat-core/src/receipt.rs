//! Receipts: the record in which gateways tell of cursors, and what follows from cursors.

use serde::{Deserialize, Serialize};

use crate::format::{self, FormatError, Versioned};
use crate::id::{ChatId, Seq, UserId};
use crate::message_log::{Append, Topic, partition_of};

pub mod tally;

pub use tally::{Counts, Standing, Tally, counts, unread};

/// One record of the `receipts` topic: how far the users of one gateway came in one chat within one tick.
///
/// Its cursors only ever rise, so records may come late, twice, or in any order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRecord {
    /// Format number.
    pub v: u16,
    /// The chat, which is also the record's key.
    pub chat_id: ChatId,
    /// One entry a user.
    pub cursors: Vec<UserCursors>,
}

/// How far one user came; 0 where nothing is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCursors {
    /// Who.
    pub user: UserId,
    /// Delivered to any session up to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delivered: Seq,
    /// Read up to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub read: Seq,
    /// Delivered to an *active* session up to. An idle desktop's receipt is left out of it: it shows the second tick,
    /// but it does not keep the phone from being pushed to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub active: Seq,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(seq: &Seq) -> bool {
    *seq == 0
}

impl UserCursors {
    /// Makes the cursors of one `receipt` frame. What was read was also delivered.
    pub fn new(user: UserId, delivered: Seq, read: Seq, session_is_active: bool) -> Self {
        let delivered = delivered.max(read);
        Self { user, delivered, read, active: if session_is_active { delivered } else { 0 } }
    }

    /// Raises each cursor to that of `other`, where that is higher.
    pub fn raise(&mut self, other: &Self) {
        self.read = self.read.max(other.read);
        self.delivered = self.delivered.max(other.delivered).max(self.read);
        self.active = self.active.max(other.active);
    }

    /// Cuts each cursor to the last seq that its user may see.
    pub fn cut(&mut self, upto: Seq) {
        for cursor in [&mut self.delivered, &mut self.read, &mut self.active] {
            *cursor = (*cursor).min(upto);
        }
    }
}

impl Versioned for ReceiptRecord {
    const NEWEST: u16 = 1;

    fn format(&self) -> u16 {
        self.v
    }
}

impl ReceiptRecord {
    /// Makes a record of the current format.
    pub fn new(chat_id: ChatId, cursors: Vec<UserCursors>) -> Self {
        Self { v: Self::NEWEST, chat_id, cursors }
    }

    /// Returns the record as the log takes it, in a topic of so many partitions.
    pub fn to_append(&self, partitions: u32) -> Append {
        Append {
            topic: Topic::Receipts,
            partition: partition_of(self.chat_id, partitions),
            key: self.chat_id.to_string().into(),
            payload: self.encode(),
            headers: Vec::new(),
        }
    }

    /// Encodes the record.
    pub fn encode(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("a receipt record has string keys only")).into()
    }

    /// Decodes a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        format::decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn a_record_round_trips_without_what_is_not_told() {
        let chat_id = ChatId(Uuid::nil());
        let record = ReceiptRecord::new(chat_id, vec![UserCursors::new(user("ann"), 7, 0, false)]);
        let json =
            r#"{"v":1,"chat_id":"00000000-0000-0000-0000-000000000000","cursors":[{"user":"ann","delivered":7}]}"#;
        assert_eq!(record.encode(), json);
        assert_eq!(ReceiptRecord::decode(json.as_bytes()), Ok(record));
    }

    #[test]
    fn cursors_rise_and_are_cut_each_by_itself() {
        let mut cursors = UserCursors::new(user("ann"), 3, 5, true);
        assert_eq!((cursors.delivered, cursors.read, cursors.active), (5, 5, 5), "what was read was delivered");
        cursors.raise(&UserCursors::new(user("ann"), 9, 0, false));
        assert_eq!((cursors.delivered, cursors.read, cursors.active), (9, 5, 5), "an idle session does not count");
        cursors.raise(&UserCursors::new(user("ann"), 1, 1, true));
        assert_eq!((cursors.delivered, cursors.read, cursors.active), (9, 5, 5), "nothing falls");
        cursors.cut(4);
        assert_eq!((cursors.delivered, cursors.read, cursors.active), (4, 4, 4));
    }
}
