//! What the ledger found.

use std::fmt;

use chat_core::id::Seq;

/// Findings kept with their place; the counts go on beyond it.
const MAX_FOUND: usize = 20;

/// What can be wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) enum Kind {
    /// Acknowledged, and missing in history or at a member.
    Lost,
    /// Twice in a chat, twice in a session, or sent although the client had named it.
    Duplicated,
    /// Out of order, a hole in the numbers, or another message at that seq than others saw.
    Misordered,
    /// Not what was sent, in another chat, refused and yet there, or shown live and not in history.
    Contradicted,
}

/// One finding and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) struct Found {
    /// What is wrong.
    pub kind: Kind,
    /// Index of the chat.
    pub chat: u32,
    /// Position in it; 0 where it has none.
    pub seq: Seq,
    /// Index of the message, [`super::FOREIGN`] for one of others.
    pub message: u32,
    /// At which member; `None` in history.
    pub seat: Option<u32>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, chat, seq, message, seat } = self;
        write!(f, "{kind:?}: chat {chat}, seq {seq}")?;
        if *message != super::FOREIGN {
            write!(f, ", message {message}")?;
        }
        match seat {
            Some(seat) => write!(f, ", at seat {seat}"),
            None => f.write_str(", in history"),
        }
    }
}

/// The sums of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::load) struct Verdict {
    /// Messages acknowledged.
    pub acked: u64,
    /// Messages of this run received, once a member.
    pub delivered: u64,
    /// Acknowledged messages missing in history, and (message, member) pairs that never met.
    pub lost: u64,
    /// Deliveries and messages too many.
    pub duplicated: u64,
    /// Deliveries and positions out of order.
    pub misordered: u64,
    /// Deliveries that contradict what was sent or promised.
    pub contradicted: u64,
    /// Messages acknowledged and then refused in log order; no fault by itself.
    pub rejected: u64,
    /// Frames that ran ahead of a gap and made the client `sync`; no fault by itself.
    pub gaps: u64,
    /// The first findings, with their places.
    pub found: Vec<Found>,
}

impl Verdict {
    pub(super) fn find(&mut self, found: Found) {
        let count = match found.kind {
            Kind::Lost => &mut self.lost,
            Kind::Duplicated => &mut self.duplicated,
            Kind::Misordered => &mut self.misordered,
            Kind::Contradicted => &mut self.contradicted,
        };
        *count += 1;
        if self.found.len() < MAX_FOUND {
            self.found.push(found);
        }
    }

    /// Returns whether every promise was kept.
    pub(in crate::load) fn is_clean(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.misordered == 0 && self.contradicted == 0
    }
}
