//! Identifiers: who, where, which message. Bad ids are refused here, so that no later part has to wonder.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Time;

/// Position of a message in its chat: 1, 2, 3 …, no gaps. 0 means "before the first".
pub type Seq = u64;

/// Count of edits and deletes in a chat: 1, 2, 3 …, no gaps. 0 means "none yet".
pub type Rev = u64;

/// Largest integer the protocol carries (2^53 − 1), so that every JSON reader keeps it exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Names the namespace of direct chat ids; part of protocol v1.
const DIRECT_NAMESPACE: Uuid = Uuid::from_u128(0x446f_2d3c_d5e4_5f20_a2c5_9a7b_34d4_8652);

/// Oldest client-made id the server takes: older ones fall out of the duplicate table before their retry ends.
const MAX_ID_AGE_MS: u64 = 29 * 24 * 3600 * 1000;

/// Farthest a client's clock may run ahead of the server's.
const MAX_ID_AHEAD_MS: u64 = 24 * 3600 * 1000;

/// An id that does not have the form the protocol asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is no user id.
    #[error("a user id is 1 to 128 of A-Za-z0-9._~@+:|- and neither `.` nor `..`")]
    User,
    /// The text is no canonical UUID.
    #[error("an id is a UUID in canonical lower-case form")]
    Uuid,
    /// The UUID is not of version 7.
    #[error("an id made by a client is a UUID of version 7")]
    NotV7,
    /// The UUID's time is more than 29 days ago.
    #[error("the id is older than 29 days; take the clock from `server_time`")]
    TooOld,
    /// The UUID's time is more than 24 hours ahead.
    #[error("the id is more than 24 hours ahead; take the clock from `server_time`")]
    TooNew,
}

/// Names a user: 1-128 of `A-Za-z0-9._~@+:|-`, not `.` or `..`, compared byte by byte. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(Arc<str>);

impl UserId {
    /// Checks and wraps a user id.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._~@+:|-".contains(&b);
        if text.is_empty() || text.len() > 128 || text == "." || text == ".." || !text.bytes().all(allowed) {
            return Err(IdError::User);
        }
        Ok(Self(text.into()))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl std::str::FromStr for UserId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl JsonSchema for UserId {
    fn schema_name() -> Cow<'static, str> {
        "UserId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names a user, compared byte by byte; neither `.` nor `..`. Percent-encoded in URLs.",
            "type": "string",
            "minLength": 1,
            "maxLength": 128,
            "pattern": "^[A-Za-z0-9._~@+:|-]+$",
        })
    }
}

impl std::borrow::Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Parses a UUID in the only form the protocol knows: canonical, lower-case, with hyphens.
fn canonical(text: &str) -> Result<Uuid, IdError> {
    let id = Uuid::try_parse(text).map_err(|_| IdError::Uuid)?;
    let mut buffer = Uuid::encode_buffer();
    if id.hyphenated().encode_lower(&mut buffer) == text { Ok(id) } else { Err(IdError::Uuid) }
}

/// Checks an id that a client made: version 7, at most 29 days old and 24 hours ahead of `now`.
pub fn check_client_made(id: Uuid, now: Time) -> Result<(), IdError> {
    let made = v7_millis(id).ok_or(IdError::NotV7)?;
    let now = now.millis();
    if made.saturating_add(MAX_ID_AGE_MS) < now {
        Err(IdError::TooOld)
    } else if made > now.saturating_add(MAX_ID_AHEAD_MS) {
        Err(IdError::TooNew)
    } else {
        Ok(())
    }
}

/// Returns the milliseconds since 1970 inside a UUID of version 7 (RFC 9562), `None` for any other.
pub fn v7_millis(id: Uuid) -> Option<u64> {
    (id.get_version_num() == 7).then(|| (id.as_u128() >> 80) as u64)
}

macro_rules! uuid_id {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub Uuid);

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                canonical(&text).map(Self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                canonical(text).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": concat!($($doc),+).trim_start().replace("[`ChatId::direct`]", "UUIDv5 of the pair"),
                    "type": "string",
                    "format": "uuid",
                    "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
                })
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id! {
    /// Names a chat: UUIDv7 for a GROUP, [`ChatId::direct`] for a DIRECT chat.
    ChatId
}
uuid_id! {
    /// Names a message: a UUIDv7 chosen by its sender, the idempotency key of a send.
    MessageId
}
uuid_id! {
    /// Names a change that is not a send (edit, delete, membership): its idempotency key.
    OpId
}

impl ChatId {
    /// Returns the id of the DIRECT chat of two users: UUIDv5 over the pair in byte order, joined by a line feed
    /// (which no user id contains), so the same pair always meets in the same chat.
    pub fn direct(a: &UserId, b: &UserId) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self(Uuid::new_v5(&DIRECT_NAMESPACE, format!("{low}\n{high}").as_bytes()))
    }

    /// Returns whether the id can only be that of a DIRECT chat.
    pub fn is_direct(self) -> bool {
        self.0.get_version_num() == 5
    }
}

impl From<MessageId> for OpId {
    fn from(id: MessageId) -> Self {
        Self(id.0)
    }
}

/// Names one life of one gateway: `pod#boot`. A restarted gateway is another one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GatewayId(Arc<str>);

impl GatewayId {
    /// Joins the pod's name and the id of this boot.
    pub fn new(pod: &str, boot: &str) -> Self {
        Self(format!("{pod}#{boot}").into())
    }

    /// Returns `pod#boot`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
