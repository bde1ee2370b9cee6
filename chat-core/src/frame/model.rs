//! The nouns of the protocol: messages, chats, members, changes, presence.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::id::{ChatId, MessageId, Rev, Seq, UserId};

/// The app's own data beside a message, at most 4 KiB as JSON.
pub type Meta = serde_json::Map<String, serde_json::Value>;

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContentType {
    /// Plain text.
    #[default]
    Text,
    /// A link to an image, with a caption.
    Image,
    /// A link to a file, with a caption.
    File,
    /// A change of the chat, made by the server; read `system`.
    System,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// May rename the group, change its members and delete any message.
    Admin,
    /// May read and write.
    Member,
}

/// The two kinds of chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChatType {
    /// Two users, for ever.
    Direct,
    /// Up to 500 users, with roles.
    Group,
}

/// A link to a file that the app stores elsewhere; content beside it is the caption.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// Where the file is: https (http in local mode), at most 2 048 bytes.
    #[schemars(length(max = 2048), regex(pattern = r"^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$"))]
    pub url: String,
    /// File name for people, at most 255 bytes.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Media type, at most 127 bytes.
    #[schemars(length(max = 127), regex(pattern = "^[^/]+/.+$"))]
    pub mime_type: String,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// Width of an image in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u64>,
    /// Height of an image in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
}

/// What changed in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The chat began.
    Created,
    /// The group has another name.
    Renamed,
    /// Users came in.
    MemberAdded,
    /// A user was put out.
    MemberRemoved,
    /// A user left.
    MemberLeft,
    /// A member has another role.
    RoleChanged,
}

/// One change of a chat: the body of a SYSTEM message and of the `chat` push.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// What changed.
    pub kind: ChangeKind,
    /// Who changed it.
    pub actor: UserId,
    /// Seq of the SYSTEM message; 0 for a new DIRECT chat, which has none.
    pub seq: Seq,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<UserId>>,
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// The new role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// One message as members see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// The chat it is in.
    pub chat_id: ChatId,
    /// Its position there.
    #[schemars(range(min = 1))]
    pub seq: Seq,
    /// Rev of its last edit or delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<Rev>,
    /// The sender's id for it.
    pub message_id: MessageId,
    /// Who wrote it; of a SYSTEM message, who made the change.
    pub sender: UserId,
    /// What it carries.
    pub content_type: ContentType,
    /// The text or caption; empty when deleted and in SYSTEM messages.
    pub content: String,
    /// The file of an IMAGE or FILE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// The app's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
    /// The change that a SYSTEM message tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Change>,
    /// The log's time, never falling within a chat.
    pub created_at: Time,
    /// When it was last edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Time>,
    /// When it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Time>,
}

/// A chat as everyone in it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatInfo {
    /// The chat.
    pub chat_id: ChatId,
    /// DIRECT or GROUP.
    #[serde(rename = "type")]
    pub chat_type: ChatType,
    /// The group's name, 1 to 128 characters; not told to who is no longer a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// When it began.
    pub created_at: Time,
    /// Who began it.
    pub created_by: UserId,
    /// Present members; 0 for who is no longer one.
    pub member_count: u64,
    /// Seq of the newest message that one may see.
    pub head_seq: Seq,
    /// Rev of the newest edit or delete; 0 for who is no longer a member.
    pub head_rev: Rev,
    /// Time of the newest message that one may see, or of the chat's beginning.
    pub head_at: Time,
    /// The oldest message still kept; sync and history start here.
    pub first_seq: Seq,
}

/// The other user of a DIRECT chat, with their cursors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Who.
    pub user: UserId,
    /// Delivered up to.
    pub delivered: Seq,
    /// Read up to.
    pub read: Seq,
}

/// A chat as one member sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Chat {
    /// What everyone sees.
    #[serde(flatten)]
    pub info: ChatInfo,
    /// The member's role.
    pub role: Role,
    /// Messages up to here are from before the member joined and not theirs to see.
    pub join_seq: Seq,
    /// The member's delivered cursor.
    pub delivered: Seq,
    /// The member's read cursor.
    pub read: Seq,
    /// `max(0, head_seq - max(join_seq, read, first_seq - 1))`: what has aged out is not left to be read.
    pub unread: u64,
    /// No push until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Time>,
    /// The newest message the member may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
    /// DIRECT: the other user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// No longer a member: (join, left] stays readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_seq: Option<Seq>,
}

/// A present member of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// May do what.
    pub role: Role,
    /// Since when.
    pub joined_at: Time,
    /// Sees messages after this seq.
    pub join_seq: Seq,
}

/// Whether a user is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PresenceStatus {
    /// A session lives.
    Online,
    /// None does.
    Offline,
    /// Not the asker's to know: no chat is shared.
    Unknown,
}

/// The presence of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// Whether they are there.
    pub status: PresenceStatus,
    /// When they last were, unless they hide it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Time>,
}

/// One page of a list; no `next_cursor` means the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; opaque, at most 1 KiB, good for 24 h and the same filters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub next_cursor: Option<String>,
}
