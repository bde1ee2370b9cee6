//! Rosters: who is in a chat as of one membership record. Immutable snapshots, so a state is never torn.

use serde::{Deserialize, Serialize};

use crate::frame::Role;
use crate::id::{Seq, UserId};

/// One member in a roster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RosterMember {
    /// Who.
    pub user: UserId,
    /// May do what.
    pub role: Role,
    /// Sees messages after this seq.
    pub join_seq: Seq,
}

/// The members of a chat, sorted by user id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roster(Vec<RosterMember>);

impl Roster {
    /// Makes a roster; of two entries of one user the first stays.
    pub fn new(mut members: Vec<RosterMember>) -> Self {
        members.sort_by(|a, b| a.user.cmp(&b.user));
        members.dedup_by(|later, earlier| later.user == earlier.user);
        Self(members)
    }

    /// Returns a member.
    pub fn get(&self, user: &UserId) -> Option<&RosterMember> {
        self.find(user).ok().map(|i| &self.0[i])
    }

    /// Returns whether the user is in it.
    pub fn contains(&self, user: &UserId) -> bool {
        self.find(user).is_ok()
    }

    /// Returns the members, sorted by user id.
    pub fn members(&self) -> &[RosterMember] {
        &self.0
    }

    /// Returns the user ids, sorted.
    pub fn users(&self) -> impl Iterator<Item = &UserId> {
        self.0.iter().map(|member| &member.user)
    }

    /// Returns how many are in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many are ADMIN.
    pub fn admins(&self) -> usize {
        self.0.iter().filter(|member| member.role == Role::Admin).count()
    }

    /// Returns the member who has been in it longest (of equals the first by user id).
    pub fn longest_standing(&self) -> Option<&RosterMember> {
        self.0.iter().min_by_key(|member| member.join_seq)
    }

    /// Returns a roster with this member added or replaced.
    #[must_use]
    pub fn with(&self, member: RosterMember) -> Self {
        let mut members = self.0.clone();
        match self.find(&member.user) {
            Ok(i) => members[i] = member,
            Err(i) => members.insert(i, member),
        }
        Self(members)
    }

    /// Returns a roster without this user.
    #[must_use]
    pub fn without(&self, user: &UserId) -> Self {
        let mut members = self.0.clone();
        if let Ok(i) = self.find(user) {
            members.remove(i);
        }
        Self(members)
    }

    fn find(&self, user: &UserId) -> Result<usize, usize> {
        self.0.binary_search_by(|member| member.user.cmp(user))
    }
}
