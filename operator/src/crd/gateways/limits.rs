//! What one client, user or chat may do.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::rules;

/// Limits what one client, user or chat may do; what lies beyond is in the protocol's table of limits. Sizes are bytes,
/// rates hold per gateway.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::content_fits_frame(), rules::meta_fits_frame()]))]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Bytes of a frame or a body, 4096 to 1048576. Default: 65536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4096, max = 1_048_576))]
    pub frame_bytes: Option<u32>,

    /// Bytes of a message's content, 256 to 65536; fits a frame. Default: 16384.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 256, max = 65_536))]
    pub content_bytes: Option<u32>,

    /// Bytes of a message's `meta`, 0 to 16384; fits a frame. Default: 4096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16_384))]
    pub meta_bytes: Option<u32>,

    /// Messages a user may send. Default: 30 per second, burst 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sends_per_user: Option<RateLimit>,

    /// Messages a chat may get. Default: 100 per second, burst 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sends_per_chat: Option<RateLimit>,

    /// Frames a session may send. Default: 100 per second, burst 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames_per_session: Option<RateLimit>,

    /// `typing` frames a minute, per user and chat, 1 to 600. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub typing_per_minute: Option<u32>,

    /// `receipt` frames a second, per session, 1 to 1000. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub receipts_per_second: Option<u32>,

    /// Sessions of one user, 1 to 100; the least active goes. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub sessions_per_user: Option<u32>,

    /// Seconds a connection may stay without a token, 1 to 60. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub auth_seconds: Option<u32>,

    /// Bytes waiting for one slow client, 262144 to 67108864. Default: 1048576.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 262_144, max = 67_108_864))]
    pub queue_bytes: Option<u32>,

    /// Members of a group, 2 to 500. Default: 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 500))]
    pub group_members: Option<u32>,

    /// Chats of one user, 10 to 100000. Default: 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 100_000))]
    pub chats_per_user: Option<u32>,

    /// Users whose presence one session may watch, 0 to 5000. Default: 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5000))]
    pub presence_subscriptions: Option<u32>,
}

impl Limits {
    /// Returns every limit, with the protocol's default where the manifest names none.
    pub fn resolved(&self) -> LimitValues {
        let defaults = LimitValues::default();
        LimitValues {
            frame_bytes: self.frame_bytes.unwrap_or(defaults.frame_bytes),
            content_bytes: self.content_bytes.unwrap_or(defaults.content_bytes),
            meta_bytes: self.meta_bytes.unwrap_or(defaults.meta_bytes),
            sends_per_user: self.sends_per_user.map_or(defaults.sends_per_user, RateLimit::resolved),
            sends_per_chat: self.sends_per_chat.map_or(defaults.sends_per_chat, RateLimit::resolved),
            frames_per_session: self.frames_per_session.map_or(defaults.frames_per_session, RateLimit::resolved),
            typing_per_minute: self.typing_per_minute.unwrap_or(defaults.typing_per_minute),
            receipts_per_second: self.receipts_per_second.unwrap_or(defaults.receipts_per_second),
            sessions_per_user: self.sessions_per_user.unwrap_or(defaults.sessions_per_user),
            auth: self.auth_seconds.map_or(defaults.auth, |seconds| Duration::from_secs(seconds.into())),
            queue_bytes: self.queue_bytes.unwrap_or(defaults.queue_bytes),
            group_members: self.group_members.unwrap_or(defaults.group_members),
            chats_per_user: self.chats_per_user.unwrap_or(defaults.chats_per_user),
            presence_subscriptions: self.presence_subscriptions.unwrap_or(defaults.presence_subscriptions),
        }
    }
}

/// Limits a rate, with a burst above it.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[schemars(extend("x-kubernetes-validations" = [rules::burst_holds_rate()]))]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Rate that is sustained, 1 to 100000 per second.
    #[schemars(range(min = 1, max = 100_000))]
    pub per_second: u32,

    /// Most at once after a pause, 1 to 1000000; at least `perSecond`. Default: twice that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
}

impl RateLimit {
    /// Returns rate and burst.
    pub fn resolved(self) -> Rate {
        Rate { per_second: self.per_second, burst: self.burst.unwrap_or(self.per_second * 2) }
    }
}

/// Holds a rate and its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// Rate that is sustained, per second.
    pub per_second: u32,
    /// Most at once after a pause.
    pub burst: u32,
}

/// Holds every limit. The default is the table of limits in section 4 of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitValues {
    /// Bytes of a frame or a body.
    pub frame_bytes: u32,
    /// Bytes of a message's content.
    pub content_bytes: u32,
    /// Bytes of a message's `meta`.
    pub meta_bytes: u32,
    /// Messages a user may send.
    pub sends_per_user: Rate,
    /// Messages a chat may get.
    pub sends_per_chat: Rate,
    /// Frames a session may send.
    pub frames_per_session: Rate,
    /// `typing` frames a minute, per user and chat.
    pub typing_per_minute: u32,
    /// `receipt` frames a second, per session.
    pub receipts_per_second: u32,
    /// Sessions of one user.
    pub sessions_per_user: u32,
    /// Time a connection may stay without a token.
    pub auth: Duration,
    /// Bytes waiting for one slow client.
    pub queue_bytes: u32,
    /// Members of a group.
    pub group_members: u32,
    /// Chats of one user.
    pub chats_per_user: u32,
    /// Users whose presence one session may watch.
    pub presence_subscriptions: u32,
}

impl Default for LimitValues {
    fn default() -> Self {
        const KIB: u32 = 1024;
        Self {
            frame_bytes: 64 * KIB,
            content_bytes: 16 * KIB,
            meta_bytes: 4 * KIB,
            sends_per_user: Rate { per_second: 30, burst: 60 },
            sends_per_chat: Rate { per_second: 100, burst: 200 },
            frames_per_session: Rate { per_second: 100, burst: 200 },
            typing_per_minute: 20,
            receipts_per_second: 20,
            sessions_per_user: 10,
            auth: Duration::from_secs(10),
            queue_bytes: 1024 * KIB,
            group_members: 500,
            chats_per_user: 10_000,
            presence_subscriptions: 500,
        }
    }
}
