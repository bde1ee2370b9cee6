//! Which senders of a group are told how many have their message.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::frame::Push;
use chat_core::id::{ChatId, Seq};
use chat_core::relay::frames::Addressed;
use tokio::time::Instant;

use super::chat::HotChat;

/// Summaries of one chat that are told at once; the rest follows the next time.
const AT_ONCE: usize = 20;

/// Age beyond which a sender no longer hears of a message.
const OLDEST_MS: u64 = 24 * 3_600_000;

/// Messages of one chat to be counted again.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) seqs: BTreeSet<Seq>,
    /// The oldest record that asks for it; absent where no record waits for it.
    pub(super) offset: Option<u64>,
}

/// Messages to be counted again, by chat.
pub(super) type ByChat = BTreeMap<ChatId, Asked>;

/// What is to be counted again in one partition.
#[derive(Debug)]
pub(super) struct Untold {
    every: Duration,
    asked: ByChat,
    /// When it is to be told; set while there is any.
    due: Option<Instant>,
}

impl Untold {
    /// Makes it empty; what comes in is due after `every`.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, asked: ByChat::new(), due: None }
    }

    pub(super) fn ask(&mut self, chat_id: ChatId, seqs: RangeInclusive<Seq>, offset: u64) {
        if seqs.is_empty() {
            return;
        }
        let asked = self.asked.entry(chat_id).or_default();
        asked.seqs.extend(seqs);
        asked.offset = Some(asked.offset.map_or(offset, |oldest| oldest.min(offset)));
        self.due.get_or_insert_with(|| Instant::now() + self.every);
    }

    /// Takes up to so many chats; what stays is due at once.
    pub(super) fn take(&mut self, chats: usize) -> ByChat {
        let rest = self.asked.keys().nth(chats).copied().map(|first| self.asked.split_off(&first)).unwrap_or_default();
        let taken = std::mem::replace(&mut self.asked, rest);
        self.due = (!self.asked.is_empty()).then(Instant::now);
        taken
    }

    /// Keeps what did not fit for the next time.
    pub(super) fn put_off(&mut self, left: ByChat, due: Instant) {
        for (chat_id, left) in left {
            self.asked.entry(chat_id).or_default().seqs.extend(left.seqs);
        }
        self.set_due(due);
    }

    /// Puts back what could not be counted.
    pub(super) fn put_back(&mut self, asked: ByChat, due: Instant) {
        for (chat_id, asked) in asked {
            let held = self.asked.entry(chat_id).or_default();
            held.seqs.extend(asked.seqs);
            held.offset = [held.offset, asked.offset].into_iter().flatten().min();
        }
        self.due = None;
        self.set_due(due);
    }

    fn set_due(&mut self, due: Instant) {
        if !self.asked.is_empty() {
            self.due.get_or_insert(due);
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.asked.values().filter_map(|asked| asked.offset).min()
    }
}

/// Counts messages again, newest first, and makes the frames of those whose counts are not what their sender knows.
/// Takes out of `seqs` what is settled.
pub(super) fn tell(chat_id: ChatId, chat: &mut HotChat, seqs: &mut BTreeSet<Seq>, now: Time) -> Vec<Addressed> {
    let mut frames = Vec::new();
    while frames.len() < AT_ONCE
        && let Some(seq) = seqs.pop_last()
    {
        frames.extend(tell_one(chat_id, chat, seq, now));
    }
    frames
}

fn tell_one(chat_id: ChatId, chat: &mut HotChat, seq: Seq, now: Time) -> Option<Addressed> {
    let message = chat.recent(seq)?;
    if now.millis_since(message.created_at) > OLDEST_MS {
        return None;
    }
    let sender = message.sender.clone();
    let counts = chat.counts(seq, &sender)?;
    let told = chat.recent(seq)?.told.replace(counts);
    (told != Some(counts)).then(|| Addressed {
        push: Push::ReceiptSummary { chat_id, seq, delivered: counts.delivered, read: counts.read, of: counts.of },
        recipients: vec![sender],
    })
}
