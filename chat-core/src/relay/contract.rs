//! What every relay must do, as checks. [`relay_contract!`](crate::relay_contract) makes one test of each.
//!
//! Every check uses its own gateways and users, so that engines may share one server between tests.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a check fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Envelope, Inbox, Item, ROUTE_TTL_MS, Registered, Relay};
use crate::clock::Time;
use crate::codes::ErrorCode;
use crate::event::{Event, Fact, Outcome, Verdict};
use crate::frame::Push;
use crate::id::{ChatId, GatewayId, UserId};
use crate::message_log::Position;

/// How long a check waits for what must come.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long nothing must come before a check takes it that nothing will.
const QUIET: Duration = Duration::from_millis(500);

/// A relay under test, without faults in its way.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Returns the relay.
    fn relay(&self) -> Arc<dyn Relay>;

    /// Lets time pass on the engine's own clock. As given it waits, which costs nothing where tokio's time is paused.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Makes one test of each check: `relay_contract!([#[tokio::test]], subject)`. The first argument is the test
/// attribute, the second an expression, evaluated in each test, of a type that is a [`Subject`].
#[macro_export]
macro_rules! relay_contract {
    ($test:tt, $subject:expr) => {
        $crate::relay_contract! { $test, $subject,
            envelopes_arrive_whole_and_numbered_from_one,
            each_gateway_has_its_own_numbers,
            the_counter_counts_what_nobody_received,
            numbers_go_on_in_a_new_inbox,
            concurrent_envelopes_take_different_numbers,
            publishing_never_waits_for_a_slow_gateway,
            waiting_for_the_next_envelope_is_cancel_safe,
            routes_come_in_the_order_asked,
            a_registration_is_new_once_and_refreshed_after,
            a_route_ends_without_a_refresh,
            a_late_refresh_is_new_whatever_others_do,
            a_refresh_prolongs_a_route,
            unregistering_drops_the_routes_of_one_gateway,
            asking_for_nothing_is_answered_with_nothing,
        }
    };
    ($test:tt, $subject:expr, $($check:ident,)+) => {
        $($crate::relay_contract! { @one $test, $subject, $check })+
    };
    (@one [$($test:tt)*], $subject:expr, $check:ident) => {
        $($test)*
        async fn $check() {
            $crate::relay::contract::$check(&$subject).await;
        }
    };
}

fn a_gateway() -> GatewayId {
    GatewayId::new("contract", &Uuid::now_v7().to_string())
}

fn a_user() -> UserId {
    UserId::new(&Uuid::now_v7().to_string()).expect("a UUID is a user id")
}

/// Makes an envelope that is told apart from others by `n`, with one item of each kind.
fn an_envelope(n: u64) -> Envelope {
    let (chat_id, user) = (ChatId(Uuid::from_u128(u128::from(n))), a_user());
    let recipients: Arc<[UserId]> = [user.clone(), a_user()].into();
    let fact = Fact::Deleted { seq: n, rev: 1, deleted_at: Time::from_millis(n) };
    let event = Event { v: Event::FORMAT, chat_id, position: Position::default(), ts: n, fact };
    let push = Push::Typing { chat_id, user: user.clone(), active: true };
    let outcome = Outcome::Refused { code: ErrorCode::Forbidden };
    let verdict = Verdict { chat_id, actor: user, id: Uuid::now_v7(), is_send: true, outcome };
    Envelope {
        items: vec![
            Item::Event { event: Arc::new(event), recipients: Arc::clone(&recipients) },
            Item::Frame { push: Arc::new(push), recipients },
            Item::Verdict(verdict),
        ],
    }
}

async fn next(inbox: &mut dyn Inbox) -> (u64, Envelope) {
    timeout(DEADLINE, inbox.next()).await.expect("an envelope must arrive").expect("the subscription must live")
}

/// Numbers begin at 1 and rise by 1, and an envelope arrives as it was sent.
pub async fn envelopes_arrive_whole_and_numbered_from_one(subject: &dyn Subject) {
    let (relay, gateway) = (subject.relay(), a_gateway());
    let mut inbox = relay.open(&gateway).await.unwrap();
    assert_eq!(inbox.counter().await.unwrap(), 0);
    let sent: Vec<Envelope> = (1..=20).map(an_envelope).collect();
    for envelope in &sent {
        relay.publish(&gateway, envelope.clone()).await.unwrap();
    }
    let mut received = Vec::new();
    for _ in &sent {
        received.push(next(&mut *inbox).await);
    }
    // The contract allows another order; the number says which is which.
    received.sort_by_key(|(number, _)| *number);
    assert_eq!(received, (1..).zip(sent).collect::<Vec<_>>());
    assert_eq!(inbox.counter().await.unwrap(), 20);
}

/// An envelope goes to one gateway and takes a number of its channel only.
pub async fn each_gateway_has_its_own_numbers(subject: &dyn Subject) {
    let (relay, one, other) = (subject.relay(), a_gateway(), a_gateway());
    let mut inbox_of_one = relay.open(&one).await.unwrap();
    let mut inbox_of_other = relay.open(&other).await.unwrap();
    relay.publish(&one, Envelope::default()).await.unwrap();
    relay.publish(&one, Envelope::default()).await.unwrap();
    let marked = an_envelope(1);
    relay.publish(&other, marked.clone()).await.unwrap();
    assert_eq!(next(&mut *inbox_of_other).await, (1, marked));
    next(&mut *inbox_of_one).await;
    next(&mut *inbox_of_one).await;
    assert!(timeout(QUIET, inbox_of_one.next()).await.is_err());
    assert_eq!((inbox_of_one.counter().await.unwrap(), inbox_of_other.counter().await.unwrap()), (2, 1));
}

/// Publishing without a subscriber is no error and takes numbers.
pub async fn the_counter_counts_what_nobody_received(subject: &dyn Subject) {
    let (relay, gateway) = (subject.relay(), a_gateway());
    for n in 1..=3 {
        relay.publish(&gateway, an_envelope(n)).await.unwrap();
    }
    let inbox = relay.open(&gateway).await.unwrap();
    assert_eq!(inbox.counter().await.unwrap(), 3);
}

/// A closed inbox loses envelopes, never numbers.
pub async fn numbers_go_on_in_a_new_inbox(subject: &dyn Subject) {
    let (relay, gateway) = (subject.relay(), a_gateway());
    let mut inbox = relay.open(&gateway).await.unwrap();
    relay.publish(&gateway, an_envelope(1)).await.unwrap();
    assert_eq!(next(&mut *inbox).await.0, 1);
    drop(inbox);
    relay.publish(&gateway, an_envelope(2)).await.unwrap();
    let mut inbox = relay.open(&gateway).await.unwrap();
    relay.publish(&gateway, an_envelope(3)).await.unwrap();
    assert_eq!(next(&mut *inbox).await.0, 3);
    assert_eq!(inbox.counter().await.unwrap(), 3);
}

/// Publishers do not share numbers.
pub async fn concurrent_envelopes_take_different_numbers(subject: &dyn Subject) {
    let (relay, gateway) = (subject.relay(), a_gateway());
    let mut inbox = relay.open(&gateway).await.unwrap();
    let mut publishers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (relay, gateway) = (Arc::clone(&relay), gateway.clone());
        publishers.spawn(async move {
            for n in 0..25 {
                relay.publish(&gateway, an_envelope(n)).await.unwrap();
            }
        });
    }
    publishers.join_all().await;
    let mut numbers = Vec::new();
    for _ in 0..200 {
        numbers.push(next(&mut *inbox).await.0);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
}

/// A gateway that does not read loses envelopes; the publisher does not wait and the numbers go on.
pub async fn publishing_never_waits_for_a_slow_gateway(subject: &dyn Subject) {
    const SENT: u64 = 20_000;
    let (relay, gateway) = (subject.relay(), a_gateway());
    let mut inbox = relay.open(&gateway).await.unwrap();
    let publish_all = async {
        for _ in 0..SENT {
            relay.publish(&gateway, Envelope::default()).await.unwrap();
        }
    };
    timeout(Duration::from_mins(1), publish_all).await.expect("publishing must not wait");
    assert_eq!(inbox.counter().await.unwrap(), SENT);

    let mut seen = std::collections::BTreeSet::new();
    while let Ok(arrived) = timeout(QUIET, inbox.next()).await {
        // An engine may also cut off a subscriber this slow.
        let Ok((number, _)) = arrived else { return };
        assert!(number <= SENT && seen.insert(number), "number {number} came twice or was never taken");
    }
    let marked = an_envelope(1);
    relay.publish(&gateway, marked.clone()).await.unwrap();
    assert_eq!(next(&mut *inbox).await, (SENT + 1, marked));
}

/// A dropped wait loses nothing.
pub async fn waiting_for_the_next_envelope_is_cancel_safe(subject: &dyn Subject) {
    let (relay, gateway) = (subject.relay(), a_gateway());
    let mut inbox = relay.open(&gateway).await.unwrap();
    for number in 1..=20 {
        assert!(timeout(Duration::from_millis(1), inbox.next()).await.is_err());
        relay.publish(&gateway, an_envelope(number)).await.unwrap();
        // Cancelled at whatever point the arrival has reached.
        if let Ok(arrived) = timeout(Duration::ZERO, inbox.next()).await {
            assert_eq!(arrived.unwrap().0, number);
        } else {
            assert_eq!(next(&mut *inbox).await.0, number);
        }
    }
}

/// Lookups answer in the order asked, and with nothing for users nobody registered.
pub async fn routes_come_in_the_order_asked(subject: &dyn Subject) {
    let (relay, one, other) = (subject.relay(), a_gateway(), a_gateway());
    let users: Vec<UserId> = (0..500).map(|_| a_user()).collect();
    relay.register(&one, &users[..250]).await.unwrap();
    relay.register(&other, &users[200..400]).await.unwrap();
    let routes = relay.routes(&users).await.unwrap();
    assert_eq!(routes.len(), 500);
    for (n, mut found) in routes.into_iter().enumerate() {
        let mut expected = Vec::new();
        expected.extend((n < 250).then(|| one.clone()));
        expected.extend((200..400).contains(&n).then(|| other.clone()));
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "routes of user {n}");
    }
}

/// The answers tell of each user, in the order asked, whether an unexpired route of this gateway was there.
pub async fn a_registration_is_new_once_and_refreshed_after(subject: &dyn Subject) {
    let (relay, one, other) = (subject.relay(), a_gateway(), a_gateway());
    let (a, b, c) = (a_user(), a_user(), a_user());
    let registered = relay.register(&one, &[a.clone(), b.clone()]).await.unwrap();
    assert_eq!(registered, [Registered::New, Registered::New]);
    let registered = relay.register(&one, &[c.clone(), b.clone(), a.clone()]).await.unwrap();
    assert_eq!(registered, [Registered::New, Registered::Refreshed, Registered::Refreshed]);
    let registered = relay.register(&other, &[a, b, c]).await.unwrap();
    assert_eq!(registered, [Registered::New; 3], "routes of another gateway do not count");
}

/// Without a refresh a route is gone after its time, and its next registration is new.
pub async fn a_route_ends_without_a_refresh(subject: &dyn Subject) {
    let (relay, gateway, user) = (subject.relay(), a_gateway(), a_user());
    relay.register(&gateway, std::slice::from_ref(&user)).await.unwrap();
    subject.pass(Duration::from_millis(ROUTE_TTL_MS - 5_000)).await;
    assert_eq!(relay.routes(std::slice::from_ref(&user)).await.unwrap(), [vec![gateway.clone()]]);
    subject.pass(Duration::from_secs(6)).await;
    assert_eq!(relay.routes(std::slice::from_ref(&user)).await.unwrap(), [vec![]]);
    assert_eq!(relay.register(&gateway, std::slice::from_ref(&user)).await.unwrap(), [Registered::New]);
    assert_eq!(relay.routes(&[user]).await.unwrap(), [vec![gateway]]);
}

/// A route that ran out is new, also where the engine has had no reason yet to forget it.
pub async fn a_late_refresh_is_new_whatever_others_do(subject: &dyn Subject) {
    let (relay, gateway, late, other) = (subject.relay(), a_gateway(), [a_user()], [a_user()]);
    relay.register(&gateway, &other).await.unwrap();
    subject.pass(Duration::from_millis(ROUTE_TTL_MS / 3)).await;
    relay.register(&gateway, &late).await.unwrap();
    subject.pass(Duration::from_millis(ROUTE_TTL_MS * 2 / 3)).await;
    relay.register(&gateway, &other).await.unwrap();
    subject.pass(Duration::from_millis(ROUTE_TTL_MS / 2)).await;
    assert_eq!(relay.register(&gateway, &late).await.unwrap(), [Registered::New]);
    assert_eq!(relay.register(&gateway, &other).await.unwrap(), [Registered::Refreshed]);
}

/// A refresh counts from when it was made.
pub async fn a_refresh_prolongs_a_route(subject: &dyn Subject) {
    let (relay, gateway, user) = (subject.relay(), a_gateway(), a_user());
    relay.register(&gateway, std::slice::from_ref(&user)).await.unwrap();
    for _ in 0..3 {
        subject.pass(Duration::from_millis(ROUTE_TTL_MS * 2 / 3)).await;
        let registered = relay.register(&gateway, std::slice::from_ref(&user)).await.unwrap();
        assert_eq!(registered, [Registered::Refreshed]);
    }
    assert_eq!(relay.routes(&[user]).await.unwrap(), [vec![gateway]]);
}

/// Other gateways and other users keep their routes; what was not there is no error.
pub async fn unregistering_drops_the_routes_of_one_gateway(subject: &dyn Subject) {
    let (relay, one, other) = (subject.relay(), a_gateway(), a_gateway());
    let users = [a_user(), a_user()];
    relay.register(&one, &users).await.unwrap();
    relay.register(&other, &users).await.unwrap();
    relay.unregister(&one, &[users[0].clone(), a_user()]).await.unwrap();
    let mut routes = relay.routes(&users).await.unwrap();
    routes[1].sort();
    assert_eq!(routes, [vec![other.clone()], vec![one.clone().min(other.clone()), one.clone().max(other)]]);
    assert_eq!(relay.register(&one, &users).await.unwrap(), [Registered::New, Registered::Refreshed]);
}

/// Empty lists and empty envelopes are no special case.
pub async fn asking_for_nothing_is_answered_with_nothing(subject: &dyn Subject) {
    let (relay, gateway) = (subject.relay(), a_gateway());
    assert_eq!(relay.register(&gateway, &[]).await.unwrap(), []);
    relay.unregister(&gateway, &[]).await.unwrap();
    assert_eq!(relay.routes(&[]).await.unwrap(), Vec::<Vec<GatewayId>>::new());
    let mut inbox = relay.open(&gateway).await.unwrap();
    relay.publish(&gateway, Envelope::default()).await.unwrap();
    assert_eq!(next(&mut *inbox).await, (1, Envelope::default()));
}
