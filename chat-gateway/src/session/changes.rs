//! Reading edits and deletes again: which messages changed, as they are now.

use std::collections::BTreeMap;

use axum::extract::ws::Utf8Bytes;
use chat_core::frame::{Message, Push, push_json};
use chat_core::id::{Rev, Seq};
use chat_core::message_store::{MessageStore, Order, SeqRange, StoreError};

use crate::view::View;

/// Messages this close to each other are read in one range.
const NEAR: u64 = 16;

/// The changes that were read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Changes {
    /// One frame a rev, ascending; none for messages the user may not see.
    pub(crate) frames: Vec<(Rev, Utf8Bytes)>,
    /// Changes were read up to here.
    pub(crate) upto: Rev,
    /// No change is missing in between: none has aged out.
    pub(crate) is_whole: bool,
}

/// Reads changes after `after`, at most `limit`.
pub(crate) async fn read(
    store: &dyn MessageStore,
    view: &View,
    after: Rev,
    limit: usize,
) -> Result<Changes, StoreError> {
    let head = view.head.rev;
    if after >= head {
        return Ok(Changes { frames: Vec::new(), upto: head, is_whole: true });
    }
    let changes = store.changes(view.chat_id, after, head, limit).await?;
    let upto = changes.last().filter(|_| changes.len() >= limit).map_or(head, |(rev, _)| *rev);
    let is_whole = changes.len() as u64 == upto - after;
    let seqs: Vec<Seq> = changes.iter().map(|(_, seq)| *seq).filter(|seq| view.shows(*seq)).collect();
    let mut messages = BTreeMap::new();
    for range in ranges(seqs) {
        let limit = usize::try_from(range.upto - range.after).unwrap_or(usize::MAX);
        let rows = view.messages(store, range, Order::OldestFirst, limit).await?;
        messages.extend(rows.into_iter().map(|row| (row.seq, row)));
    }
    let frame = |(rev, seq): (Rev, Seq)| messages.get(&seq).map(|message| (rev, encode(message, rev)));
    Ok(Changes { frames: changes.into_iter().filter_map(frame).collect(), upto, is_whole })
}

/// Joins seqs into ranges to read.
fn ranges(mut seqs: Vec<Seq>) -> Vec<SeqRange> {
    seqs.sort_unstable();
    let mut ranges: Vec<SeqRange> = Vec::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some(range) if seq <= range.upto + NEAR => range.upto = seq,
            _ => ranges.push(SeqRange { after: seq.saturating_sub(1), upto: seq }),
        }
    }
    ranges
}

/// Tells of a change with what the message is now: a later change of the same message shows already, and comes again
/// under its own rev, which changes nothing more.
fn encode(message: &Message, rev: Rev) -> Utf8Bytes {
    let (chat_id, seq) = (message.chat_id, message.seq);
    let push = match message.deleted_at {
        Some(deleted_at) => Push::MessageDeleted { chat_id, seq, rev, deleted_at },
        None => Push::MessageUpdated {
            chat_id,
            seq,
            rev,
            content: message.content.clone(),
            meta: message.meta.clone(),
            edited_at: message.edited_at.unwrap_or(message.created_at),
        },
    };
    push_json(&push).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_messages_are_read_together() {
        let range = |after, upto| SeqRange { after, upto };
        assert_eq!(ranges(vec![40, 3, 3, 10]), [range(2, 10), range(39, 40)]);
        assert_eq!(ranges(vec![]), []);
    }
}
