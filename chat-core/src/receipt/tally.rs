//! The arithmetic of cursors: unread, and "N of M". Counted from cursors each time, never incremented.

use crate::id::{Seq, UserId};
use crate::message_store::MemberRow;

/// Returns how many messages a member has not read: max(0, upto − max(join, read, first − 1)), `upto` being the last seq
/// the member may see (the head, or the one they left with), `first_seq` the oldest that has not aged out: what nobody
/// can read any more is not left to be read.
pub fn unread(upto: Seq, join_seq: Seq, read: Seq, first_seq: Seq) -> u64 {
    upto.saturating_sub(join_seq.max(read).max(first_seq.saturating_sub(1)))
}

/// How many have one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// How many it was delivered to.
    pub delivered: u64,
    /// How many read it.
    pub read: u64,
    /// Of how many: present members but the sender who may see it.
    pub of: u64,
}

/// Counts who has message `seq`, by going through the members: M (`of`) is the present members but the sender with
/// `join_seq` < `seq`, N those of them with the cursor ≥ `seq`.
pub fn counts(members: &[MemberRow], sender: &UserId, seq: Seq) -> Counts {
    let others = members.iter().filter(|member| member.is_present() && member.user != *sender);
    others.fold(Counts::default(), |counts, member| counts.plus(Standing::from(member), seq))
}

impl Counts {
    fn plus(self, member: Standing, seq: Seq) -> Self {
        let sees = member.join_seq < seq;
        Self {
            delivered: self.delivered + u64::from(sees && member.delivered >= seq),
            read: self.read + u64::from(sees && member.read >= seq),
            of: self.of + u64::from(sees),
        }
    }
}

/// Where one member stands in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Sees messages after this seq.
    pub join_seq: Seq,
    /// Delivered up to.
    pub delivered: Seq,
    /// Read up to.
    pub read: Seq,
}

impl From<&MemberRow> for Standing {
    fn from(member: &MemberRow) -> Self {
        Self { join_seq: member.join_seq, delivered: member.delivered, read: member.read }
    }
}

/// The cursors of a chat's present members as sorted arrays: counts any message in O(log members), and takes a moved
/// cursor in one shift of an array.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    joins: Vec<Seq>,
    delivered: Spans,
    read: Spans,
}

impl FromIterator<Standing> for Tally {
    fn from_iter<I: IntoIterator<Item = Standing>>(members: I) -> Self {
        let mut tally = Self::default();
        for member in members {
            tally.joins.push(member.join_seq);
            tally.delivered.push(member.join_seq, member.delivered);
            tally.read.push(member.join_seq, member.read);
        }
        for array in [
            &mut tally.joins,
            &mut tally.delivered.froms,
            &mut tally.delivered.uptos,
            &mut tally.read.froms,
            &mut tally.read.uptos,
        ] {
            array.sort_unstable();
        }
        tally
    }
}

impl Tally {
    /// Moves one member's cursors.
    pub fn shift(&mut self, from: Standing, to: Standing) {
        shift(&mut self.joins, Some(from.join_seq), Some(to.join_seq));
        self.delivered.shift((from.join_seq, from.delivered), (to.join_seq, to.delivered));
        self.read.shift((from.join_seq, from.read), (to.join_seq, to.read));
    }

    /// Counts who has message `seq`; `sender` is where its sender stands, where they are a present member.
    pub fn counts(&self, seq: Seq, sender: Option<Standing>) -> Counts {
        let all = Counts {
            delivered: self.delivered.containing(seq),
            read: self.read.containing(seq),
            of: below(&self.joins, seq),
        };
        let own = sender.map_or_else(Counts::default, |sender| Counts::default().plus(sender, seq));
        Counts { delivered: all.delivered - own.delivered, read: all.read - own.read, of: all.of - own.of }
    }
}

/// Non-empty spans `from < seq <= upto`, their ends sorted apart: those that contain a seq are those that begin below
/// it less those that end below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Spans {
    froms: Vec<Seq>,
    uptos: Vec<Seq>,
}

impl Spans {
    /// Adds a span unless it is empty, for the caller to sort.
    fn push(&mut self, from: Seq, upto: Seq) {
        if from < upto {
            self.froms.push(from);
            self.uptos.push(upto);
        }
    }

    fn shift(&mut self, before: (Seq, Seq), after: (Seq, Seq)) {
        let before = Some(before).filter(|(from, upto)| from < upto);
        let after = Some(after).filter(|(from, upto)| from < upto);
        shift(&mut self.froms, before.map(|(from, _)| from), after.map(|(from, _)| from));
        shift(&mut self.uptos, before.map(|(_, upto)| upto), after.map(|(_, upto)| upto));
    }

    fn containing(&self, seq: Seq) -> u64 {
        below(&self.froms, seq) - below(&self.uptos, seq)
    }
}

fn below(sorted: &[Seq], seq: Seq) -> u64 {
    sorted.partition_point(|value| *value < seq) as u64
}

fn shift(sorted: &mut Vec<Seq>, before: Option<Seq>, after: Option<Seq>) {
    if before == after {
        return;
    }
    if let Some(Ok(at)) = before.map(|value| sorted.binary_search(&value)) {
        sorted.remove(at);
    }
    if let Some(value) = after {
        sorted.insert(sorted.partition_point(|held| *held < value), value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Time;
    use crate::frame::Role;

    fn member(index: usize, standing: Standing, left_seq: Option<Seq>) -> MemberRow {
        MemberRow {
            user: UserId::new(&format!("u{index}")).unwrap(),
            role: Role::Member,
            joined_at: Time::default(),
            join_seq: standing.join_seq,
            left_seq,
            delivered: standing.delivered,
            read: standing.read,
            active: 0,
            pushed: 0,
            muted_until: None,
        }
    }

    #[test]
    fn unread_never_falls_below_zero() {
        for (upto, join, read, first, expected) in [
            (10, 0, 4, 1, 6),
            (10, 7, 4, 1, 3),
            (10, 0, 10, 1, 0),
            (3, 5, 9, 1, 0),
            (0, 0, 0, 1, 0),
            (10, 0, 4, 9, 2),
            (10, 0, 4, 11, 0),
            (5, 0, 4, 9, 0),
        ] {
            let found = unread(upto, join, read, first);
            assert_eq!(found, expected, "upto {upto}, joined at {join}, read {read}, first {first}");
        }
    }

    #[test]
    fn only_present_members_who_may_see_it_count_and_never_the_sender() {
        let at = |join_seq, delivered, read| Standing { join_seq, delivered, read };
        let members = [
            member(0, at(0, 9, 9), None),
            member(1, at(0, 9, 5), None),
            member(2, at(0, 5, 0), None),
            member(3, at(6, 9, 9), None),
            member(4, at(0, 9, 9), Some(8)),
        ];
        let sender = UserId::new("u0").unwrap();
        let expected = |delivered, read, of| Counts { delivered, read, of };
        assert_eq!(counts(&members, &sender, 5), expected(2, 1, 2));
        assert_eq!(counts(&members, &sender, 6), expected(1, 0, 2), "u3 came in with the message after it");
        assert_eq!(counts(&members, &sender, 7), expected(2, 1, 3));
        assert_eq!(counts(&members, &UserId::new("gone").unwrap(), 7), expected(3, 2, 4));
    }

    fn standings() -> impl Strategy<Value = Vec<Standing>> {
        let standing = (0..12_u64, 0..12_u64, 0..12_u64).prop_map(|(join_seq, delivered, read)| Standing {
            join_seq,
            delivered,
            read,
        });
        prop::collection::vec(standing, 1..8)
    }

    proptest! {
        #[test]
        fn the_tally_equals_a_recount_after_any_moves(
            mut members in standings(),
            moves in prop::collection::vec((0..8_usize, standings()), 0..12),
        ) {
            let mut tally: Tally = members.iter().copied().collect();
            for (index, to) in moves {
                let at = index % members.len();
                tally.shift(members[at], to[0]);
                members[at] = to[0];
            }
            prop_assert_eq!(&tally, &members.iter().copied().collect());
            let rows: Vec<_> = members.iter().enumerate().map(|(i, at)| member(i, *at, None)).collect();
            for seq in 1..13 {
                for row in &rows {
                    prop_assert_eq!(tally.counts(seq, Some(row.into())), counts(&rows, &row.user, seq));
                }
                prop_assert_eq!(tally.counts(seq, None), counts(&rows, &UserId::new("gone").unwrap(), seq));
                let counted = tally.counts(seq, None);
                prop_assert!(counted.read <= counted.of && counted.delivered <= counted.of);
            }
        }
    }
}
