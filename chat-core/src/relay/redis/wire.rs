//! Envelopes as they travel: JSON, with each list of recipients written once however many items share it.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::event::{Event, Verdict};
use crate::frame::Push;
use crate::id::UserId;
use crate::relay::{Envelope, Item};

#[derive(Serialize, Deserialize)]
struct WireEnvelope {
    recipients: Vec<Arc<[UserId]>>,
    items: Vec<WireItem>,
}

/// An [`Item`] whose recipients are the index of a list.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireItem {
    Event { event: Arc<Event>, to: usize },
    Frame { push: Arc<Push>, to: usize },
    Verdict(Verdict),
    Resync,
}

/// Encodes an envelope.
pub(super) fn encode(envelope: &Envelope) -> Vec<u8> {
    let mut recipients: Vec<Arc<[UserId]>> = Vec::new();
    let mut places: FxHashMap<*const UserId, usize> = FxHashMap::default();
    let mut place = |list: &Arc<[UserId]>| {
        // Lists are shared, so the same list is the same memory. An empty one has no memory of its own.
        let found = if list.is_empty() { None } else { places.get(&list.as_ptr()).copied() };
        found.unwrap_or_else(|| {
            places.insert(list.as_ptr(), recipients.len());
            recipients.push(Arc::clone(list));
            recipients.len() - 1
        })
    };
    let items = envelope.items.iter().map(|item| match item {
        Item::Event { event, recipients } => WireItem::Event { event: Arc::clone(event), to: place(recipients) },
        Item::Frame { push, recipients } => WireItem::Frame { push: Arc::clone(push), to: place(recipients) },
        Item::Verdict(verdict) => WireItem::Verdict(verdict.clone()),
        Item::Resync => WireItem::Resync,
    });
    let items = items.collect();
    serde_json::to_vec(&WireEnvelope { recipients, items }).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Decodes what [`encode`] made, `None` for what a version wrote that this one does not understand.
pub(super) fn decode(bytes: &[u8]) -> Option<Envelope> {
    let WireEnvelope { recipients, items } = serde_json::from_slice(bytes).ok()?;
    let list = |to: usize| recipients.get(to).cloned();
    let items = items.into_iter().map(|item| {
        Some(match item {
            WireItem::Event { event, to } => Item::Event { event, recipients: list(to)? },
            WireItem::Frame { push, to } => Item::Frame { push, recipients: list(to)? },
            WireItem::Verdict(verdict) => Item::Verdict(verdict),
            WireItem::Resync => Item::Resync,
        })
    });
    Some(Envelope { items: items.collect::<Option<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChatId;

    fn typing(recipients: &Arc<[UserId]>) -> Item {
        let user = UserId::new("ann").unwrap();
        let push = Push::Typing { chat_id: ChatId(uuid::Uuid::nil()), user, active: true };
        Item::Frame { push: Arc::new(push), recipients: Arc::clone(recipients) }
    }

    #[test]
    fn a_list_that_items_share_travels_once() {
        let many: Arc<[UserId]> = (0..500).map(|n| UserId::new(&format!("user-{n}")).unwrap()).collect();
        let few: Arc<[UserId]> = [UserId::new("bob").unwrap()].into();
        let items = vec![typing(&many), typing(&few), typing(&Arc::default()), Item::Resync, typing(&many)];
        let envelope = Envelope { items };
        let bytes = encode(&envelope);
        assert_eq!(String::from_utf8_lossy(&bytes).matches("user-499").count(), 1);
        let decoded = decode(&bytes).unwrap();
        assert_eq!(decoded, envelope);
        let list = |item: &Item| match item {
            Item::Frame { recipients, .. } => Arc::as_ptr(recipients),
            _ => unreachable!("a frame"),
        };
        assert!(std::ptr::eq(list(&decoded.items[0]), list(&decoded.items[4])));
    }

    #[test]
    fn what_is_not_understood_is_not_decoded() {
        for text in ["", "{}", r#"{"recipients":[],"items":["later"]}"#, r#"{"recipients":[],"items":[{"event":1}]}"#] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
        let nowhere = r#"{"recipients":[],"items":[{"frame":{"push":{"type":"typing","chat_id":"00000000-0000-0000-0000-000000000000","user":"ann","active":true},"to":0}}]}"#;
        assert_eq!(decode(nowhere.as_bytes()), None);
    }
}
