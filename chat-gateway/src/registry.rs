//! The sessions of this gateway, by user.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chat_core::id::UserId;
use rustc_hash::FxHashMap;

use crate::session::Session;

type Users = FxHashMap<UserId, Vec<Arc<Session>>>;

/// All sessions. Delivery reads, connecting and leaving write; both hold the lock for microseconds.
#[derive(Debug)]
pub(crate) struct Registry {
    users: RwLock<Users>,
    per_user: usize,
    next: AtomicU64,
}

impl Registry {
    /// Makes an empty registry that holds at most `per_user` sessions a user.
    pub(crate) fn new(per_user: usize) -> Self {
        Self { users: RwLock::default(), per_user: per_user.max(1), next: AtomicU64::new(1) }
    }

    /// Returns the number of the next session.
    pub(crate) fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    /// Adds a session; returns the least active one of the user if there is now one too many. It leaves the registry
    /// by its own end.
    pub(crate) fn add(&self, session: &Arc<Session>) -> Option<Arc<Session>> {
        let mut users = self.write();
        let sessions = users.entry(session.user.clone()).or_insert_with(|| Vec::with_capacity(1));
        let open = sessions.iter().filter(|other| !other.is_closing()).count();
        let replaced = (open >= self.per_user)
            .then(|| sessions.iter().filter(|other| !other.is_closing()).min_by_key(|other| other.heard()).cloned())
            .flatten();
        sessions.push(Arc::clone(session));
        replaced
    }

    /// Removes a session; returns whether it was the user's last.
    pub(crate) fn remove(&self, session: &Session) -> bool {
        let mut users = self.write();
        let Some(sessions) = users.get_mut(&session.user) else { return false };
        sessions.retain(|other| other.number != session.number);
        let is_last = sessions.is_empty();
        if is_last {
            users.remove(&session.user);
        }
        is_last
    }

    /// Opens the registry for a batch of look-ups.
    pub(crate) fn open(&self) -> Directory<'_> {
        Directory(self.users.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns all sessions.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.open().0.values().flatten().cloned().collect()
    }

    /// Returns the users with a session.
    pub(crate) fn users(&self) -> Vec<UserId> {
        self.open().0.keys().cloned().collect()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Users> {
        self.users.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registry, held open for reading.
#[derive(Debug)]
pub(crate) struct Directory<'a>(RwLockReadGuard<'a, Users>);

impl Directory<'_> {
    /// Returns the sessions of a user.
    pub(crate) fn of(&self, user: &UserId) -> &[Arc<Session>] {
        self.0.get(user).map_or(&[], Vec::as_slice)
    }

    /// Runs `each` on every session.
    pub(crate) fn for_each(&self, each: impl FnMut(&Arc<Session>)) {
        self.0.values().flatten().for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use chat_core::clock::Time;

    use super::*;
    use crate::auth::{Identity, Scopes};

    fn session(registry: &Registry, user: &str, heard: u64) -> Arc<Session> {
        let identity = Identity {
            user: UserId::new(user).unwrap(),
            scopes: Scopes::DEFAULT,
            issued_at: None,
            expires_at: Time::from_millis(u64::MAX),
        };
        Arc::new(Session::new(registry.next_number(), &identity, 1024, Time::default(), heard))
    }

    #[test]
    fn the_least_active_session_makes_room() {
        let registry = Registry::new(2);
        let sessions: Vec<_> = [30, 10, 20].map(|heard| session(&registry, "ann", heard)).into();
        assert!(registry.add(&sessions[0]).is_none());
        assert!(registry.add(&sessions[1]).is_none());
        assert_eq!(registry.add(&sessions[2]).unwrap().number, sessions[1].number);
        assert!(registry.add(&session(&registry, "bob", 1)).is_none());
        assert!(!registry.remove(&sessions[1]));
        assert_eq!(registry.open().of(&sessions[0].user).len(), 2);
    }

    #[test]
    fn the_last_session_takes_the_user_along() {
        let registry = Registry::new(2);
        let session = session(&registry, "ann", 1);
        registry.add(&session);
        assert_eq!(registry.users().len(), 1);
        assert!(registry.remove(&session));
        assert!(registry.users().is_empty() && registry.all().is_empty());
    }
}
