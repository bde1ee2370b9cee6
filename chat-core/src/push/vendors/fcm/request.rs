//! A notification as Google takes it.

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder};
use serde::Serialize;

use super::access_token::Access;
use crate::push::Notification;
use crate::push::payload::encode_to_fit;
use crate::push::vendors::KEPT_FOR_MS;

/// The only key of `data`.
const KEY: &str = "chat";

#[derive(Serialize)]
struct Body<'a> {
    message: Message<'a>,
}

#[derive(Serialize)]
struct Message<'a> {
    token: &'a str,
    data: Data<'a>,
    android: Android,
}

/// Values of `data` are strings: the `chat` object is one, as JSON.
#[derive(Serialize)]
struct Data<'a> {
    chat: &'a str,
}

#[derive(Serialize)]
struct Android {
    collapse_key: String,
    /// Wakes a phone that sleeps.
    priority: &'static str,
    ttl: String,
}

/// Encodes the body of a request. Keys and values of `data` together count against the limit.
pub(super) fn encode(token: &str, notification: &Notification) -> Bytes {
    // What counts: the key, then its value.
    let counted = encode_to_fit(notification, |chat| format!("{KEY}{}", json(chat)));
    let message = Message {
        token,
        data: Data { chat: &counted[KEY.len()..] },
        android: Android {
            collapse_key: notification.collapse_id(),
            priority: "HIGH",
            ttl: format!("{}s", KEPT_FOR_MS / 1_000),
        },
    };
    json(&Body { message }).into()
}

/// Builds the HTTP request.
pub(super) fn build(client: &Client, base: &str, access: &Access, body: Bytes) -> RequestBuilder {
    client
        .post(format!("{base}/v1/projects/{}/messages:send", access.account.project_id))
        .header(AUTHORIZATION, &access.authorization)
        .header(CONTENT_TYPE, "application/json")
        .body(body)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| unreachable!("requests have string keys only"))
}
