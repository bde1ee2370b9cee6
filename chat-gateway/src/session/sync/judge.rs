//! What is to be done about one named chat. Pure.

use chat_core::frame::client::Have;
use chat_core::id::Seq;

use crate::view::View;

/// A copy further behind than this is cheaper to read anew.
const MAX_BEHIND: u64 = 5_000;

/// The judgement on one chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Send what comes after this seq.
    Send { after: Seq },
    /// The client's copy cannot be continued.
    Reload,
    /// The user is no longer a member (or never was); what they may still see comes after this seq.
    Gone { after: Option<Seq> },
}

/// Judges what the client has against what it may see.
pub(super) fn judge(have: Have, view: Option<&View>) -> Judgement {
    let Some(view) = view else { return Judgement::Gone { after: None } };
    let after = have.seq().max(view.after());
    if !view.member.is_present() {
        return Judgement::Gone { after: (after < view.upto()).then_some(after) };
    }
    let is_above_head = have.seq() > view.head.seq || have.rev().is_some_and(|rev| rev > view.head.rev);
    if is_above_head || view.upto().saturating_sub(after) > MAX_BEHIND {
        return Judgement::Reload;
    }
    Judgement::Send { after }
}

#[cfg(test)]
mod tests {
    use chat_core::clock::Time;
    use chat_core::frame::Role;
    use chat_core::id::{ChatId, UserId};
    use chat_core::message_store::{ChatState, MemberRow};

    use super::*;

    fn view(head: Seq, join_seq: Seq, left_seq: Option<Seq>) -> View {
        View {
            chat_id: ChatId(uuid::Uuid::from_u128(1)),
            head: ChatState { seq: head, rev: 9, ..ChatState::default() },
            member: MemberRow {
                user: UserId::new("ann").unwrap(),
                role: Role::Member,
                joined_at: Time::from_millis(0),
                join_seq,
                left_seq,
                delivered: 0,
                read: 0,
                active: 0,
                muted_until: None,
                pushed: 0,
            },
        }
    }

    #[test]
    fn each_position_has_its_judgement() {
        let cases = [
            (Have::Seq(4), view(10, 0, None), Judgement::Send { after: 4 }),
            (Have::Seq(0), view(10, 7, None), Judgement::Send { after: 7 }),
            (Have::Seq(10), view(10, 0, None), Judgement::Send { after: 10 }),
            (Have::Seq(11), view(10, 0, None), Judgement::Reload),
            (Have::SeqRev(4, 10), view(10, 0, None), Judgement::Reload),
            (Have::SeqRev(4, 9), view(10, 0, None), Judgement::Send { after: 4 }),
            (Have::Seq(0), view(5_001, 0, None), Judgement::Reload),
            (Have::Seq(1), view(5_001, 0, None), Judgement::Send { after: 1 }),
            (Have::Seq(4), view(10, 2, Some(6)), Judgement::Gone { after: Some(4) }),
            (Have::Seq(6), view(10, 2, Some(6)), Judgement::Gone { after: None }),
            (Have::Seq(4), view(10, 7, Some(6)), Judgement::Send { after: 7 }),
        ];
        for (have, view, expected) in cases {
            assert_eq!(judge(have, Some(&view)), expected, "{have:?} of {view:?}");
        }
        assert_eq!(judge(Have::Seq(1), None), Judgement::Gone { after: None });
    }
}
