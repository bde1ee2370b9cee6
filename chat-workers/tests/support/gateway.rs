//! A gateway with its sessions, reduced to what decides whether a message arrives: routes before reads, one seq after
//! the other, and every sign of a lost envelope answered by reading the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_core::event::{Event, Fact};
use chat_core::id::{ChatId, GatewayId, MessageId, Rev, Seq, UserId};
use chat_core::message_store::{MessageStore, Order, SeqRange, StoreError, StoredMessage};
use chat_core::relay::{Item, Registered, Relay, RelayError};
use futures_util::FutureExt;
use tokio::time::{Instant, sleep};

/// How often the counter is read and the routes are refreshed.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often a gateway looks for envelopes.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What a gateway does wrong, to see that the ledger finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GatewayFlaw {
    /// Nobody is told of a route: sessions hear what their first sync reads, and nothing else.
    NoRoutes,
    /// A missing number means nothing, nor does the counter.
    NoNumbers,
    /// What is above the next seq is taken without what is missing.
    NoOrder,
    /// The missed is read before the route is registered, and a new route means nothing.
    ReadsFirst,
}

/// What one member holds of one chat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    pub(crate) seq: Seq,
    pub(crate) rev: Rev,
    pub(crate) messages: BTreeMap<Seq, (MessageId, String)>,
}

/// All sessions of one gateway. Clones show the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<BTreeMap<UserId, BTreeMap<ChatId, Copy>>>>);

impl Sessions {
    pub(crate) fn copies(&self) -> BTreeMap<UserId, BTreeMap<ChatId, Copy>> {
        self.0.lock().unwrap().clone()
    }
}

/// A gateway that runs.
#[derive(Debug)]
pub(crate) struct SimulatedGateway {
    pub(crate) id: GatewayId,
    pub(crate) users: Vec<UserId>,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) sessions: Sessions,
    pub(crate) flaw: Option<GatewayFlaw>,
}

impl SimulatedGateway {
    /// Runs for ever: opens the channel, and opens it anew when it is cut.
    pub(crate) async fn run(self) {
        loop {
            if self.serve().await.is_err() {
                sleep(Duration::from_millis(300)).await;
            }
        }
    }

    async fn serve(&self) -> Result<(), RelayError> {
        let mut inbox = self.relay.open(&self.id).await?;
        let mut last = inbox.counter().await?;
        if self.flaw == Some(GatewayFlaw::ReadsFirst) {
            self.sync(&self.users).await;
            sleep(HEARTBEAT).await;
            self.register().await?;
        } else {
            self.register().await?;
            self.sync(&self.users).await;
        }
        let mut heartbeat = Instant::now();
        loop {
            // Asked again and again, not woken: the order in which tokio wakes several gateways is random, and a
            // simulation must be repeatable.
            let arrived = inbox.next().now_or_never().transpose()?;
            let is_idle = arrived.is_none();
            if let Some((number, envelope)) = arrived {
                let in_order = number == last + 1 || self.flaw == Some(GatewayFlaw::NoNumbers);
                last = number;
                for item in envelope.items {
                    self.take(item).await;
                }
                if !in_order {
                    self.sync(&self.users).await;
                }
            }
            if heartbeat.elapsed() >= HEARTBEAT {
                heartbeat = Instant::now();
                let counter = inbox.counter().await?;
                let fresh = self.register().await?;
                self.sync(&fresh).await;
                if counter != last && self.flaw != Some(GatewayFlaw::NoNumbers) {
                    last = counter;
                    self.sync(&self.users).await;
                }
            }
            if is_idle {
                sleep(ASK_EVERY).await;
            }
        }
    }

    /// Registers all routes; returns whose were not there.
    async fn register(&self) -> Result<Vec<UserId>, RelayError> {
        if self.flaw == Some(GatewayFlaw::NoRoutes) {
            return Ok(Vec::new());
        }
        let registered = self.relay.register(&self.id, &self.users).await?;
        let fresh = self.users.iter().zip(registered).filter(|(_, registered)| *registered == Registered::New);
        Ok(fresh.map(|(user, _)| user.clone()).collect())
    }

    async fn take(&self, item: Item) {
        match item {
            Item::Event { event, recipients } => {
                let mine: Vec<UserId> = recipients.iter().filter(|user| self.users.contains(user)).cloned().collect();
                let behind: Vec<UserId> = mine.into_iter().filter(|user| !self.apply(user, &event)).collect();
                self.sync(&behind).await;
            }
            Item::Resync => self.sync(&self.users).await,
            Item::Frame { .. } | Item::Verdict(_) => {}
        }
    }

    /// Applies a live event to one session; returns false where something before it is missing.
    fn apply(&self, user: &UserId, event: &Event) -> bool {
        let mut sessions = self.sessions.0.lock().unwrap();
        let copy = sessions.entry(user.clone()).or_default().entry(event.chat_id).or_default();
        let any_order = self.flaw == Some(GatewayFlaw::NoOrder);
        match &event.fact {
            Fact::Message(message) if message.seq == copy.seq + 1 || any_order && message.seq > copy.seq => {
                copy.seq = message.seq;
                copy.messages.insert(message.seq, (message.message_id, message.content.clone()));
                true
            }
            Fact::Message(message) => message.seq <= copy.seq,
            Fact::Updated { seq, rev, content, .. } => copy.change(*seq, *rev, content),
            Fact::Deleted { seq, rev, .. } => copy.change(*seq, *rev, ""),
            Fact::Changed { .. } => true,
        }
    }

    /// Brings sessions up to date from the store, however long it takes.
    async fn sync(&self, users: &[UserId]) {
        for user in users {
            while self.sync_one(user).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn sync_one(&self, user: &UserId) -> Result<(), StoreError> {
        let chats: Vec<ChatId> = self.store.inbox(user).await?.into_iter().map(|row| row.chat_id).collect();
        // The state cells first: rows are there before the heads that show them.
        let states = self.store.states(&chats).await?;
        let memberships = self.store.memberships(user, &chats).await?;
        for ((chat, state), member) in chats.into_iter().zip(states).zip(memberships) {
            let (Some(state), Some(member)) = (state, member) else { continue };
            let held = self.sessions.copies().remove(user).and_then(|mut of| of.remove(&chat)).unwrap_or_default();
            let range = SeqRange { after: held.seq.max(member.join_seq), upto: member.visible_upto(state.seq) };
            let messages = self.store.messages(chat, range, Order::OldestFirst, usize::MAX).await?;
            let mut changed = Vec::new();
            if member.is_present() {
                for (_, seq) in self.store.changes(chat, held.rev, state.rev, usize::MAX).await? {
                    let range = SeqRange { after: seq - 1, upto: seq };
                    changed.extend(self.store.messages(chat, range, Order::OldestFirst, 1).await?);
                }
            }
            let mut sessions = self.sessions.0.lock().unwrap();
            let copy = sessions.entry(user.clone()).or_default().entry(chat).or_default();
            copy.seq = copy.seq.max(member.join_seq.min(range.upto));
            for stored in messages {
                if stored.message.seq > copy.seq {
                    copy.seq = stored.message.seq;
                    copy.messages.insert(stored.message.seq, content(&stored));
                }
            }
            for stored in changed {
                if let Some(held) = copy.messages.get_mut(&stored.message.seq) {
                    *held = content(&stored);
                }
            }
            if member.is_present() {
                copy.rev = copy.rev.max(state.rev);
            }
        }
        Ok(())
    }
}

impl Copy {
    fn change(&mut self, seq: Seq, rev: Rev, content: &str) -> bool {
        if rev == self.rev + 1
            && let Some((_, held)) = self.messages.get_mut(&seq)
        {
            self.rev = rev;
            content.clone_into(held);
            return true;
        }
        rev <= self.rev
    }
}

fn content(stored: &StoredMessage) -> (MessageId, String) {
    (stored.message.message_id, stored.message.content.clone())
}

/// Names a gateway.
pub(crate) fn gateway_id(n: usize) -> GatewayId {
    GatewayId::new(&format!("gateway-{n}"), "boot")
}
