//! Port: push notifications to devices that are not connected.
//!
//! # Contract
//! - `deliver` hands one notification to the vendor and returns the vendor's answer. At least once: a device shows a
//!   notification once because its collapse id is the same on each attempt.
//! - It MUST return within its deadline (engines: 9 s) with [`PushAnswer::Later`] otherwise. Where it is cancelled, the
//!   vendor may have taken the notification.
//! - The answer tells what to do: done, try later, or forget the device's token.
//! - The payload MUST fit the vendor's limit (4 096 bytes for APNs and FCM); content is cut, never the ids.

use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::id::{ChatId, MessageId, Seq, UserId};

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod outcome;
pub mod payload;
pub mod recording;
#[cfg(feature = "push-stand-ins")]
pub mod stand_in;
#[cfg(feature = "push")]
pub mod vendors;

/// Largest payload of either vendor, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 4_096;

/// The two vendors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging.
    Fcm,
}

/// Where a notification goes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Whose.
    pub user: UserId,
    /// Which of theirs.
    pub device: String,
    /// By which vendor.
    pub platform: Platform,
    /// The vendor's name for it; not shown in logs.
    pub token: String,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}/{} by {:?})", self.user, self.device, self.platform)
    }
}

/// The `chat` object of a push payload (protocol v1, section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The chat.
    pub chat_id: ChatId,
    /// The message.
    pub seq: Seq,
    /// Its id.
    pub message_id: MessageId,
    /// Who wrote it.
    pub sender: UserId,
    /// The receiver's unread count in this chat.
    pub unread: u64,
    /// The text, where the cluster is configured to send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl Notification {
    /// Returns the collapse id: one per message, the same on each attempt.
    pub fn collapse_id(&self) -> String {
        format!("{}:{}", self.chat_id, self.seq)
    }
}

/// The vendor's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushAnswer {
    /// The vendor took it.
    Accepted,
    /// The token is dead: mark the device, unless it was registered again after `since`.
    InvalidToken {
        /// The vendor's words.
        reason: String,
        /// Since when, where the vendor tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Time>,
    },
    /// The vendor refuses this notification, not this device.
    Refused {
        /// The vendor's words.
        reason: String,
    },
    /// Try again after a while.
    Later {
        /// The vendor's words.
        reason: String,
        /// The vendor's wish.
        retry_after_ms: Option<u64>,
    },
}

/// The way to the vendors.
#[async_trait]
pub trait PushSender: Send + Sync + fmt::Debug {
    /// Sends one notification to one device.
    async fn deliver(&self, device: &Device, notification: &Notification) -> PushAnswer;
}
