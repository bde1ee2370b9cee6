//! What every store of poll positions must do, as checks.
//! [`poll_positions_contract!`](crate::poll_positions_contract) makes one test of each.
//!
//! Every check uses its own ids, so that engines may share one server between tests.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a check fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{ChatPosition, POSITIONS_TTL_MS, PollPositions, Positions};
use crate::clock::Time;
use crate::id::{ChatId, UserId};

/// Positions under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Returns the store.
    fn positions(&self) -> Arc<dyn PollPositions>;

    /// Lets time pass on the engine's own clock. As given it waits, which costs nothing where tokio's time is paused.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// Makes one test of each check: `poll_positions_contract!([#[tokio::test]], subject)`. The first argument is the test
/// attribute, the second an expression, evaluated in each test, of a type that is a [`Subject`].
#[macro_export]
macro_rules! poll_positions_contract {
    ($test:tt, $subject:expr) => {
        $crate::poll_positions_contract! { $test, $subject,
            what_is_put_is_got_as_often_as_asked,
            what_nobody_put_is_not_there,
            positions_run_out,
            putting_again_replaces_and_prolongs,
        }
    };
    ($test:tt, $subject:expr, $($check:ident,)+) => {
        $($crate::poll_positions_contract! { @one $test, $subject, $check })+
    };
    (@one [$($test:tt)*], $subject:expr, $check:ident) => {
        $($test)*
        async fn $check() {
            $crate::poll_positions::contract::$check(&$subject).await;
        }
    };
}

fn some(seq: u64) -> Positions {
    let chat = |seq, rev| ChatPosition { chat_id: ChatId(Uuid::now_v7()), seq, rev };
    Positions {
        user: UserId::new(&Uuid::now_v7().to_string()).unwrap(),
        since: Time::from_millis(1_764_000_000_123),
        chats: vec![chat(seq, Some(3)), chat(1, None)],
    }
}

/// Reading changes nothing.
pub async fn what_is_put_is_got_as_often_as_asked(subject: &dyn Subject) {
    let (store, one, other) = (subject.positions(), Uuid::now_v7(), Uuid::now_v7());
    let (of_one, of_other) = (some(7), Positions { chats: Vec::new(), ..some(0) });
    store.put(one, of_one.clone()).await.unwrap();
    store.put(other, of_other.clone()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.get(one).await.unwrap().as_ref(), Some(&of_one));
        assert_eq!(store.get(other).await.unwrap().as_ref(), Some(&of_other));
    }
}

/// An unknown id is no error.
pub async fn what_nobody_put_is_not_there(subject: &dyn Subject) {
    assert_eq!(subject.positions().get(Uuid::now_v7()).await.unwrap(), None);
}

/// Nothing is returned after its time.
pub async fn positions_run_out(subject: &dyn Subject) {
    let (store, id) = (subject.positions(), Uuid::now_v7());
    store.put(id, some(1)).await.unwrap();
    subject.pass(Duration::from_millis(POSITIONS_TTL_MS / 2)).await;
    assert!(store.get(id).await.unwrap().is_some());
    subject.pass(Duration::from_millis(POSITIONS_TTL_MS / 2 + 1_000)).await;
    assert_eq!(store.get(id).await.unwrap(), None);
}

/// The later put holds, for its own time.
pub async fn putting_again_replaces_and_prolongs(subject: &dyn Subject) {
    let (store, id, later) = (subject.positions(), Uuid::now_v7(), some(9));
    store.put(id, some(1)).await.unwrap();
    subject.pass(Duration::from_millis(POSITIONS_TTL_MS / 2)).await;
    store.put(id, later.clone()).await.unwrap();
    subject.pass(Duration::from_millis(POSITIONS_TTL_MS * 3 / 4)).await;
    assert_eq!(store.get(id).await.unwrap(), Some(later));
    subject.pass(Duration::from_millis(POSITIONS_TTL_MS / 4 + 1_000)).await;
    assert_eq!(store.get(id).await.unwrap(), None);
}
