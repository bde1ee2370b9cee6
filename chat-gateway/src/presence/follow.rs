//! Who follows whom on this gateway: sessions that subscribed to users and have chats on screen.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chat_core::id::{ChatId, UserId};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::session::Session;

/// Chats a session may have on screen.
pub(super) const MAX_CHATS: usize = 20;

/// The subscriptions of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    users: FxHashMap<UserId, Followed>,
    chats: FxHashMap<ChatId, Vec<Arc<Session>>>,
    /// By the session's number; only sessions that follow anything.
    sessions: FxHashMap<u64, Following>,
}

#[derive(Debug, Default)]
struct Followed {
    sessions: Vec<Arc<Session>>,
    /// What the followers know, as far as they were told by this table.
    is_online: Option<bool>,
}

#[derive(Debug, Default)]
struct Following {
    users: FxHashSet<UserId>,
    chats: FxHashSet<ChatId>,
}

impl Followers {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the field that would be over its limit, if one would.
    pub(super) fn over_limit(
        &self,
        session: &Session,
        users: &[UserId],
        chats: &[ChatId],
        max_users: usize,
    ) -> Option<&'static str> {
        let table = self.read();
        let own = table.sessions.get(&session.number);
        let new_users = users.iter().filter(|user| own.is_none_or(|own| !own.users.contains(*user))).count();
        let new_chats = chats.iter().filter(|chat_id| own.is_none_or(|own| !own.chats.contains(*chat_id))).count();
        if own.map_or(0, |own| own.users.len()) + new_users > max_users {
            Some("users")
        } else if own.map_or(0, |own| own.chats.len()) + new_chats > MAX_CHATS {
            Some("chats")
        } else {
            None
        }
    }

    /// Subscribes a session.
    pub(super) fn follow(&self, session: &Arc<Session>, users: &[UserId], chats: &[ChatId]) {
        if users.is_empty() && chats.is_empty() {
            return;
        }
        let mut table = self.write();
        let Table { users: by_user, chats: by_chat, sessions } = &mut *table;
        let own = sessions.entry(session.number).or_default();
        for user in users {
            if own.users.insert(user.clone()) {
                by_user.entry(user.clone()).or_default().sessions.push(Arc::clone(session));
            }
        }
        for chat_id in chats {
            if own.chats.insert(*chat_id) {
                by_chat.entry(*chat_id).or_default().push(Arc::clone(session));
            }
        }
    }

    /// Ends subscriptions of a session.
    pub(crate) fn unfollow(&self, session: &Session, users: &[UserId], chats: &[ChatId]) {
        self.write().unfollow(session.number, users, chats);
    }

    /// Ends all subscriptions of a session.
    pub(crate) fn drop_session(&self, session: &Session) {
        let is_following = self.read().sessions.contains_key(&session.number);
        if !is_following {
            return;
        }
        let mut table = self.write();
        if let Some(Following { users, chats }) = table.sessions.remove(&session.number) {
            for user in &users {
                table.leave_user(session.number, user);
            }
            for chat_id in chats {
                table.leave_chat(session.number, chat_id);
            }
        }
    }

    /// Notes what a new follower was told of a user, unless others know something already: those are told apart.
    pub(super) fn begin(&self, user: &UserId, is_online: bool) {
        if let Some(followed) = self.write().users.get_mut(user) {
            followed.is_online.get_or_insert(is_online);
        }
    }

    /// Notes that a user came or went; returns the sessions to be told, none where they know.
    pub(super) fn note(&self, user: &UserId, is_online: bool) -> Vec<Arc<Session>> {
        let mut table = self.write();
        let Some(followed) = table.users.get_mut(user) else { return Vec::new() };
        if followed.is_online.replace(is_online) == Some(is_online) { Vec::new() } else { followed.sessions.clone() }
    }

    /// Returns every user that is followed.
    pub(super) fn followed(&self) -> Vec<UserId> {
        self.read().users.keys().cloned().collect()
    }

    /// Returns everyone who is followed or follows somebody.
    pub(super) fn everyone(&self) -> FxHashSet<UserId> {
        let table = self.read();
        let viewers = table.users.values().flat_map(|followed| &followed.sessions).map(|session| session.user.clone());
        table.users.keys().cloned().chain(viewers).collect()
    }

    /// Returns the sessions that follow a user.
    pub(super) fn of_user(&self, user: &UserId) -> Vec<Arc<Session>> {
        self.read().users.get(user).map(|followed| followed.sessions.clone()).unwrap_or_default()
    }

    /// Returns whether a session follows a user.
    pub(crate) fn follows(&self, session: &Session, user: &UserId) -> bool {
        self.read().sessions.get(&session.number).is_some_and(|own| own.users.contains(user))
    }

    /// Returns whom a session follows.
    pub(super) fn by(&self, session: &Session) -> FxHashSet<UserId> {
        self.read().sessions.get(&session.number).map(|own| own.users.clone()).unwrap_or_default()
    }

    /// Returns the sessions that have a chat on screen.
    pub(crate) fn of_chat(&self, chat_id: ChatId) -> Vec<Arc<Session>> {
        self.read().chats.get(&chat_id).cloned().unwrap_or_default()
    }
}

impl Table {
    fn unfollow(&mut self, number: u64, users: &[UserId], chats: &[ChatId]) {
        let Some(own) = self.sessions.get_mut(&number) else { return };
        let users: Vec<_> = users.iter().filter(|user| own.users.remove(*user)).collect();
        let chats: Vec<_> = chats.iter().filter(|chat_id| own.chats.remove(*chat_id)).collect();
        if own.users.is_empty() && own.chats.is_empty() {
            self.sessions.remove(&number);
        }
        for user in users {
            self.leave_user(number, user);
        }
        for chat_id in chats {
            self.leave_chat(number, *chat_id);
        }
    }

    fn leave_user(&mut self, number: u64, user: &UserId) {
        if let Some(followed) = self.users.get_mut(user) {
            followed.sessions.retain(|session| session.number != number);
            if followed.sessions.is_empty() {
                self.users.remove(user);
            }
        }
    }

    fn leave_chat(&mut self, number: u64, chat_id: ChatId) {
        if let Some(sessions) = self.chats.get_mut(&chat_id) {
            sessions.retain(|session| session.number != number);
            if sessions.is_empty() {
                self.chats.remove(&chat_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_core::clock::Time;
    use uuid::Uuid;

    use super::*;
    use crate::auth::{Identity, Scopes};

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn session(number: u64) -> Arc<Session> {
        let expires_at = Time::from_millis(1);
        let identity = Identity { user: user("ann"), scopes: Scopes::DEFAULT, issued_at: None, expires_at };
        Arc::new(Session::new(number, &identity, 1_000, Time::from_millis(0), 1))
    }

    #[test]
    fn followers_are_told_once_of_each_turn() {
        let followers = Followers::default();
        let (one, two) = (session(1), session(2));
        let bob = user("bob");
        followers.follow(&one, std::slice::from_ref(&bob), &[]);
        followers.begin(&bob, true);
        assert_eq!(followers.note(&bob, true).len(), 0, "the follower knows");
        followers.follow(&two, std::slice::from_ref(&bob), &[]);
        followers.begin(&bob, false);
        let told: Vec<u64> = followers.note(&bob, false).iter().map(|session| session.number).collect();
        assert_eq!(told, [1, 2], "what a later follower was told says nothing of the others");
        assert_eq!(followers.note(&user("eve"), true).len(), 0);
    }

    #[test]
    fn nothing_is_left_of_a_session_that_ended() {
        let followers = Followers::default();
        let (one, two) = (session(1), session(2));
        let chat_id = ChatId(Uuid::from_u128(1));
        for session in [&one, &two] {
            followers.follow(session, &[user("bob"), user("eve")], &[chat_id]);
        }
        followers.unfollow(&one, &[user("bob"), user("nobody")], &[]);
        assert_eq!(followers.of_user(&user("bob")).len(), 1);
        followers.drop_session(&two);
        assert_eq!((followers.followed(), followers.of_chat(chat_id).len()), (vec![user("eve")], 1));
        followers.unfollow(&one, &[user("eve")], &[chat_id]);
        let table = followers.read();
        assert!(table.users.is_empty() && table.chats.is_empty() && table.sessions.is_empty());
    }

    #[test]
    fn subscriptions_are_limited_in_all_not_by_call() {
        let followers = Followers::default();
        let one = session(1);
        let chats: Vec<ChatId> = (0..21).map(|n| ChatId(Uuid::from_u128(n))).collect();
        followers.follow(&one, &[user("bob"), user("eve")], &chats[..19]);
        assert_eq!(followers.over_limit(&one, &[user("bob")], &chats[..20], 2), None);
        assert_eq!(followers.over_limit(&one, &[user("kim")], &[], 2), Some("users"));
        assert_eq!(followers.over_limit(&one, &[], &chats, 2), Some("chats"));
    }
}
