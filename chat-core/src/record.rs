//! What gateways write to the log: one record a send or change, keyed by chat.
//!
//! A record carries everything `decide` needs and the log alone can order: who asks, for what, under which idempotency
//! key, with which limits. It is JSON with a format number; a reader that meets a newer number stops its partition
//! (`UnknownFormat`), because skipping what it cannot read would lose a message.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::format::{self, FormatError, Versioned};
use crate::frame::{Attachment, ContentType, Meta, Role};
use crate::id::{ChatId, GatewayId, Seq, UserId};

/// The newest record format this version reads, and the one it writes.
pub const FORMAT: u16 = 1;

/// One record of the `messages` log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Format number.
    pub v: u16,
    /// The chat, which is also the record's key.
    pub chat_id: ChatId,
    /// Who asks.
    pub actor: UserId,
    /// The idempotency key: `message_id` of a send, `op_id` of anything else, `chat_id` of a new group.
    pub id: Uuid,
    /// The gateway that waits for the outcome or tells the sender of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<GatewayId>,
    /// What is asked.
    pub op: Op,
}

/// What a record asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Append a message.
    Send {
        /// Both users, where the chat is DIRECT: the first such record begins it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        direct: Option<[UserId; 2]>,
        /// TEXT, IMAGE or FILE.
        content_type: ContentType,
        /// Text or caption.
        content: String,
        /// The file of an IMAGE or FILE.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attachment: Option<Attachment>,
        /// The app's own data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meta: Option<Meta>,
    },
    /// Replace the content of a message.
    Edit {
        /// Which.
        seq: Seq,
        /// The new content.
        content: String,
        /// The new data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        meta: Option<Meta>,
    },
    /// Empty a message.
    Delete {
        /// Which.
        seq: Seq,
    },
    /// Begin a DIRECT chat without a message.
    OpenDirect {
        /// Both users.
        users: [UserId; 2],
    },
    /// Begin a GROUP; the actor becomes its ADMIN.
    CreateGroup {
        /// Its name.
        name: String,
        /// The others.
        members: Vec<UserId>,
        /// How many a group may have, the actor included.
        limit: u64,
    },
    /// Give the group another name.
    Rename {
        /// The name.
        name: String,
    },
    /// Add a member, or set a member's role.
    SetMember {
        /// Who.
        user: UserId,
        /// May do what.
        role: Role,
        /// How many a group may have.
        limit: u64,
    },
    /// Remove a member; the actor's own id means leaving.
    RemoveMember {
        /// Who.
        user: UserId,
    },
    /// Empty messages of the actor, who is being erased; whether they are still a member does not matter. What is not
    /// theirs, gone already, or a SYSTEM message is passed over.
    Erase {
        /// Which: ascending, 1 to [`ERASE_MAX`].
        seqs: Vec<Seq>,
    },
}

/// Messages that one record erases at most.
pub const ERASE_MAX: usize = 200;

impl Op {
    /// Returns the messages that it changes or asks to change.
    pub fn subjects(&self) -> &[Seq] {
        match self {
            Self::Edit { seq, .. } | Self::Delete { seq } => std::slice::from_ref(seq),
            Self::Erase { seqs } => seqs,
            _ => &[],
        }
    }
}

/// A record that cannot be applied, whoever reads it. Such a record goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are no record.
    #[error("not a record: {0}")]
    Malformed(String),
    /// The record is of a newer format than this version reads. Not a dead letter: the partition stops.
    #[error("record format {found}, this version reads up to {FORMAT}")]
    UnknownFormat {
        /// The record's format number.
        found: u16,
    },
    /// The pair of a DIRECT record does not give its chat id, or a GROUP has the id of a DIRECT chat.
    #[error("the chat id does not belong to its members")]
    WrongChatId,
}

impl From<FormatError> for RecordError {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Malformed(reason) => Self::Malformed(reason),
            FormatError::Unknown { found, .. } => Self::UnknownFormat { found },
        }
    }
}

impl Versioned for Record {
    const NEWEST: u16 = FORMAT;

    fn format(&self) -> u16 {
        self.v
    }
}

impl Record {
    /// Makes a record of the current format.
    pub fn new(chat_id: ChatId, actor: UserId, id: Uuid, op: Op) -> Self {
        Self { v: FORMAT, chat_id, actor, id, reply_to: None, op }
    }

    /// Names the gateway that waits for the outcome.
    #[must_use]
    pub fn reply_to(self, gateway: GatewayId) -> Self {
        Self { reply_to: Some(gateway), ..self }
    }

    /// Encodes the record.
    pub fn encode(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("a record has string keys only")).into()
    }

    /// Decodes a record and checks what holds for every record of its kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = format::decode(bytes)?;
        if let Op::Erase { seqs } = &record.op
            && (seqs.is_empty() || seqs.len() > ERASE_MAX || !seqs.is_sorted_by(|a, b| a < b))
        {
            return Err(RecordError::Malformed("the messages to erase are not 1 to 200, ascending".to_owned()));
        }
        let pair = match &record.op {
            Op::Send { direct: Some(pair), .. } | Op::OpenDirect { users: pair } => Some(pair),
            _ => None,
        };
        let fits = match pair {
            Some([a, b]) => {
                a != b && record.chat_id == ChatId::direct(a, b) && (record.actor == *a || record.actor == *b)
            }
            None => !(record.chat_id.is_direct() && matches!(record.op, Op::CreateGroup { .. })),
        };
        if fits { Ok(record) } else { Err(RecordError::WrongChatId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        UserId::new(text).unwrap()
    }

    fn send(chat_id: ChatId, direct: Option<[UserId; 2]>) -> Record {
        let op =
            Op::Send { direct, content_type: ContentType::Text, content: "hi".into(), attachment: None, meta: None };
        Record::new(chat_id, user("ann"), Uuid::from_u128(7), op)
    }

    #[test]
    fn a_record_round_trips() {
        let pair = [user("ann"), user("bob")];
        let record = send(ChatId::direct(&pair[0], &pair[1]), Some(pair)).reply_to(GatewayId::new("gw-0", "b1"));
        assert_eq!(Record::decode(&record.encode()).unwrap(), record);
    }

    #[test]
    fn a_newer_format_is_told_from_garbage() {
        let newer = br#"{"v":2,"something":"else"}"#;
        assert_eq!(Record::decode(newer), Err(RecordError::UnknownFormat { found: 2 }));
        assert!(matches!(Record::decode(b"{}"), Err(RecordError::Malformed(_))));
        assert!(matches!(Record::decode(b"\xff"), Err(RecordError::Malformed(_))));
    }

    #[test]
    fn what_is_erased_is_bounded_and_in_order() {
        let erase = |seqs: Vec<Seq>| {
            let record = Record::new(ChatId(Uuid::from_u128(1)), user("ann"), Uuid::from_u128(7), Op::Erase { seqs });
            Record::decode(&record.encode())
        };
        assert!(erase(vec![1, 2, 9]).is_ok());
        for bad in [vec![], vec![2, 2], vec![3, 1], (1..=201).collect()] {
            assert!(matches!(erase(bad), Err(RecordError::Malformed(_))));
        }
    }

    #[test]
    fn a_direct_record_belongs_to_its_pair() {
        let pair = [user("ann"), user("bob")];
        let foreign = ChatId::direct(&user("ann"), &user("eve"));
        assert_eq!(Record::decode(&send(foreign, Some(pair)).encode()), Err(RecordError::WrongChatId));
        let others = [user("bob"), user("eve")];
        let record = send(ChatId::direct(&others[0], &others[1]), Some(others));
        assert_eq!(Record::decode(&record.encode()), Err(RecordError::WrongChatId));
    }
}
