//! By which vendors members who are not there are told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The vendors. Neither: push is off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PushConfig {
    /// What of a message a notification carries.
    pub content: PushContent,
    /// Apple's service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apns: Option<ApnsConfig>,
    /// Google's service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fcm: Option<FcmConfig>,
}

/// What of a message a notification carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PushContent {
    /// Ids and the unread count only.
    #[default]
    None,
    /// The content too, which the vendor can then read.
    Text,
}

/// The Apple Push Notification service, by token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApnsConfig {
    /// The signing key (`.p8`, PEM), a mounted file that is read again when it changes.
    pub key_file: PathBuf,
    /// Id of the signing key.
    pub key_id: String,
    /// Id of the developer team.
    pub team_id: String,
    /// Bundle id of the app.
    pub topic: String,
    /// Which of Apple's services.
    #[serde(default)]
    pub environment: ApnsEnvironment,
}

/// Apple's services.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApnsEnvironment {
    /// For apps from the store and from `TestFlight`.
    #[default]
    Production,
    /// For apps installed by a developer.
    Sandbox,
}

/// Firebase Cloud Messaging, HTTP v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FcmConfig {
    /// The service account (JSON), a mounted file that is read again when it changes. It names the project.
    pub service_account_file: PathBuf,
}

impl PushConfig {
    /// Tells whether any vendor is configured.
    pub fn is_enabled(&self) -> bool {
        self.apns.is_some() || self.fcm.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_names_of_the_manifest() {
        let config = PushConfig {
            content: PushContent::Text,
            apns: Some(ApnsConfig {
                key_file: "/etc/chat/apns/key.p8".into(),
                key_id: "ABC123DEFG".into(),
                team_id: "DEF123GHIJ".into(),
                topic: "com.example.chat".into(),
                environment: ApnsEnvironment::Sandbox,
            }),
            fcm: Some(FcmConfig { service_account_file: "/etc/chat/fcm/service-account.json".into() }),
        };
        let written = serde_json::json!({
            "content": "Text",
            "apns": {
                "keyFile": "/etc/chat/apns/key.p8",
                "keyId": "ABC123DEFG",
                "teamId": "DEF123GHIJ",
                "topic": "com.example.chat",
                "environment": "Sandbox",
            },
            "fcm": {"serviceAccountFile": "/etc/chat/fcm/service-account.json"},
        });
        assert_eq!(serde_json::to_value(&config).unwrap(), written);
        assert_eq!(serde_json::from_value::<PushConfig>(written).unwrap(), config);
    }

    #[test]
    fn push_is_off_by_default_and_a_misspelt_setting_is_refused() {
        assert!(!serde_json::from_str::<PushConfig>("{}").unwrap().is_enabled());
        assert!(serde_json::from_str::<PushConfig>(r#"{"apn": null}"#).is_err());
    }
}
