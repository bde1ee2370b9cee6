//! What a batch of records tells, and what follows from it. Pure.

use std::collections::BTreeMap;

use chat_core::frame::Push;
use chat_core::id::{ChatId, UserId};
use chat_core::message_store::Row;
use chat_core::receipt::{ReceiptRecord, UserCursors};
use chat_core::relay::frames::Addressed;

use super::chat::{HotChat, Moved};
use super::held::Held;
use super::summary::Untold;
use crate::consume::Batch;

/// What a batch tells of one user in one chat.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) cursors: UserCursors,
    pub(super) offset: u64,
    pub(super) is_replay: bool,
}

/// What a batch tells, in a fixed order.
pub(super) type ToldByChat = BTreeMap<ChatId, Vec<Told>>;

/// Merges a batch; records below `replay_until` may have been written, but not relayed.
pub(super) fn merge(batch: Batch<ReceiptRecord>, replay_until: u64) -> ToldByChat {
    let mut merged: BTreeMap<ChatId, BTreeMap<UserId, Told>> = BTreeMap::new();
    for received in batch.records {
        let offset = received.position.offset;
        let is_replay = offset < replay_until;
        let chat = merged.entry(received.record.chat_id).or_default();
        for cursors in received.record.cursors {
            match chat.get_mut(&cursors.user) {
                Some(told) => {
                    told.cursors.raise(&cursors);
                    told.is_replay |= is_replay;
                }
                None => drop(chat.insert(cursors.user.clone(), Told { cursors, offset, is_replay })),
            }
        }
    }
    merged.into_iter().map(|(chat_id, told)| (chat_id, told.into_values().collect())).collect()
}

/// What follows from the moves of a batch.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Written before anything is relayed.
    pub(super) rows: Vec<Row>,
    pub(super) frames: Vec<Addressed>,
}

impl Moves {
    /// Takes the move of one member of a chat.
    pub(super) fn take(&mut self, chat: &HotChat, moved: &Moved, told: &Told, held: &mut Held, untold: &mut Untold) {
        let (chat_id, offset, is_replay) = (chat.chat_id(), told.offset, told.is_replay);
        let Moved { user, before, after, .. } = moved;
        let was_read = after.read > before.read || (is_replay && after.read > 0);
        let was_delivered = after.delivered > before.delivered || is_replay;
        // What was read is not pushed, whichever session it reached.
        let is_awake = (after.active > before.active || is_replay) && after.active > after.read;
        if was_read {
            let (delivered, read) = (after.delivered, after.read);
            self.rows.push(Row::Cursor { chat_id, user: user.clone(), delivered, read });
        }
        if is_awake || (was_delivered && !was_read) {
            held.hold(chat_id, user, after.delivered, after.active, offset);
        }
        // Own sessions learn what was read elsewhere; that something reached another device of theirs helps them
        // nothing, and in a large group would double the deliveries of each message.
        let own = was_read.then(|| user.clone());
        let peers = chat.peer_of(user).filter(|_| was_read || was_delivered);
        let recipients: Vec<UserId> = peers.cloned().into_iter().chain(own).collect();
        if !recipients.is_empty() {
            let (user, delivered, read) = (user.clone(), after.delivered, after.read);
            self.frames.push(Addressed { push: Push::Receipt { chat_id, user, delivered, read }, recipients });
        }
        let counted_from = if is_replay { before.join_seq } else { before.lowest_rise(after) };
        untold.ask(chat_id, chat.recounted(counted_from, after.delivered.max(after.read)), offset);
    }
}
