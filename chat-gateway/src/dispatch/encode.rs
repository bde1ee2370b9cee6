//! From an event to the frame that every recipient on this gateway shares.

use axum::extract::ws::Utf8Bytes;
use chat_core::event::{Event, Fact};
use chat_core::frame::{Message, Push, push_json};
use serde::Serialize;

use crate::session::{Frame, Place};

/// A `message` push that borrows its message.
#[derive(Serialize)]
#[serde(tag = "type", content = "d", rename = "message")]
enum Borrowed<'a> {
    #[serde(rename = "message")]
    Message(&'a Message),
}

/// Encodes a `message` push without copying the message first.
pub(crate) fn message(message: &Message) -> Utf8Bytes {
    serde_json::to_string(&Borrowed::Message(message))
        .unwrap_or_else(|_| unreachable!("a message has string keys only"))
        .into()
}

/// Encodes an event.
pub(crate) fn event(event: &Event) -> Frame {
    let chat_id = event.chat_id;
    match &event.fact {
        Fact::Message(sent) => Frame { text: message(sent), place: Place::Message { chat_id, seq: sent.seq } },
        Fact::Updated { seq, rev, content, meta, edited_at } => Frame {
            text: push_json(&Push::MessageUpdated {
                chat_id,
                seq: *seq,
                rev: *rev,
                content: content.clone(),
                meta: meta.clone(),
                edited_at: *edited_at,
            })
            .into(),
            place: Place::Change { chat_id, seq: *seq, rev: *rev },
        },
        Fact::Deleted { seq, rev, deleted_at } => Frame {
            text: push_json(&Push::MessageDeleted { chat_id, seq: *seq, rev: *rev, deleted_at: *deleted_at }).into(),
            place: Place::Change { chat_id, seq: *seq, rev: *rev },
        },
        Fact::Changed { chat, change, .. } => Frame {
            text: push_json(&Push::Chat { chat: chat.clone(), change: change.clone() }).into(),
            place: Place::Firm,
        },
    }
}

/// Encodes a frame that is not sequenced. Typing and presence are the first to be dropped.
pub(crate) fn push(push: &Push) -> Frame {
    let place = match push {
        Push::Typing { .. } | Push::Presence { .. } => Place::Light,
        _ => Place::Firm,
    };
    Frame { text: push_json(push).into(), place }
}

#[cfg(test)]
mod tests {
    use chat_core::clock::Time;
    use chat_core::frame::ContentType;
    use chat_core::id::{ChatId, MessageId, UserId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_borrowed_message_is_encoded_like_any_push() {
        let sent = Message {
            chat_id: ChatId(Uuid::from_u128(1)),
            seq: 3,
            rev: None,
            message_id: MessageId(Uuid::from_u128(2)),
            sender: UserId::new("ann").unwrap(),
            content_type: ContentType::Text,
            content: "hi \"there\"".into(),
            attachment: None,
            meta: None,
            system: None,
            created_at: Time::from_millis(1_764_000_000_123),
            edited_at: None,
            deleted_at: None,
        };
        assert_eq!(message(&sent).as_str(), push_json(&Push::Message(sent)));
    }
}
