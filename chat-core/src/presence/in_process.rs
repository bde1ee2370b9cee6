//! The presence table of a single process. Losing the process loses it all, which heartbeats restore.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use tokio::time::{Duration, Instant};

use super::{PRESENCE_TTL_MS, PresenceError, PresenceTable, WATCH_TTL_MS};
use crate::id::{GatewayId, UserId};
use crate::relay::leases::Leases;

/// How long a mark that ran out waits for [`expired`](PresenceTable::expired). By then no watch made before it is
/// left, so there is nobody to tell; a table without a sweeper stays bounded by it.
const UNCLAIMED_TTL: Duration = Duration::from_millis(WATCH_TTL_MS);

/// Keeps presence within one process. Clones are ends of the same table. No call fails.
#[derive(Clone)]
pub struct InProcessPresence(Arc<Shared>);

struct Shared {
    marks: Mutex<Marks>,
    watches: RwLock<Leases>,
}

/// Who is marked, and until when; one entry a user in both.
#[derive(Default)]
struct Marks {
    until: FxHashMap<UserId, Instant>,
    due: BTreeSet<(Instant, UserId)>,
}

impl InProcessPresence {
    /// Makes an empty table.
    pub fn new() -> Self {
        let watches = RwLock::new(Leases::new(Duration::from_millis(WATCH_TTL_MS)));
        Self(Arc::new(Shared { marks: Mutex::default(), watches }))
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for InProcessPresence {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InProcessPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessPresence").finish_non_exhaustive()
    }
}

impl Marks {
    /// Marks a user; returns whether no unexpired mark was there.
    fn touch(&mut self, user: &UserId, now: Instant) -> bool {
        let until = now + Duration::from_millis(PRESENCE_TTL_MS);
        let before = self.until.insert(user.clone(), until);
        if let Some(before) = before {
            self.due.remove(&(before, user.clone()));
        }
        self.due.insert((until, user.clone()));
        before.is_none_or(|before| before <= now)
    }

    /// Removes an unexpired mark; returns whether there was one. An expired one stays: it is for `expired` to hand out.
    fn clear(&mut self, user: &UserId, now: Instant) -> bool {
        match self.until.get(user.as_str()) {
            Some(until) if *until > now => {
                self.due.remove(&(*until, user.clone()));
                self.until.remove(user.as_str());
                true
            }
            _ => false,
        }
    }

    /// Takes the user whose mark ran out first, if it did so by `moment`.
    fn take_expired(&mut self, moment: Instant) -> Option<UserId> {
        if self.due.first()?.0 > moment {
            return None;
        }
        let (_, user) = self.due.pop_first()?;
        self.until.remove(user.as_str());
        Some(user)
    }

    fn drop_unclaimed(&mut self, now: Instant) {
        let Some(long_ago) = now.checked_sub(UNCLAIMED_TTL) else { return };
        while self.take_expired(long_ago).is_some() {}
    }
}

#[async_trait]
impl PresenceTable for InProcessPresence {
    async fn touch(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceError> {
        let now = Instant::now();
        let mut marks = self.marks();
        marks.drop_unclaimed(now);
        Ok(users.iter().map(|user| marks.touch(user, now)).collect())
    }

    async fn clear(&self, user: &UserId) -> Result<bool, PresenceError> {
        Ok(self.marks().clear(user, Instant::now()))
    }

    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, PresenceError> {
        let now = Instant::now();
        let marks = self.marks();
        Ok(users.iter().map(|user| marks.until.get(user.as_str()).is_some_and(|until| *until > now)).collect())
    }

    async fn expired(&self, limit: usize) -> Result<Vec<UserId>, PresenceError> {
        let now = Instant::now();
        let mut marks = self.marks();
        Ok(std::iter::from_fn(|| marks.take_expired(now)).take(limit).collect())
    }

    async fn watch(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), PresenceError> {
        self.0.watches.write().unwrap_or_else(PoisonError::into_inner).renew(gateway, users, Instant::now());
        Ok(())
    }

    async fn unwatch(&self, gateway: &GatewayId, users: &[UserId]) -> Result<(), PresenceError> {
        self.0.watches.write().unwrap_or_else(PoisonError::into_inner).release(gateway, users);
        Ok(())
    }

    async fn watchers(&self, user: &UserId) -> Result<Vec<GatewayId>, PresenceError> {
        Ok(self.0.watches.read().unwrap_or_else(PoisonError::into_inner).holders(user, Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::contract::Subject;

    struct InOneProcess(InProcessPresence);

    #[async_trait]
    impl Subject for InOneProcess {
        fn presence(&self) -> Arc<dyn PresenceTable> {
            Arc::new(self.0.clone())
        }
    }

    crate::presence_contract!([#[tokio::test(start_paused = true)]], InOneProcess(InProcessPresence::new()));

    #[tokio::test(start_paused = true)]
    async fn a_table_that_nobody_sweeps_stays_bounded() {
        let presence = InProcessPresence::new();
        for n in 0..1_000 {
            presence.touch(&[UserId::new(&format!("u{n}")).unwrap()]).await.unwrap();
        }
        tokio::time::advance(Duration::from_millis(PRESENCE_TTL_MS + WATCH_TTL_MS)).await;
        presence.touch(&[UserId::new("last").unwrap()]).await.unwrap();
        let marks = presence.marks();
        assert_eq!((marks.until.len(), marks.due.len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn each_user_takes_one_entry() {
        let presence = InProcessPresence::new();
        let user = UserId::new("ada").unwrap();
        for _ in 0..100 {
            presence.touch(std::slice::from_ref(&user)).await.unwrap();
            presence.clear(&user).await.unwrap();
            presence.touch(std::slice::from_ref(&user)).await.unwrap();
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert_eq!(presence.marks().due.len(), 1);
    }
}
