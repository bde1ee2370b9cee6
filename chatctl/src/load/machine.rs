//! One session as a client of protocol v1, without its socket: frames and moments in, frames and notes out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use chat_core::frame::server::SyncDone;
use chat_core::id::{ChatId, Seq, UserId};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use self::link::{CONTROL, Link};
use super::Run;
use super::book::Note;
use super::connection::Transport;
use super::ledger::{Event, FOREIGN};
use super::wire::{self, Delivery, Inbound, Refusal, To};

mod link;

pub(super) use link::Tick;

/// The server answers within 15 s; later than this the connection is taken for dead.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Place {
    id: ChatId,
    seat: u32,
    /// DIRECT: the other one.
    peer: Option<UserId>,
    position: Seq,
    highest: Seq,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    acked: bool,
    echoed: bool,
    /// When it was last written, while the reply is due on this connection.
    on_wire: Option<Instant>,
    written: bool,
}

/// A session.
#[derive(Debug)]
pub(super) struct Machine {
    run: Arc<Run>,
    places: Vec<Place>,
    by_chat: FxHashMap<ChatId, usize>,
    pending: BTreeMap<u32, Pending>,
    outbox: VecDeque<u32>,
    link: Link,
    lost_at: Option<Instant>,
    reload: Vec<usize>,
    /// Frames to write.
    pub out: Vec<String>,
    /// What was seen, for the books.
    pub notes: Vec<Note>,
    /// `message` frames since they were last counted.
    pub frames: u64,
    /// Sends that came to their end since they were last counted.
    pub settled: u64,
}

impl Machine {
    /// Makes the session of `user`, who is at the base of each chat.
    pub(super) fn new(run: Arc<Run>, user: u32, chats: &[u32], now: Instant) -> Self {
        let place = |&chat: &u32| {
            let chat = &run.plan.chats[chat as usize];
            let at = chat.members.iter().position(|&member| member == user).unwrap_or_default();
            let other = chat.members.iter().find(|&&member| member != user);
            let peer = other.filter(|_| chat.id.is_direct()).map(|&other| run.plan.users[other as usize].clone());
            let seat = chat.first_seat + u32::try_from(at).unwrap_or_default();
            Place { id: chat.id, seat, peer, position: chat.base, highest: chat.base }
        };
        let places: Vec<_> = chats.iter().map(place).collect();
        let by_chat = places.iter().enumerate().map(|(slot, place)| (place.id, slot)).collect();
        Self {
            places,
            by_chat,
            run,
            pending: BTreeMap::new(),
            outbox: VecDeque::new(),
            link: Link::new(now, 0),
            lost_at: None,
            reload: Vec::new(),
            out: Vec::new(),
            notes: Vec::new(),
            frames: 0,
            settled: 0,
        }
    }

    /// Begins a connection.
    pub(super) fn open(&mut self, now: Instant) {
        self.link = Link::new(now, self.link.connections + 1);
    }

    /// Ends a connection: what is unanswered is sent again after the next `sync`.
    pub(super) fn lose(&mut self, now: Instant) {
        self.lost_at.get_or_insert(now);
        // Orders go on coming while there is no connection; they wait for the `sync` of the next one.
        self.link = Link::new(now, self.link.connections);
        self.out.clear();
        self.outbox.clear();
        for entry in self.pending.values_mut() {
            entry.on_wire = None;
        }
        self.settle(|entry| entry.echoed);
    }

    /// Returns when the session was greeted on this connection.
    pub(super) fn greeted_at(&self) -> Option<Instant> {
        self.link.greeted_at
    }

    /// Returns whether the first `sync` of this connection is over.
    pub(super) fn is_synced(&self) -> bool {
        self.link.synced
    }

    /// Returns the chats whose history is to be read, with the seq after which.
    pub(super) fn take_reload(&mut self) -> Vec<(usize, ChatId, Seq)> {
        let places = &self.places;
        self.reload.drain(..).map(|slot| (slot, places[slot].id, places[slot].position)).collect()
    }

    /// Says that the socket was blocked until now, so that the wait is not taken for the generator's own.
    pub(super) fn unblock(&mut self, now: Instant) {
        self.link.ready_since = now;
    }

    /// Takes message `index` to send.
    pub(super) fn order(&mut self, index: u32, now: Instant) {
        self.pending.insert(index, Pending::default());
        self.outbox.push_back(index);
        self.pump(now);
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// When it breaks the protocol, or says that the session cannot go on.
    pub(super) fn receive(&mut self, text: &str, now: Instant) -> anyhow::Result<()> {
        self.link.hear();
        let run = Arc::clone(&self.run);
        match wire::read(text, run.scan, &run.plan)? {
            Inbound::Message(delivery) => self.deliver(&delivery, now),
            Inbound::Ack { id, d } if Some(id) == self.link.sync => self.end_sync(&wire::sync_done(d)?, now),
            Inbound::Ack { id, .. } => self.ack(id, now),
            Inbound::Hello(hello) => {
                self.link.greet(hello.heartbeat_ms, now);
                let all = (0..self.places.len()).collect::<Vec<_>>();
                self.sync(&all);
            }
            Inbound::Error { id: Some(id), refusal } => self.refused(id, &refusal, now)?,
            Inbound::Error { id: None, refusal } => self.notes.push(Note::Refused(refusal.code)),
            Inbound::Rejected(Some(message)) => {
                self.notes.push(Note::Ledger(Event::Rejected { message }));
                self.finish(message);
            }
            Inbound::Reconnect { after_ms } => self.link.move_at = Some(now + Duration::from_millis(after_ms)),
            Inbound::Rejected(None) | Inbound::Pong | Inbound::Other => {}
        }
        self.pump(now);
        Ok(())
    }

    /// Takes a message that was read from history.
    pub(super) fn read(&mut self, slot: usize, seq: Seq, message: Option<u32>, now: Instant) {
        let seat = self.places[slot].seat;
        self.notes.push(Note::Ledger(Event::Read { seat, seq, message: message.unwrap_or(FOREIGN) }));
        self.apply(slot, seq, message, now);
    }

    fn deliver(&mut self, delivery: &Delivery<'_>, now: Instant) {
        self.frames += 1;
        let (seq, message) = (delivery.seq, delivery.message);
        let Some(&slot) = self.by_chat.get(&delivery.chat) else {
            self.notes.extend(message.map(|message| Note::Ledger(Event::Leaked { message })));
            return;
        };
        let Place { seat, position, .. } = self.places[slot];
        if self.run.transport != Transport::Ws && seq <= position {
            // The same cursor answers the same frames, and a sync comes beside them: what one has is dropped.
            return;
        }
        let plan = &self.run.plan;
        let as_sent = message.zip(delivery.body.as_ref()).is_none_or(|(message, (sender, content))| {
            plan.users[plan.assignment(message).sender as usize].as_str() == sender && plan.content_is(message, content)
        });
        let name = message.unwrap_or(FOREIGN);
        self.notes.push(Note::Ledger(if as_sent {
            Event::Received { seat, seq, message: name }
        } else {
            Event::Contradicted { seat, seq, message: name }
        }));
        self.apply(slot, seq, message, now);
    }

    /// The client rule (protocol v1, section 2, "Order"): ignore, apply, or `sync` that chat.
    fn apply(&mut self, slot: usize, seq: Seq, message: Option<u32>, now: Instant) {
        let place = &mut self.places[slot];
        place.highest = place.highest.max(seq);
        if seq > place.position + 1 && self.link.synced && self.link.sync.is_none() && self.link.sync_at.is_none() {
            self.sync(&[slot]);
        }
        let place = &mut self.places[slot];
        if seq != place.position + 1 {
            return;
        }
        place.position = seq;
        let Some(message) = message else { return };
        if let Some(due) = self.run.due_at(message) {
            self.notes.push(Note::Delivered(now.saturating_duration_since(due)));
        }
        if let Some(entry) = self.pending.get_mut(&message) {
            entry.echoed = true;
            if entry.acked || entry.on_wire.is_none() {
                self.finish(message);
            }
        }
    }

    fn sync(&mut self, slots: &[usize]) {
        let first = !self.link.synced;
        let id = self.link.request_id();
        self.link.sync = Some(id);
        self.link.sync_at = None;
        for &slot in slots {
            let place = &mut self.places[slot];
            place.highest = place.position;
            let (seat, named) = (place.seat, place.position);
            self.notes.push(Note::Ledger(if first {
                Event::Opened { seat, named }
            } else {
                Event::Asked { seat, named }
            }));
        }
        // A DIRECT chat begins with its first message; before the first connection there is nothing to name.
        let named = slots.iter().map(|&slot| &self.places[slot]);
        let named = named.filter(|place| place.position > 0 || self.link.connections > 1 || !place.id.is_direct());
        self.out.push(wire::sync(id, named.map(|place| (place.id, place.position))));
    }

    fn end_sync(&mut self, done: &SyncDone, now: Instant) {
        let again: Vec<usize> = done.more.iter().filter_map(|more| self.by_chat.get(&more.chat_id).copied()).collect();
        self.link.sync = None;
        self.notes.extend(self.places.iter().map(|place| Note::Ledger(Event::Synced { seat: place.seat })));
        self.reload.extend(done.reload.iter().filter_map(|chat| self.by_chat.get(chat)));
        if !self.link.synced {
            self.link.synced = true;
            let left = self.pending.iter().filter(|(_, entry)| !entry.echoed && entry.on_wire.is_none());
            self.outbox = left.map(|(&index, _)| index).collect();
        }
        // A live frame that ran ahead of the sync and was not covered by it leaves a gap as well.
        let ahead = |slot: &usize| self.places[*slot].highest > self.places[*slot].position;
        let mut behind: Vec<usize> = (0..self.places.len()).filter(ahead).chain(again).collect();
        behind.sort_unstable();
        behind.dedup();
        behind.retain(|slot| !self.reload.contains(slot));
        if !behind.is_empty() {
            self.sync(&behind);
        } else if let Some(lost_at) = self.lost_at.take() {
            self.notes.push(Note::Back(now - lost_at));
        }
    }

    fn ack(&mut self, id: u64, now: Instant) {
        let Some(message) = self.answered(id) else { return };
        self.notes.push(Note::Ledger(Event::Acked { message }));
        let Some(entry) = self.pending.get_mut(&message) else { return };
        entry.on_wire = None;
        if !std::mem::replace(&mut entry.acked, true)
            && let Some(due) = self.run.due_at(message)
        {
            self.notes.push(Note::Acked(now.saturating_duration_since(due)));
        }
        if entry.echoed {
            self.finish(message);
        }
    }

    fn refused(&mut self, id: u64, refusal: &Refusal, now: Instant) -> anyhow::Result<()> {
        self.notes.push(Note::Refused(refusal.code.clone()));
        let wait = Duration::from_millis(refusal.retry_after_ms.unwrap_or(250).clamp(10, 30_000));
        let again_at = now + wait.mul_f64(rand::random_range(1.0..1.5));
        if Some(id) == self.link.sync {
            if !refusal.temporary {
                bail!("sync was refused: {}", refusal.code);
            }
            self.link.sync = None;
            self.link.sync_at = Some(again_at);
        } else if let Some(message) = self.answered(id)
            && let Some(entry) = self.pending.get_mut(&message)
        {
            entry.on_wire = None;
            if entry.echoed || !refusal.temporary {
                self.finish(message);
            } else {
                self.outbox.push_back(message);
                self.link.hold_until = Some(again_at);
            }
        }
        Ok(())
    }

    /// Takes the reply to a send off the account; `None` for a reply to something else.
    fn answered(&mut self, id: u64) -> Option<u32> {
        let message = u32::try_from(id).ok().filter(|_| id < CONTROL)?;
        self.link.in_flight = self.link.in_flight.saturating_sub(1);
        Some(message)
    }

    fn finish(&mut self, message: u32) {
        if self.pending.remove(&message).is_some() {
            self.settled += 1;
        }
    }

    fn settle(&mut self, over: impl Fn(&Pending) -> bool) {
        let before = self.pending.len();
        self.pending.retain(|_, entry| !over(entry));
        self.settled += (before - self.pending.len()) as u64;
    }

    /// Gives up what is unsent and unanswered, because the session ends for good.
    pub(super) fn abandon(&mut self) {
        self.settle(|_| true);
    }

    /// Writes what may be written now.
    fn pump(&mut self, now: Instant) {
        self.link.note_blocked(now);
        while !self.link.is_blocked()
            && let Some(message) = self.outbox.pop_front()
        {
            let Some(entry) = self.pending.get_mut(&message).filter(|entry| !entry.echoed) else { continue };
            let Some(id) = self.run.message_id(message) else { continue };
            let first = !std::mem::replace(&mut entry.written, true);
            entry.on_wire = Some(now);
            self.link.in_flight += 1;
            let assignment = self.run.plan.assignment(message);
            let place = &self.places[self.by_chat[&self.run.plan.chats[assignment.chat as usize].id]];
            let to = match &place.peer {
                Some(peer) if place.position == 0 => To::Peer(peer),
                _ => To::Chat(place.id),
            };
            self.out.push(wire::send(u64::from(message), to, id, self.run.plan.content(message)));
            if first && let Some(due) = self.run.due_at(message) {
                self.notes.push(Note::Sent { late: now.saturating_duration_since(due.max(self.link.ready_since)) });
            }
        }
        self.link.note_blocked(now);
    }

    /// Returns when [`Machine::tick`] is to be called next.
    pub(super) fn deadline(&self) -> Instant {
        self.link.deadline()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) -> Tick {
        let due = self.link.tick(now);
        if due.sync {
            let all = (0..self.places.len()).collect::<Vec<_>>();
            self.sync(&all);
        }
        if due.ping {
            if self.pending.values().any(|entry| entry.on_wire.is_some_and(|at| now - at > ANSWER_WITHIN)) {
                return Tick::Dead;
            }
            let id = self.link.request_id();
            self.out.push(wire::ping(id));
        }
        self.pump(now);
        due.tick
    }
}

#[cfg(test)]
mod tests;
