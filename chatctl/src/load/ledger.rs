//! The ledger: what was acknowledged, what each member received, what history says, and whether the three agree.
//!
//! It is pure and believes nobody: the sessions hand it what they saw, and it follows each member's order itself,
//! so that a mistake in the client's own bookkeeping shows up instead of hiding one in the server. A message is known
//! by its index in the plan, a member of a chat by its seat; one entry a message and one a seat is all it keeps.

use chat_core::id::Seq;

mod verdict;

pub(super) use verdict::{Found, Kind, Verdict};

/// Stands for a message that is not of this run, such as the SYSTEM message of a new group.
pub(super) const FOREIGN: u32 = u32::MAX;

/// Not seen yet.
const UNKNOWN: u32 = u32::MAX - 1;

/// What a session saw or did, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A connection began, and its first `sync` named this position for the seat.
    Opened { seat: u32, named: Seq },
    /// A later `sync` on the same connection named this position, to fill a gap.
    Asked { seat: u32, named: Seq },
    /// The `sync` of the seat ended.
    Synced { seat: u32 },
    /// A `message` frame.
    Received { seat: u32, seq: Seq, message: u32 },
    /// A `message` frame whose sender or content is not what was sent.
    Contradicted { seat: u32, seq: Seq, message: u32 },
    /// The client read a message from history, because `sync` told it to reload the chat.
    Read { seat: u32, seq: Seq, message: u32 },
    /// A message of this run came to a user who is in none of its chats.
    Leaked { message: u32 },
    /// A send was acknowledged.
    Acked { message: u32 },
    /// A send was refused after its acknowledgement, by `message.rejected`.
    Rejected { message: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the end of a connection's first `sync`: live frames may run ahead of it, and overlap it.
    First,
    /// While a gap is being filled: what was ahead comes again.
    Asked,
    /// Frames ascend and come once.
    Live,
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    chat: u32,
    stage: Stage,
    /// What the last `sync` named: the server must not send it again.
    named: Seq,
    /// Everything up to here was received.
    position: Seq,
    /// The highest seq of this connection.
    highest: Seq,
}

#[derive(Debug)]
struct ChatBook {
    base: Seq,
    /// The message at `base + 1 + n`, the same for every member and in history.
    messages: Vec<u32>,
    /// Where history ends, once it was read.
    head: Seq,
}

#[derive(Debug, Clone, Copy, Default)]
struct MessageBook {
    chat: u32,
    acked: bool,
    rejected: bool,
    /// The position it was first seen at; 0 = nowhere yet.
    seq: Seq,
    /// How often history has it.
    in_history: u32,
}

/// The books of one run.
#[derive(Debug)]
pub(super) struct Ledger {
    chats: Vec<ChatBook>,
    seats: Vec<Seat>,
    messages: Vec<MessageBook>,
    verdict: Verdict,
}

impl Ledger {
    /// Opens the books: per chat its base and number of seats (numbered on from chat to chat), per message its chat.
    pub(super) fn new(chats: impl IntoIterator<Item = (Seq, usize)>, messages: impl IntoIterator<Item = u32>) -> Self {
        let mut books = Vec::new();
        let mut seats = Vec::new();
        for (chat, (base, members)) in (0_u32..).zip(chats) {
            books.push(ChatBook { base, messages: Vec::new(), head: base });
            let seat = Seat { chat, stage: Stage::First, named: base, position: base, highest: base };
            seats.extend(std::iter::repeat_n(seat, members));
        }
        let messages = messages.into_iter().map(|chat| MessageBook { chat, ..MessageBook::default() }).collect();
        Self { chats: books, seats, messages, verdict: Verdict::default() }
    }

    /// Writes down one event.
    pub(super) fn record(&mut self, event: Event) {
        match event {
            Event::Opened { seat, named } => self.begin(seat, named, Stage::First),
            Event::Asked { seat, named } => self.begin(seat, named, Stage::Asked),
            Event::Synced { seat } => self.seats[seat as usize].stage = Stage::Live,
            Event::Received { seat, seq, message } => self.receive(seat, seq, message),
            Event::Contradicted { seat, seq, message } => {
                let chat = self.seats[seat as usize].chat;
                self.verdict.find(Found { kind: Kind::Contradicted, chat, seq, message, seat: Some(seat) });
                self.receive(seat, seq, message);
            }
            Event::Read { seat, seq, message } => self.advance(seat, seq, message),
            Event::Leaked { message } => {
                let chat = self.messages.get(message as usize).map_or(u32::MAX, |book| book.chat);
                self.verdict.find(Found { kind: Kind::Contradicted, chat, seq: 0, message, seat: None });
            }
            Event::Acked { message } => {
                if let Some(book) = self.messages.get_mut(message as usize) {
                    self.verdict.acked += u64::from(!book.acked);
                    book.acked = true;
                }
            }
            Event::Rejected { message } => {
                if let Some(book) = self.messages.get_mut(message as usize) {
                    self.verdict.rejected += u64::from(!book.rejected);
                    book.rejected = true;
                }
            }
        }
    }

    fn begin(&mut self, seat: u32, named: Seq, stage: Stage) {
        let seat = &mut self.seats[seat as usize];
        (seat.named, seat.highest, seat.stage) = (named, named, stage);
    }

    /// Follows one member's order: client rule and promises of protocol v1, section 2, "Order".
    fn receive(&mut self, seat_number: u32, seq: Seq, message: u32) {
        let seat = &mut self.seats[seat_number as usize];
        let chat = seat.chat;
        let found = |kind| Found { kind, chat, seq, message, seat: Some(seat_number) };
        let went_back_or_stayed = seq <= seat.highest;
        seat.highest = seat.highest.max(seq);
        let sent_before = seq <= seat.position && went_back_or_stayed && seat.stage != Stage::First;
        if seq <= seat.named || sent_before {
            self.verdict.find(found(Kind::Duplicated));
        } else if seq > seat.position {
            if seat.stage == Stage::Live && went_back_or_stayed {
                self.verdict.find(found(Kind::Misordered));
            }
            self.verdict.gaps += u64::from(seq > seat.position + 1 && seat.stage == Stage::Live);
            self.advance(seat_number, seq, message);
        }
    }

    /// Applies a message if it is the next one; one that is ahead is not kept, as it must come again.
    fn advance(&mut self, seat_number: u32, seq: Seq, message: u32) {
        let seat = &mut self.seats[seat_number as usize];
        if seq == seat.position + 1 {
            seat.position = seq;
            let chat = seat.chat;
            self.verdict.delivered += u64::from(message != FOREIGN);
            self.place(chat, seq, message, Some(seat_number));
        }
    }

    /// Returns whether every member has what any member has.
    pub(super) fn is_level(&self) -> bool {
        self.seats.iter().all(|seat| {
            let chat = &self.chats[seat.chat as usize];
            seat.position >= chat.base + chat.messages.len() as u64
        })
    }

    /// Returns how many messages are acknowledged so far.
    pub(super) fn acked(&self) -> u64 {
        self.verdict.acked
    }

    /// Holds every view of a chat against the first one seen: one message a seq, one seq a message.
    fn place(&mut self, chat: u32, seq: Seq, message: u32, seat: Option<u32>) {
        let book = &mut self.chats[chat as usize];
        let found = |kind| Found { kind, chat, seq, message, seat };
        let Some(at) = seq.checked_sub(book.base + 1).and_then(|at| usize::try_from(at).ok()) else { return };
        if at >= book.messages.len() {
            book.messages.resize(at + 1, UNKNOWN);
        }
        match book.messages[at] {
            UNKNOWN => book.messages[at] = message,
            known if known != message => return self.verdict.find(found(Kind::Misordered)),
            _ => {}
        }
        let Some(entry) = self.messages.get_mut(message as usize) else { return };
        if entry.chat != chat {
            self.verdict.find(found(Kind::Contradicted));
        } else if entry.seq == 0 {
            entry.seq = seq;
        } else if entry.seq != seq && seat.is_some() {
            // In history they are counted when the books are closed.
            self.verdict.find(found(Kind::Duplicated));
        }
    }

    /// Reads on in the history of a chat, oldest first; `message` is [`FOREIGN`] for those of others, `as_sent` tells
    /// whether its content is what was sent.
    pub(super) fn history(&mut self, chat: u32, seq: Seq, message: u32, as_sent: bool) {
        if !as_sent {
            self.verdict.find(Found { kind: Kind::Contradicted, chat, seq, message, seat: None });
        }
        let head = self.chats[chat as usize].head;
        if seq <= head {
            self.verdict.find(Found { kind: Kind::Misordered, chat, seq, message, seat: None });
        }
        for hole in head + 1..seq {
            self.verdict.find(Found { kind: Kind::Misordered, chat, seq: hole, message: FOREIGN, seat: None });
        }
        self.chats[chat as usize].head = head.max(seq);
        self.place(chat, seq, message, None);
        if let Some(entry) = self.messages.get_mut(message as usize) {
            entry.in_history += 1;
        }
    }

    /// Closes the books, once the history of every chat was read.
    pub(super) fn close(mut self) -> Verdict {
        for (message, book) in (0_u32..).zip(&self.messages) {
            let found = |kind| Found { kind, chat: book.chat, seq: book.seq, message, seat: None };
            match (book.in_history, book.acked, book.rejected) {
                (0, true, false) => self.verdict.find(found(Kind::Lost)),
                (1.., _, true) => self.verdict.find(found(Kind::Contradicted)),
                (2.., ..) => self.verdict.find(found(Kind::Duplicated)),
                _ => {}
            }
        }
        for (number, seat) in (0_u32..).zip(&self.seats) {
            let chat = &self.chats[seat.chat as usize];
            let found = |kind, seq, message| Found { kind, chat: seat.chat, seq, message, seat: Some(number) };
            for seq in seat.position + 1..=chat.head {
                let at = usize::try_from(seq - chat.base - 1).unwrap_or(usize::MAX);
                let message = chat.messages.get(at).copied().unwrap_or(UNKNOWN);
                if self.messages.get(message as usize).is_some_and(|book| book.acked) {
                    self.verdict.find(found(Kind::Lost, seq, message));
                }
            }
            for seq in chat.head + 1..=seat.position {
                self.verdict.find(found(Kind::Contradicted, seq, FOREIGN));
            }
        }
        self.verdict
    }
}

#[cfg(test)]
mod tests;
