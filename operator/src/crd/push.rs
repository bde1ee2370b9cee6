//! Push notifications by Apple and Google.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{secrets::SecretKeyRef, syntax};

/// Says by which vendors members without a session are notified. Neither `apns` nor `fcm`: push is off.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// What of a message a notification carries. `None`: ids and the unread count only; the app fetches the rest.
    /// `Text`: also the content, which the vendor can then read.
    #[serde(default)]
    pub content: PushContent,

    /// Apple's service. Absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apns: Option<Apns>,

    /// Google's service. Absent: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fcm: Option<Fcm>,
}

impl Push {
    /// Tells whether any vendor is configured.
    pub const fn is_enabled(&self) -> bool {
        self.apns.is_some() || self.fcm.is_some()
    }
}

/// Names what of a message a notification carries.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushContent {
    /// Ids and the unread count only.
    #[default]
    None,
    /// The content too.
    Text,
}

/// Configures the Apple Push Notification service, by token.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Apns {
    /// Signing key (`.p8`) from the developer account. Default key: `key.p8`.
    pub key_secret_ref: SecretKeyRef,

    /// Id of the signing key, 10 characters.
    #[schemars(length(max = 10), regex(pattern = syntax::APPLE_ID))]
    pub key_id: String,

    /// Id of the developer team, 10 characters.
    #[schemars(length(max = 10), regex(pattern = syntax::APPLE_ID))]
    pub team_id: String,

    /// Bundle id of the app.
    #[schemars(length(max = 155), regex(pattern = syntax::BUNDLE_ID))]
    pub topic: String,

    /// Which of Apple's services takes the notifications. Absent: `Production`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<ApnsEnvironment>,
}

impl Apns {
    /// Returns which of Apple's services takes the notifications.
    pub fn environment(&self) -> ApnsEnvironment {
        self.environment.unwrap_or_default()
    }
}

/// Names one of Apple's services.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApnsEnvironment {
    /// For apps from the store and from `TestFlight`.
    #[default]
    Production,
    /// For apps installed by a developer.
    Sandbox,
}

/// Configures Firebase Cloud Messaging, HTTP v1.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fcm {
    /// Service account (JSON) with the right to send; it names the project. Default key: `service-account.json`.
    pub service_account_secret_ref: SecretKeyRef,
}
