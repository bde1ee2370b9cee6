//! Telling: from what a batch settled to one envelope a gateway, and to the records of `events` and `push`.
//!
//! One route lookup a batch. Waiting is bounded: envelopes that the relay does not take in time are given up, and the
//! gateways they were for are told to resync as soon as the relay answers again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chat_core::event::{Event, Fact, PushRecord};
use chat_core::frame::Message;
use chat_core::id::{GatewayId, Seq, UserId};
use chat_core::message_log::{Append, Topic};
use chat_core::message_store::Roster;
use chat_core::relay::{Envelope, Item, Relay};
use futures_util::future::join_all;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::timeout;
use tracing::warn;

use super::batch::Settled;

/// How long one call to the relay may take.
const RELAY_DEADLINE: Duration = Duration::from_secs(1);

/// The gateways of each user of a batch.
type Routes = FxHashMap<UserId, Vec<GatewayId>>;

/// Tells gateways what a partition settled.
#[derive(Debug)]
pub(super) struct Fanout {
    relay: Arc<dyn Relay>,
    /// Gateways that missed envelopes.
    owed: BTreeSet<GatewayId>,
    /// Users whose routes could not be looked up: their gateways missed something.
    unreached: BTreeSet<UserId>,
}

/// How many users are remembered for a later lookup. In an outage that meets more, gateways find their registrations
/// failing and sync by themselves.
const UNREACHED_MAX: usize = 65_536;

impl Fanout {
    pub(super) fn new(relay: Arc<dyn Relay>) -> Self {
        Self { relay, owed: BTreeSet::new(), unreached: BTreeSet::new() }
    }

    /// Returns whether gateways are still to be told that they missed something.
    pub(super) fn owes(&self) -> bool {
        !self.owed.is_empty() || !self.unreached.is_empty()
    }

    /// Relays a batch, which may be empty, and tells gateways what they missed before. Returns who was connected, for
    /// the push records.
    pub(super) async fn relay(&mut self, settled: &[(Settled, Vec<Arc<Event>>)]) -> Connected {
        let routes = self.look_up(audience(settled)).await;
        let mut envelopes = envelopes(settled, &routes);
        for gateway in &self.owed {
            envelopes.entry(gateway.clone()).or_default().insert(0, Item::Resync);
        }
        let published = join_all(envelopes.into_iter().map(|(gateway, items)| async {
            let sent = timeout(RELAY_DEADLINE, self.relay.publish(&gateway, Envelope { items })).await;
            (gateway, matches!(sent, Ok(Ok(()))))
        }));
        for (gateway, sent) in published.await {
            if sent {
                self.owed.remove(&gateway);
            } else {
                warn!(%gateway, "give up an envelope");
                self.owed.insert(gateway);
            }
        }
        Connected(routes)
    }

    /// Looks up a batch's audience, and in the same call who was not reached before.
    async fn look_up(&mut self, mut users: Vec<UserId>) -> Routes {
        let asked = users.len();
        users.extend(self.unreached.iter().cloned());
        if users.is_empty() {
            return Routes::default();
        }
        match timeout(RELAY_DEADLINE, self.relay.routes(&users)).await {
            Ok(Ok(mut found)) => {
                self.owed.extend(found.drain(asked..).flatten());
                self.unreached.clear();
                users.into_iter().zip(found).collect()
            }
            outcome => {
                warn!(?outcome, "look up routes");
                users.truncate(asked);
                self.unreached.extend(users);
                while self.unreached.len() > UNREACHED_MAX {
                    self.unreached.pop_last();
                }
                Routes::default()
            }
        }
    }
}

/// Who of a batch's audience had a route.
#[derive(Debug)]
pub(super) struct Connected(Routes);

impl Connected {
    fn has(&self, user: &UserId) -> bool {
        self.0.get(user).is_some_and(|gateways| !gateways.is_empty())
    }
}

/// Makes the events of what was settled.
pub(super) fn events(settled: &Settled) -> Vec<Arc<Event>> {
    let event = |fact: &Fact| {
        Arc::new(Event {
            v: Event::FORMAT,
            chat_id: settled.verdict.chat_id,
            position: settled.position,
            ts: settled.ts,
            fact: fact.clone(),
        })
    };
    settled.facts.iter().map(event).collect()
}

/// Makes the records of `events` and `push`.
pub(super) fn records(
    settled: &[(Settled, Vec<Arc<Event>>)],
    connected: &Connected,
    events_partitions: u32,
    push_partitions: u32,
) -> Vec<Append> {
    let mut appends = Vec::new();
    for (settled, events) in settled {
        let chat_id = settled.verdict.chat_id;
        let key = bytes::Bytes::from(chat_id.to_string());
        for event in events {
            appends.push(Append {
                topic: Topic::Events,
                partition: chat_core::message_log::partition_of(chat_id, events_partitions),
                key: key.clone(),
                payload: event.encode(),
                headers: Vec::new(),
            });
            let Fact::Message(message) = &event.fact else { continue };
            appends.push(Append {
                topic: Topic::Push,
                partition: chat_core::message_log::partition_of(chat_id, push_partitions),
                key: key.clone(),
                payload: push_record(settled, message, connected).encode(),
                headers: Vec::new(),
            });
        }
    }
    appends
}

fn push_record(settled: &Settled, message: &Message, connected: &Connected) -> PushRecord {
    let offline = settled.audience.users().filter(|user| **user != message.sender && !connected.has(user));
    PushRecord {
        v: PushRecord::FORMAT,
        chat_id: message.chat_id,
        seq: message.seq,
        message_id: message.message_id,
        sender: message.sender.clone(),
        created_at: message.created_at,
        roster_at: settled.roster_at,
        offline: offline.cloned().collect(),
    }
}

/// Returns everyone who is to hear of something, once.
fn audience(settled: &[(Settled, Vec<Arc<Event>>)]) -> Vec<UserId> {
    let mut rosters = FxHashSet::default();
    let told = settled.iter().filter(|(settled, _)| !settled.facts.is_empty());
    let distinct: Vec<&Arc<Roster>> =
        told.map(|(settled, _)| &settled.audience).filter(|roster| rosters.insert(Arc::as_ptr(roster))).collect();
    if let [only] = distinct.as_slice() {
        return only.users().cloned().collect();
    }
    let users: FxHashSet<&UserId> = distinct.iter().flat_map(|roster| roster.users()).collect();
    users.into_iter().cloned().collect()
}

/// Who of one roster each gateway holds.
type Recipients = Vec<(GatewayId, Arc<[UserId]>)>;

/// Sorts facts and verdicts into one list a gateway, in log order.
fn envelopes(settled: &[(Settled, Vec<Arc<Event>>)], routes: &Routes) -> FxHashMap<GatewayId, Vec<Item>> {
    let mut items: FxHashMap<GatewayId, Vec<Item>> = FxHashMap::default();
    // Consecutive facts of a chat have the same roster: its recipients are worked out once and shared.
    let mut shared: FxHashMap<(*const Roster, Seq), Recipients> = FxHashMap::default();
    for (settled, events) in settled {
        for event in events {
            let roster = &settled.audience;
            let floor = floor(event, roster);
            let recipients =
                shared.entry((Arc::as_ptr(roster), floor)).or_insert_with(|| recipients(roster, floor, routes));
            for (gateway, recipients) in recipients {
                let item = Item::Event { event: Arc::clone(event), recipients: Arc::clone(recipients) };
                items.entry(gateway.clone()).or_default().push(item);
            }
        }
        if let Some(gateway) = &settled.reply_to {
            items.entry(gateway.clone()).or_default().push(Item::Verdict(settled.verdict.clone()));
        }
    }
    items
}

/// Returns the seq that a recipient must have joined below: edits and deletes of older messages are not theirs to see.
/// The highest possible where nobody is left out.
fn floor(event: &Event, roster: &Roster) -> Seq {
    match event.fact {
        Fact::Updated { seq, .. } | Fact::Deleted { seq, .. }
            if roster.members().iter().any(|member| member.join_seq >= seq) =>
        {
            seq
        }
        _ => Seq::MAX,
    }
}

fn recipients(roster: &Roster, floor: Seq, routes: &Routes) -> Recipients {
    let mut held: FxHashMap<&GatewayId, Vec<UserId>> = FxHashMap::default();
    for member in roster.members().iter().filter(|member| member.join_seq < floor) {
        for gateway in routes.get(&member.user).into_iter().flatten() {
            held.entry(gateway).or_default().push(member.user.clone());
        }
    }
    held.into_iter().map(|(gateway, users)| (gateway.clone(), users.into())).collect()
}
