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
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

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

/// How long whoever sends waits for the vendor's answer: a second longer than engines may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

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

impl PushAnswer {
    /// Judges the answer for a device that was last registered then: a token that was dead before may be alive again,
    /// so it is this notification alone that is refused.
    #[must_use]
    pub fn for_registered_at(self, registered: Time) -> Self {
        match self {
            Self::InvalidToken { reason, since: Some(since) } if since < registered => Self::Refused { reason },
            answer => answer,
        }
    }
}

/// Sends one notification to one device that was last `registered` then, and judges the answer. One that does not come
/// within [`ANSWER_WITHIN`] is [`PushAnswer::Later`].
pub async fn attempt(
    push: &dyn PushSender,
    device: &Device,
    registered: Time,
    notification: &Notification,
) -> PushAnswer {
    match timeout(ANSWER_WITHIN, push.deliver(device, notification)).await {
        Ok(answer) => answer.for_registered_at(registered),
        Err(_) => PushAnswer::Later { reason: "no answer in time".to_owned(), retry_after_ms: None },
    }
}

/// The way to the vendors.
#[async_trait]
pub trait PushSender: Send + Sync + fmt::Debug {
    /// Sends one notification to one device.
    async fn deliver(&self, device: &Device, notification: &Notification) -> PushAnswer;
}
