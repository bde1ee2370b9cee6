//! What every presence table must do, as checks. [`presence_contract!`](crate::presence_contract) makes one test of
//! each.
//!
//! Every check uses its own gateways and users, so that engines may share one server between tests. What `expired`
//! hands out belongs to whoever asks first: run the checks of one engine one after the other where they share a table.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a check fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{PRESENCE_TTL_MS, PresenceTable, WATCH_TTL_MS};
use crate::id::{GatewayId, UserId};

/// Long enough for a mark to run out on any engine.
const PAST_A_MARK: Duration = Duration::from_millis(PRESENCE_TTL_MS + 1_000);

/// A presence table under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Returns the table.
    fn presence(&self) -> Arc<dyn PresenceTable>;

    /// Lets time pass on the engine's own clock. As given it waits, which costs nothing where tokio's time is paused.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Makes one test of each check: `presence_contract!([#[tokio::test]], subject)`. The first argument is the test
/// attribute, the second an expression, evaluated in each test, of a type that is a [`Subject`].
#[macro_export]
macro_rules! presence_contract {
    ($test:tt, $subject:expr) => {
        $crate::presence_contract! { $test, $subject,
            a_touch_marks_online_and_tells_of_it_once,
            one_of_many_touches_at_once_is_told,
            a_mark_runs_out_and_a_touch_prolongs_it,
            clearing_marks_offline_at_once,
            what_ran_out_is_handed_out_once,
            who_came_back_is_not_handed_out,
            who_was_cleared_is_not_handed_out,
            clearing_what_ran_out_leaves_it_to_be_handed_out,
            no_more_than_asked_is_handed_out,
            watches_are_remembered_and_forgotten,
            a_watch_ends_without_a_renewal,
        }
    };
    ($test:tt, $subject:expr, $($check:ident,)+) => {
        $($crate::presence_contract! { @one $test, $subject, $check })+
    };
    (@one [$($test:tt)*], $subject:expr, $check:ident) => {
        $($test)*
        async fn $check() {
            $crate::presence::contract::$check(&$subject).await;
        }
    };
}

fn a_gateway() -> GatewayId {
    GatewayId::new("contract", &Uuid::now_v7().to_string())
}

fn a_user() -> UserId {
    UserId::new(&Uuid::now_v7().to_string()).expect("a UUID is a user id")
}

/// Takes all that ran out, of these users; others are left over from other checks.
async fn expired_of(presence: &dyn PresenceTable, users: &[UserId]) -> Vec<UserId> {
    let mut taken = Vec::new();
    loop {
        let batch = presence.expired(100).await.unwrap();
        if batch.is_empty() {
            break;
        }
        taken.extend(batch.into_iter().filter(|user| users.contains(user)));
    }
    taken.sort();
    taken
}

/// The answers are in the order asked; the first touch tells, later ones do not.
pub async fn a_touch_marks_online_and_tells_of_it_once(subject: &dyn Subject) {
    let presence = subject.presence();
    let (a, b, c) = (a_user(), a_user(), a_user());
    assert_eq!(presence.online(&[a.clone(), b.clone()]).await.unwrap(), [false, false]);
    assert_eq!(presence.touch(&[a.clone(), b.clone()]).await.unwrap(), [true, true]);
    assert_eq!(presence.touch(&[c.clone(), a.clone()]).await.unwrap(), [true, false]);
    assert_eq!(presence.online(&[c, a_user(), b, a]).await.unwrap(), [true, false, true, true]);
    assert_eq!(presence.touch(&[]).await.unwrap(), Vec::<bool>::new());
    assert_eq!(presence.online(&[]).await.unwrap(), Vec::<bool>::new());
}

/// Exactly one caller is told of a transition.
pub async fn one_of_many_touches_at_once_is_told(subject: &dyn Subject) {
    let (presence, user) = (subject.presence(), a_user());
    let mut touches = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (presence, user) = (Arc::clone(&presence), user.clone());
        touches.spawn(async move { presence.touch(&[user]).await.unwrap()[0] });
    }
    let told = touches.join_all().await.into_iter().filter(|was_offline| *was_offline).count();
    assert_eq!(told, 1);
}

/// A mark lives as long as its last touch says.
pub async fn a_mark_runs_out_and_a_touch_prolongs_it(subject: &dyn Subject) {
    let (presence, user) = (subject.presence(), [a_user()]);
    presence.touch(&user).await.unwrap();
    for _ in 0..2 {
        subject.pass(Duration::from_millis(PRESENCE_TTL_MS * 2 / 3)).await;
        assert_eq!(presence.touch(&user).await.unwrap(), [false]);
    }
    subject.pass(PAST_A_MARK).await;
    assert_eq!(presence.online(&user).await.unwrap(), [false]);
    assert_eq!(presence.touch(&user).await.unwrap(), [true]);
}

/// The one who clears is told whether the user was online; the next touch is a transition again.
pub async fn clearing_marks_offline_at_once(subject: &dyn Subject) {
    let (presence, user) = (subject.presence(), [a_user()]);
    assert!(!presence.clear(&user[0]).await.unwrap());
    presence.touch(&user).await.unwrap();
    assert!(presence.clear(&user[0]).await.unwrap());
    assert!(!presence.clear(&user[0]).await.unwrap());
    assert_eq!(presence.online(&user).await.unwrap(), [false]);
    assert_eq!(presence.touch(&user).await.unwrap(), [true]);
}

/// Each user goes to one caller, once, whoever asks at the same time.
pub async fn what_ran_out_is_handed_out_once(subject: &dyn Subject) {
    let presence = subject.presence();
    let mut users: Vec<UserId> = (0..250).map(|_| a_user()).collect();
    users.sort();
    presence.touch(&users).await.unwrap();
    assert_eq!(expired_of(&*presence, &users).await, []);
    subject.pass(PAST_A_MARK).await;
    let (one, other) = tokio::join!(expired_of(&*presence, &users), expired_of(&*presence, &users));
    let mut taken = [one, other].concat();
    taken.sort();
    assert_eq!(taken, users);
    assert_eq!(expired_of(&*presence, &users).await, []);
}

/// A touch after the mark ran out takes the user off the list.
pub async fn who_came_back_is_not_handed_out(subject: &dyn Subject) {
    let (presence, users) = (subject.presence(), [a_user(), a_user()]);
    presence.touch(&users).await.unwrap();
    subject.pass(PAST_A_MARK).await;
    assert_eq!(presence.touch(&users[..1]).await.unwrap(), [true]);
    assert_eq!(expired_of(&*presence, &users).await, users[1..]);
    subject.pass(PAST_A_MARK).await;
    assert_eq!(expired_of(&*presence, &users).await, users[..1], "the new mark runs out too");
}

/// Who was told by `clear` is not told again.
pub async fn who_was_cleared_is_not_handed_out(subject: &dyn Subject) {
    let (presence, user) = (subject.presence(), [a_user()]);
    presence.touch(&user).await.unwrap();
    presence.clear(&user[0]).await.unwrap();
    subject.pass(PAST_A_MARK).await;
    assert_eq!(expired_of(&*presence, &user).await, []);
}

/// A clear that comes too late tells nobody, so the hand-out must.
pub async fn clearing_what_ran_out_leaves_it_to_be_handed_out(subject: &dyn Subject) {
    let (presence, user) = (subject.presence(), [a_user()]);
    presence.touch(&user).await.unwrap();
    subject.pass(PAST_A_MARK).await;
    assert!(!presence.clear(&user[0]).await.unwrap());
    assert_eq!(expired_of(&*presence, &user).await, user);
}

/// The limit holds, and the rest stays.
pub async fn no_more_than_asked_is_handed_out(subject: &dyn Subject) {
    let presence = subject.presence();
    let users: Vec<UserId> = (0..5).map(|_| a_user()).collect();
    presence.touch(&users).await.unwrap();
    subject.pass(PAST_A_MARK).await;
    assert_eq!(presence.expired(0).await.unwrap(), []);
    let mut taken = 0;
    while taken < users.len() {
        let batch = presence.expired(2).await.unwrap();
        assert!((1..=2).contains(&batch.len()), "{} handed out of 2 asked for", batch.len());
        taken += batch.iter().filter(|user| users.contains(user)).count();
    }
    assert_eq!(expired_of(&*presence, &users).await, []);
}

/// Several gateways may watch a user; forgetting concerns one of them.
pub async fn watches_are_remembered_and_forgotten(subject: &dyn Subject) {
    let (presence, one, other, users) = (subject.presence(), a_gateway(), a_gateway(), [a_user(), a_user()]);
    assert_eq!(presence.watchers(&users[0]).await.unwrap(), []);
    presence.watch(&one, &users).await.unwrap();
    presence.watch(&one, &users).await.unwrap();
    presence.watch(&other, &users[..1]).await.unwrap();
    let mut watchers = presence.watchers(&users[0]).await.unwrap();
    watchers.sort();
    assert_eq!(watchers, [one.clone().min(other.clone()), one.clone().max(other.clone())]);
    assert_eq!(presence.watchers(&users[1]).await.unwrap(), std::slice::from_ref(&one));
    presence.unwatch(&one, &[users[0].clone(), a_user()]).await.unwrap();
    assert_eq!(presence.watchers(&users[0]).await.unwrap(), [other]);
    assert_eq!(presence.watchers(&users[1]).await.unwrap(), [one]);
}

/// A gateway that died watches no longer than its last renewal says.
pub async fn a_watch_ends_without_a_renewal(subject: &dyn Subject) {
    let (presence, one, other, users) = (subject.presence(), a_gateway(), a_gateway(), [a_user()]);
    presence.watch(&one, &users).await.unwrap();
    presence.watch(&other, &users).await.unwrap();
    subject.pass(Duration::from_millis(WATCH_TTL_MS / 2)).await;
    presence.watch(&other, &users).await.unwrap();
    subject.pass(Duration::from_millis(WATCH_TTL_MS / 2 + 1_000)).await;
    assert_eq!(presence.watchers(&users[0]).await.unwrap(), [other]);
}
