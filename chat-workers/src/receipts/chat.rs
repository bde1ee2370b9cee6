//! A chat in memory: where its members stand, and its recent messages. Pure.

use std::collections::VecDeque;

use chat_core::clock::Time;
use chat_core::frame::ContentType;
use chat_core::id::{ChatId, Seq, UserId};
use chat_core::message_log::Position;
use chat_core::message_store::{ChatState, MemberRow, StoredMessage};
use chat_core::receipt::{Counts, Standing, Tally, UserCursors};

/// How far below the head a message may be for its sender to hear of it.
pub(super) const RECENT_SEQS: u64 = 100;

/// A chat in memory.
#[derive(Debug)]
pub(super) struct HotChat {
    chat_id: ChatId,
    /// The newest message, as of the last reading of the state cell.
    head: Seq,
    /// The membership record that the members are as of.
    roster_at: Position,
    /// Present and former members, ascending by user id.
    members: Vec<MemberRow>,
    /// Present members; of a GROUP only.
    tally: Tally,
    /// Recent messages; of a GROUP only, and only once a summary was asked for.
    recent: Recent,
}

/// Recent messages of users, ascending.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Read up to here; 0 where nothing was read yet.
    pub(super) upto: Seq,
    messages: VecDeque<RecentMessage>,
}

/// One recent message.
#[derive(Debug)]
pub(super) struct RecentMessage {
    pub(super) seq: Seq,
    pub(super) sender: UserId,
    pub(super) created_at: Time,
    /// What its sender was told last.
    pub(super) told: Option<Counts>,
}

/// The cursors of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursors {
    pub(super) join_seq: Seq,
    pub(super) delivered: Seq,
    pub(super) read: Seq,
    pub(super) active: Seq,
}

impl Cursors {
    fn of(member: &MemberRow) -> Self {
        let MemberRow { join_seq, delivered, read, active, .. } = *member;
        Self { join_seq, delivered, read, active }
    }

    /// Returns the seq above which `after` counts more than this does; the highest where nothing rose.
    pub(super) fn lowest_rise(&self, after: &Self) -> Seq {
        let rises = [(self.delivered, after.delivered), (self.read, after.read)];
        let lowest = rises.into_iter().filter(|(before, after)| after > before).map(|(before, _)| before).min();
        lowest.map_or(Seq::MAX, |before| before.max(self.join_seq))
    }
}

/// What became of the cursors of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) user: UserId,
    pub(super) before: Cursors,
    pub(super) after: Cursors,
    /// More was told than the member may see.
    pub(super) was_cut: bool,
}

impl HotChat {
    pub(super) fn new(chat_id: ChatId, state: &ChatState, mut members: Vec<MemberRow>) -> Self {
        members.sort_by(|a, b| a.user.cmp(&b.user));
        let present = members.iter().filter(|member| !chat_id.is_direct() && member.is_present());
        let tally = present.map(Standing::from).collect();
        let recent = Recent::default();
        Self { chat_id, head: state.seq, roster_at: state.roster_at, members, tally, recent }
    }

    /// Returns whether the members are those of this state cell.
    pub(super) fn has_roster_of(&self, state: &ChatState) -> bool {
        self.roster_at == state.roster_at
    }

    pub(super) fn raise_head(&mut self, head: Seq) {
        self.head = self.head.max(head);
    }

    /// Takes the recent messages of an older reading over.
    pub(super) fn keep_recent_of(&mut self, older: Self) {
        self.recent = older.recent;
    }

    pub(super) fn head(&self) -> Seq {
        self.head
    }

    pub(super) fn chat_id(&self) -> ChatId {
        self.chat_id
    }

    pub(super) fn is_direct(&self) -> bool {
        self.chat_id.is_direct()
    }

    pub(super) fn recent_upto(&self) -> Seq {
        self.recent.upto
    }

    /// Returns what it takes of the memory's bound.
    pub(super) fn weight(&self) -> usize {
        1 + self.members.len()
    }

    fn position(&self, user: &UserId) -> Option<usize> {
        self.members.binary_search_by(|member| member.user.cmp(user)).ok()
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &UserId> {
        self.members.iter().map(|member| &member.user)
    }

    /// Returns whether these cursors can be judged without reading again: the user is known, and nothing is above the
    /// head. Whoever left or came back since did so above the head, too.
    pub(super) fn covers(&self, cursors: &UserCursors) -> bool {
        self.position(&cursors.user).is_some() && cursors.delivered.max(cursors.read).max(cursors.active) <= self.head
    }

    /// Returns the other member of a DIRECT chat.
    pub(super) fn peer_of(&self, user: &UserId) -> Option<&UserId> {
        self.is_direct().then(|| self.users().find(|other| *other != user)).flatten()
    }

    /// Raises a member's cursors, cut to what the member may see; `None` where the user never was a member.
    pub(super) fn apply(&mut self, cursors: &UserCursors) -> Option<Moved> {
        let position = self.position(&cursors.user)?;
        let member = &mut self.members[position];
        let before = Cursors::of(member);
        let mut cut = cursors.clone();
        cut.cut(member.visible_upto(self.head));
        member.read = member.read.max(cut.read);
        member.delivered = member.delivered.max(cut.delivered).max(member.read);
        member.active = member.active.max(cut.active);
        let (after, standing) = (Cursors::of(member), Standing::from(&*member));
        if !self.chat_id.is_direct() && member.is_present() {
            let Cursors { join_seq, delivered, read, .. } = before;
            self.tally.shift(Standing { join_seq, delivered, read }, standing);
        }
        Some(Moved { user: cursors.user.clone(), before, after, was_cut: cut != *cursors })
    }

    /// Returns the recent seqs of a GROUP that a cursor passed, which are to be counted again.
    pub(super) fn recounted(&self, after: Seq, upto: Seq) -> std::ops::RangeInclusive<Seq> {
        let from = after.max(self.head.saturating_sub(RECENT_SEQS)).saturating_add(1);
        from..=if self.is_direct() { 0 } else { upto }
    }

    /// Takes newer messages in, ascending. Each raised its sender's own cursors when it was sent.
    pub(super) fn take_messages(&mut self, messages: Vec<StoredMessage>, upto: Seq) {
        for StoredMessage { message, .. } in messages {
            let (seq, sender) = (message.seq, message.sender);
            self.apply(&UserCursors::new(sender.clone(), seq, seq, false));
            if message.content_type != ContentType::System && seq > self.recent.upto {
                let message = RecentMessage { seq, sender, created_at: message.created_at, told: None };
                self.recent.messages.push_back(message);
            }
        }
        self.recent.upto = upto;
        let oldest = upto.saturating_sub(RECENT_SEQS);
        while self.recent.messages.front().is_some_and(|message| message.seq <= oldest) {
            self.recent.messages.pop_front();
        }
    }

    /// Returns a recent message.
    pub(super) fn recent(&mut self, seq: Seq) -> Option<&mut RecentMessage> {
        let at = self.recent.messages.binary_search_by_key(&seq, |message| message.seq).ok()?;
        self.recent.messages.get_mut(at)
    }

    /// Counts who has a message of a GROUP; `None` where its sender is no longer there to be told.
    pub(super) fn counts(&self, seq: Seq, sender: &UserId) -> Option<Counts> {
        let sender = &self.members[self.position(sender)?];
        sender.is_present().then(|| self.tally.counts(seq, Some(sender.into())))
    }
}
