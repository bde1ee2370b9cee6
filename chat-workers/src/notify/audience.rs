//! Whom a push is for, and who needs none. Pure.

use chat_core::clock::Time;
use chat_core::id::{Seq, UserId};
use chat_core::message_store::{MemberRow, Roster};
use chat_core::push::outcome::PushResult;

/// The members that a message is pushed to, in two halves, its sender in neither.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Audience {
    /// Without a route when the message was relayed.
    pub(super) now: Vec<UserId>,
    /// The others.
    pub(super) later: Vec<UserId>,
}

impl Audience {
    /// Sorts the members of a message's roster.
    pub(super) fn new(roster: &Roster, sender: &UserId, offline: &[UserId]) -> Self {
        let mut offline: Vec<&UserId> = offline.iter().collect();
        offline.sort();
        let others = roster.users().filter(|user| *user != sender).cloned();
        let (now, later) = others.partition(|user| offline.binary_search(&user).is_ok());
        Self { now, later }
    }
}

/// Returns why a member needs no push for message `seq`, as their row is now; `None` where they do.
///
/// What an idle session received does not count: it is not in `active`.
pub(super) fn needs_none(row: Option<&MemberRow>, seq: Seq, now: Time) -> Option<PushResult> {
    let Some(row) = row.filter(|row| row.is_present() && row.join_seq < seq) else { return Some(PushResult::Left) };
    if row.read >= seq {
        Some(PushResult::Read)
    } else if row.active >= seq {
        Some(PushResult::Delivered)
    } else if row.muted_until.is_some_and(|until| until > now) {
        Some(PushResult::Muted)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use chat_core::frame::Role;
    use chat_core::message_store::RosterMember;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn the_sender_is_in_neither_half() {
        let members =
            ["ann", "bob", "cyd", "dan"].map(|name| RosterMember { user: user(name), role: Role::Member, join_seq: 0 });
        let offline = [user("dan"), user("bob"), user("ann"), user("gone")];
        let audience = Audience::new(&Roster::new(members.into()), &user("ann"), &offline);
        assert_eq!(audience, Audience { now: vec![user("bob"), user("dan")], later: vec![user("cyd")] });
    }

    #[test]
    fn a_push_is_needed_by_present_members_who_have_not_got_it() {
        let row = MemberRow {
            user: user("bob"),
            role: Role::Member,
            joined_at: Time::default(),
            join_seq: 2,
            left_seq: None,
            delivered: 9,
            read: 4,
            active: 4,
            pushed: 9,
            muted_until: None,
        };
        let now = Time::from_millis(1_000);
        let muted = |until| MemberRow { muted_until: Some(Time::from_millis(until)), ..row.clone() };
        for (row, seq, expected) in [
            (Some(row.clone()), 5, None),
            (None, 5, Some(PushResult::Left)),
            (Some(MemberRow { left_seq: Some(8), ..row.clone() }), 5, Some(PushResult::Left)),
            (Some(MemberRow { left_seq: Some(2), ..row.clone() }), 5, None),
            (Some(MemberRow { join_seq: 5, ..row.clone() }), 5, Some(PushResult::Left)),
            (Some(MemberRow { read: 5, ..row.clone() }), 5, Some(PushResult::Read)),
            (Some(MemberRow { active: 5, ..row.clone() }), 5, Some(PushResult::Delivered)),
            (Some(muted(1_001)), 5, Some(PushResult::Muted)),
            (Some(muted(1_000)), 5, None),
            (Some(MemberRow { read: 5, ..muted(1_001) }), 5, Some(PushResult::Read)),
        ] {
            assert_eq!(needs_none(row.as_ref(), seq, now), expected, "{row:?}");
        }
    }
}
