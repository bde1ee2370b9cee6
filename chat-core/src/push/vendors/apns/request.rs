//! A notification as Apple takes it. Pure but for the client that sends it.

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder};
use serde::Serialize;

use crate::clock::Time;
use crate::push::Notification;
use crate::push::payload::encode_to_fit;
use crate::push::vendors::KEPT_FOR_MS;

/// Most hexadecimal digits of a device token. Apple gives no length; tokens of today have 64.
const MAX_TOKEN_DIGITS: usize = 200;

/// One notification to one device.
pub(super) struct Request {
    path: String,
    topic: String,
    collapse_id: String,
    /// Seconds since 1970.
    expiration: u64,
    payload: Bytes,
}

#[derive(Serialize)]
struct Payload<'a> {
    aps: Aps,
    chat: &'a Notification,
}

/// What the phone shows where the app does not put something better in its place, which `mutable-content` lets it do.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Aps {
    alert: Alert,
    mutable_content: u8,
    sound: &'static str,
    thread_id: String,
}

#[derive(Serialize)]
struct Alert {
    body: &'static str,
}

impl Request {
    /// Makes a request. `None` where the token is none of Apple's: it comes from a client and goes into a path.
    pub(super) fn new(token: &str, topic: &str, notification: &Notification, now: Time) -> Option<Self> {
        let is_token = (1..=MAX_TOKEN_DIGITS).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_hexdigit());
        is_token.then(|| Self {
            path: format!("/3/device/{token}"),
            topic: topic.to_owned(),
            collapse_id: notification.collapse_id(),
            expiration: now.plus_millis(KEPT_FOR_MS).millis() / 1_000,
            payload: encode_to_fit(notification, encode).into(),
        })
    }

    /// Builds the HTTP request.
    pub(super) fn build(&self, client: &Client, base: &str, authorization: &HeaderValue) -> RequestBuilder {
        client
            .post(format!("{base}{}", self.path))
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .header("apns-topic", &self.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-expiration", self.expiration)
            .header("apns-collapse-id", &self.collapse_id)
            .body(self.payload.clone())
    }
}

fn encode(chat: &Notification) -> Vec<u8> {
    let aps = Aps {
        alert: Alert { body: "New message" },
        mutable_content: 1,
        sound: "default",
        thread_id: chat.chat_id.to_string(),
    };
    serde_json::to_vec(&Payload { aps, chat }).unwrap_or_else(|_| unreachable!("a payload has string keys only"))
}
