//! What became of a push: the record of the `push.outcomes` topic, one a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::format::{self, FormatError, Versioned};
use crate::id::{ChatId, MessageId, Seq, UserId};

/// One record of the `push.outcomes` topic: a message, and what became of its push for each member but the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushOutcomes {
    /// Format number.
    pub v: u16,
    /// The chat.
    pub chat_id: ChatId,
    /// The message.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// When the last of it was settled.
    pub at: Time,
    /// One entry a member who was not pushed to, one a device otherwise.
    pub outcomes: Vec<PushOutcome>,
}

/// What became of the push to one member, or to one of a member's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushOutcome {
    /// The member.
    pub member: UserId,
    /// The device, where one was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What became of it.
    pub outcome: PushResult,
    /// The vendor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PushResult {
    /// The vendor took it.
    Sent,
    /// The vendor refuses the device's token.
    InvalidToken,
    /// The vendor refuses this notification.
    Refused,
    /// The vendor did not take it within the attempts there are.
    GivenUp,
    /// Nothing to do: an active session has the message.
    Delivered,
    /// Nothing to do: the member has read it.
    Read,
    /// The member has muted the chat.
    Muted,
    /// The member has blocked the sender.
    Blocked,
    /// The member has no device that can be pushed to.
    NoDevice,
    /// The user is no longer a member.
    Left,
}

impl PushResult {
    /// Returns the name it has in records, also the label of its count.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::InvalidToken => "invalid_token",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Muted => "muted",
            Self::Blocked => "blocked",
            Self::NoDevice => "no_device",
            Self::Left => "left",
        }
    }
}

impl Versioned for PushOutcomes {
    const NEWEST: u16 = 1;

    fn format(&self) -> u16 {
        self.v
    }
}

impl PushOutcomes {
    /// Encodes the record.
    pub fn encode(&self) -> bytes::Bytes {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("outcomes have string keys only")).into()
    }

    /// Decodes a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        format::decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_a_result_is_its_name_in_records() {
        use PushResult::{Blocked, Delivered, GivenUp, InvalidToken, Left, Muted, NoDevice, Read, Refused, Sent};
        for result in [Sent, InvalidToken, Refused, GivenUp, Delivered, Read, Muted, Blocked, NoDevice, Left] {
            assert_eq!(serde_json::to_value(result).unwrap(), result.name());
        }
    }
}
