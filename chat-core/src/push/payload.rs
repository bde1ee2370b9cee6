//! Payloads within the vendors' limit.

use super::{MAX_PAYLOAD_BYTES, Notification};

/// Encodes a notification so that it has at most [`MAX_PAYLOAD_BYTES`], by cutting its content to the longest
/// beginning that fits, between characters. `encode` makes the vendor's payload, which MUST NOT get shorter by more
/// content. The ids are never cut: without content they fit by far.
pub fn encode_to_fit<P: AsRef<[u8]>>(notification: &Notification, encode: impl Fn(&Notification) -> P) -> P {
    let whole = encode(notification);
    let Some(content) = notification.content.as_deref() else { return whole };
    if whole.as_ref().len() <= MAX_PAYLOAD_BYTES {
        return whole;
    }
    let encode_cut_at = |end: usize| {
        let content = Some(content[..content.floor_char_boundary(end)].to_owned());
        encode(&Notification { content, ..notification.clone() })
    };
    // An escaped character takes up to six bytes, so the payload's size does not tell where to cut.
    let (mut fits, mut exceeds) = (0, content.len().min(MAX_PAYLOAD_BYTES));
    while fits + 1 < exceeds {
        let middle = usize::midpoint(fits, exceeds);
        if encode_cut_at(middle).as_ref().len() <= MAX_PAYLOAD_BYTES {
            fits = middle;
        } else {
            exceeds = middle;
        }
    }
    encode_cut_at(fits)
}
