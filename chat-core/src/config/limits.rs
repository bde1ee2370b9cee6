//! The limits of protocol v1, section 4, with their defaults. Rates hold per gateway.

use serde::{Deserialize, Serialize};

/// A rate with a burst (GCRA): `burst` at once, then `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Sustained rate a second, at least 1.
    pub per_second: u32,
    /// How many at once, at least 1.
    pub burst: u32,
}

impl Rate {
    /// Makes a rate.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// Everything that is bounded on a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Largest client frame or REST body, in bytes.
    pub frame_bytes: usize,
    /// Largest content, in bytes of UTF-8.
    pub content_bytes: usize,
    /// Largest `meta`, in bytes of JSON.
    pub meta_bytes: usize,
    /// Sends and changes a user.
    pub sends_per_user: Rate,
    /// Sends and changes a chat.
    pub sends_per_chat: Rate,
    /// Frames a session.
    pub frames_per_session: Rate,
    /// Typing frames a minute, per user and chat.
    pub typing_per_minute: u32,
    /// Receipt frames a second, per session.
    pub receipts_per_second: u32,
    /// Sessions a user; beyond it the least active is closed.
    pub sessions_per_user: usize,
    /// Seconds to authenticate.
    pub auth_seconds: u64,
    /// Outbound queue of a session, in bytes.
    pub queue_bytes: usize,
    /// Members a group.
    pub group_members: u64,
    /// Chats a user.
    pub chats_per_user: usize,
    /// Users whose presence a session follows.
    pub presence_subscriptions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            content_bytes: 16 * 1024,
            meta_bytes: 4 * 1024,
            sends_per_user: Rate::new(30, 60),
            sends_per_chat: Rate::new(100, 200),
            frames_per_session: Rate::new(100, 200),
            typing_per_minute: 20,
            receipts_per_second: 20,
            sessions_per_user: 10,
            auth_seconds: 10,
            queue_bytes: 1024 * 1024,
            group_members: 500,
            chats_per_user: 10_000,
            presence_subscriptions: 500,
        }
    }
}
