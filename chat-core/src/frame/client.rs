//! Frames from clients: the envelope and one type a request.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Attachment, ContentType, Fault, Meta};
use crate::clock::Time;
use crate::codes::ErrorCode;
use crate::id::{ChatId, MAX_INTEGER, MessageId, OpId, Rev, Seq, UserId};

/// The envelope of a frame, its body not yet read.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// Asks for a reply under this number.
    #[serde(default)]
    pub id: Option<u64>,
    /// The frame's type.
    #[serde(rename = "type", borrow)]
    pub kind: std::borrow::Cow<'a, str>,
    /// The body.
    #[serde(default, borrow)]
    pub d: Option<&'a RawValue>,
}

/// A decoded client frame.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientFrame {
    /// Asks for a reply under this number.
    pub id: Option<u64>,
    /// What is asked.
    pub request: Request,
}

/// What a client may ask, one variant a frame type.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Gives or renews the token.
    Auth(Auth),
    /// Says what the client has and asks for the rest.
    Sync(Sync),
    /// Sends a message.
    Send(Send),
    /// Replaces the content of an own message.
    Edit(Edit),
    /// Deletes a message.
    Delete(Delete),
    /// Moves the caller's cursors.
    Receipt(Receipt),
    /// Tells that the caller is typing.
    Typing(Typing),
    /// Asks for the presence of users and the typing of chats.
    PresenceSubscribe(Subscribe),
    /// Ends such subscriptions.
    PresenceUnsubscribe(Subscribe),
    /// Keeps the session alive.
    Ping(Ping),
}

/// Body of `auth`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Auth {
    /// A JWT of at most 4 KiB.
    #[schemars(length(max = 4096))]
    pub token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth { token: [hidden] }")
    }
}

/// What a client has of one chat: a seq, or a seq and a rev.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Have {
    /// Everything up to this seq; edits and deletes are not tracked.
    Seq(Seq),
    /// Everything up to this seq and this rev.
    SeqRev(Seq, Rev),
}

impl Have {
    /// Returns the seq.
    pub fn seq(self) -> Seq {
        match self {
            Self::Seq(seq) | Self::SeqRev(seq, _) => seq,
        }
    }

    /// Returns the rev, where the client tracks it.
    pub fn rev(self) -> Option<Rev> {
        match self {
            Self::Seq(_) => None,
            Self::SeqRev(_, rev) => Some(rev),
        }
    }
}

/// Body of `sync`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sync {
    /// What the client has, at most 1 000 chats a part.
    #[schemars(extend("maxProperties" = 1000))]
    pub have: BTreeMap<ChatId, Have>,
    /// `server_time` of the last complete sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// More parts follow.
    #[serde(default)]
    pub partial: bool,
    /// Send receipts too.
    #[serde(default)]
    pub receipts: bool,
    /// Messages a chat, 1 to 200.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 200))]
    pub limit: u64,
}

fn default_limit() -> u64 {
    50
}

/// Body of `send`. Exactly one of `chat_id` and `to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{ "required": ["chat_id"] }, { "required": ["to"] }]))]
pub struct Send {
    /// The chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_id: Option<ChatId>,
    /// The peer of a DIRECT chat, which begins with the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<UserId>,
    /// The idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// Text or caption.
    #[schemars(extend("x-limit" = "contentBytes"))]
    pub content: String,
    /// TEXT, IMAGE or FILE.
    #[serde(default)]
    #[schemars(extend("not" = { "const": "SYSTEM" }))]
    pub content_type: ContentType,
    /// The file of an IMAGE or FILE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// The app's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-limit" = "metaBytes"))]
    pub meta: Option<Meta>,
}

/// Body of `edit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Edit {
    /// The chat.
    pub chat_id: ChatId,
    /// The message.
    pub seq: Seq,
    /// The new content.
    #[schemars(extend("x-limit" = "contentBytes"))]
    pub content: String,
    /// The new data; absent removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-limit" = "metaBytes"))]
    pub meta: Option<Meta>,
    /// The idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op_id: Option<OpId>,
}

/// Body of `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delete {
    /// The chat.
    pub chat_id: ChatId,
    /// The message.
    pub seq: Seq,
    /// The idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op_id: Option<OpId>,
}

/// Body of `receipt`. At least one cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{ "required": ["delivered"] }, { "required": ["read"] }]))]
pub struct Receipt {
    /// The chat.
    pub chat_id: ChatId,
    /// Delivered up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Seq>,
    /// Read up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Seq>,
}

/// Body of `typing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Typing {
    /// The chat.
    pub chat_id: ChatId,
    /// Typing, or no longer.
    pub active: bool,
}

/// Body of `presence.subscribe` and `presence.unsubscribe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscribe {
    /// Whose presence; the limit is on all that the session follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-limit" = "presenceSubscriptions"))]
    pub users: Option<Vec<UserId>>,
    /// The chats on screen, at most 20 in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub chats: Option<Vec<ChatId>>,
}

/// Body of `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ping {
    /// False while the app is in the background or idle.
    #[serde(default = "default_active")]
    pub active: bool,
}

fn default_active() -> bool {
    true
}

/// A frame that could not be decoded, with what is needed to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// The frame's number, where it could be read.
    pub id: Option<u64>,
    /// The frame's type, where it could be read.
    pub kind: Option<String>,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Decodes one text frame.
///
/// # Errors
/// `invalid_json` when the text is no object in the envelope or nests deeper than 16, `unknown_type` for a type that
/// v1 does not have, `invalid_argument` when the body does not fit its type.
pub fn decode(text: &str) -> Result<ClientFrame, Box<Undecodable>> {
    let refuse = |id, kind, fault| Box::new(Undecodable { id, kind, fault });
    if nesting(text) > 16 {
        return Err(refuse(None, None, Fault::new(ErrorCode::InvalidJson, "the frame nests deeper than 16")));
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| {
        let message = format!("expected {{\"id\"?: number, \"type\": string, \"d\"?: object}}: {error}");
        refuse(None, None, Fault::new(ErrorCode::InvalidJson, message))
    })?;
    let kind = envelope.kind.into_owned();
    if envelope.id.is_some_and(|id| id > MAX_INTEGER) {
        return Err(refuse(None, Some(kind), Fault::invalid("id", "an id is a whole number up to 2^53 - 1")));
    }
    match body(&kind, envelope.d) {
        Ok(request) => Ok(ClientFrame { id: envelope.id, request }),
        Err(fault) => Err(refuse(envelope.id, Some(kind), fault)),
    }
}

fn read<'a, T: Deserialize<'a>>(d: Option<&'a RawValue>) -> Result<T, Fault> {
    let text = d.map_or("{}", RawValue::get);
    if !text.starts_with('{') {
        return Err(Fault::invalid("d", "expected an object"));
    }
    serde_json::from_str(text).map_err(|error| Fault::invalid(field_of(&error), error.to_string()))
}

/// The one table of client frames: what is decoded is what the documents show.
macro_rules! requests {
    ($($kind:literal => $variant:ident($body:ty), $answer:literal;)+) => {
        fn body(kind: &str, d: Option<&RawValue>) -> Result<Request, Fault> {
            Ok(match kind {
                $($kind => Request::$variant(read(d)?),)+
                _ => return Err(Fault::new(ErrorCode::UnknownType, "v1 has no such frame type")),
            })
        }

        impl Request {
            /// Returns the frame's type.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)+ }
            }

            /// Describes every client frame: its type, its body, and the title of the reply to it.
            pub(super) fn describe(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema, &'static str)> {
                vec![$(($kind, generator.subschema_for::<$body>(), $answer),)+]
            }
        }
    };
}

requests! {
    "auth" => Auth(Auth), "AckAuth";
    "sync" => Sync(Sync), "AckSync";
    "send" => Send(Send), "AckSend";
    "edit" => Edit(Edit), "AckChange";
    "delete" => Delete(Delete), "AckChange";
    "receipt" => Receipt(Receipt), "Ack";
    "typing" => Typing(Typing), "Ack";
    "presence.subscribe" => PresenceSubscribe(Subscribe), "AckPresence";
    "presence.unsubscribe" => PresenceUnsubscribe(Subscribe), "Ack";
    "ping" => Ping(Ping), "Pong";
}

/// Names the field a serde error is about, as far as its text tells; `d` otherwise.
pub fn field_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let named = text.starts_with("missing field") || text.starts_with("duplicate field");
    text.split('`').nth(1).filter(|_| named).unwrap_or("d").to_owned()
}

/// Returns how deep objects and arrays nest, without building them.
pub fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
