//! What a run will do, decided before it begins: who talks where, which message is due when.
//!
//! Everything here is a function of the arguments and the seed, so a run can be repeated, and the intended time of
//! every message is known without asking the clock: that is what latency is measured from.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use uuid::Uuid;

use chat_core::clock::Time;
use chat_core::id::{ChatId, MessageId, Seq, UserId};

/// Most chats a session can name in one `sync` (protocol v1, section 2).
const MAX_CHATS_A_USER: usize = 1000;

/// Most members of a group (protocol v1, section 4).
const MAX_GROUP: usize = 500;

/// `GxM`: so many groups of so many members each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups {
    /// How many groups.
    pub groups: usize,
    /// Members of each.
    pub members: usize,
}

impl std::str::FromStr for Groups {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('x')
            .and_then(|(groups, members)| Some(Self { groups: groups.parse().ok()?, members: members.parse().ok()? }));
        parsed
            .filter(|it| it.groups > 0 && (2..=MAX_GROUP).contains(&it.members))
            .ok_or_else(|| format!("expected GROUPSxMEMBERS such as 5x20, with 2 to {MAX_GROUP} members"))
    }
}

/// One chat of the run.
#[derive(Debug, Clone)]
pub(super) struct PlannedChat {
    /// Its id; of a group chosen by us, of a pair that of its DIRECT chat.
    pub id: ChatId,
    /// Its members, as indexes into [`Plan::users`]; the first creates a group.
    pub members: Vec<u32>,
    /// Seat (one member in one chat) of its first member; the others follow.
    pub first_seat: u32,
    /// Head of the chat before the run.
    pub base: Seq,
}

impl PlannedChat {
    /// Returns the seats of the chat.
    pub(super) fn seats(&self) -> std::ops::Range<u32> {
        self.first_seat..self.first_seat + u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }
}

/// What is sent: the chat and the sender of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Index into [`Plan::chats`].
    pub chat: u32,
    /// Index into [`Plan::users`].
    pub sender: u32,
}

/// A whole run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The users, `load-0001` and on; one session each.
    pub users: Vec<UserId>,
    /// The chats.
    pub chats: Vec<PlannedChat>,
    /// How many messages are due in the window.
    pub total: u32,
    /// Messages a second, over all chats.
    pub rate: f64,
    /// Bytes of content.
    pub size: usize,
    /// Tells the messages of this run from those of others, in 30 bits of each id.
    nonce: u32,
    /// The middle of the text of every id of this run.
    signature: String,
}

impl Plan {
    /// Decides a run of `total` messages; `now` and `nonce` go into the ids, so that runs do not meet.
    ///
    /// # Errors
    /// When the users are too few for the groups asked for, or one would be in more chats than a `sync` can name.
    pub(super) fn new(
        users: usize,
        groups: Option<Groups>,
        schedule: Schedule,
        seed: u64,
        now: Time,
        nonce: u32,
    ) -> anyhow::Result<Self> {
        ensure!(users > 0, "--users must be at least 1");
        let names = (1..=users).map(|n| UserId::new(&format!("load-{n:04}"))).collect::<Result<Vec<_>, _>>()?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut deck: Vec<u32> = (0..u32::try_from(users).context("--users is too large")?).collect();
        deck.shuffle(&mut rng);
        let circles = match groups {
            None => deck.chunks_exact(2).map(<[u32]>::to_vec).collect(),
            Some(groups) => deal(groups, &mut deck, &mut rng)?,
        };
        ensure!(schedule.total == 0 || !circles.is_empty(), "a pair needs two users: raise --users");
        let mut chats = Vec::with_capacity(circles.len());
        let mut first_seat = 0;
        for (n, members) in circles.into_iter().enumerate() {
            let id = match (groups, members.as_slice()) {
                (None, &[a, b]) => ChatId::direct(&names[a as usize], &names[b as usize]),
                _ => ChatId(compose(now.millis(), nonce, u32::try_from(n).context("too many chats")?, GROUP_MARK)),
            };
            let chat = PlannedChat { id, members, first_seat, base: 0 };
            first_seat = chat.seats().end;
            chats.push(chat);
        }
        let Schedule { total, rate, size } = schedule;
        let signature = compose(0, nonce, 0, MESSAGE_MARK).to_string()[SIGNATURE].to_owned();
        Ok(Self { users: names, chats, total, rate, size, nonce: nonce & NONCE_BITS, signature })
    }

    /// Decides a run of sessions that do nothing.
    pub(super) fn idle(users: usize) -> anyhow::Result<Self> {
        let schedule = Schedule { total: 0, rate: 1.0, size: 0 };
        let plan = Self::new(users, None, schedule, 0, Time::default(), 0)?;
        Ok(Self { chats: Vec::new(), ..plan })
    }

    /// Returns who sends message `index`, and where: chats take turns, and within a chat its members do, so that the
    /// rate is even over both.
    pub(super) fn assignment(&self, index: u32) -> Assignment {
        let chats = self.chats.len();
        let (round, chat) = (index as usize / chats, index as usize % chats);
        let members = &self.chats[chat].members;
        Assignment { chat: u32::try_from(chat).unwrap_or(u32::MAX), sender: members[(round + chat) % members.len()] }
    }

    /// Returns when message `index` is due, from the start of the window.
    pub(super) fn due(&self, index: u32) -> Duration {
        Duration::from_secs_f64(f64::from(index) / self.rate)
    }

    /// Returns the id of message `index`: a UUIDv7 that carries the index, so that no table of ids is needed.
    pub(super) fn message_id(&self, index: u32, window_start: Time) -> MessageId {
        let due = u64::try_from(self.due(index).as_millis()).unwrap_or(u64::MAX);
        MessageId(compose(window_start.millis() + due, self.nonce, index, MESSAGE_MARK))
    }

    /// Returns the index of a message of this run, `None` for any other.
    pub(super) fn index_of(&self, id: MessageId) -> Option<u32> {
        let bits = id.0.as_u128();
        let ours =
            (bits >> 32) & u128::from(NONCE_BITS) == u128::from(self.nonce) && (bits >> 64) & 0xfff == MESSAGE_MARK;
        let index = u32::try_from(bits & u128::from(u32::MAX)).ok()?;
        (ours && index < self.total).then_some(index)
    }

    /// Returns whether the text of an id says that its message is of this run; its last eight digits are the index.
    pub(super) fn signs(&self, id: &[u8]) -> bool {
        id.get(SIGNATURE) == Some(self.signature.as_bytes())
    }

    /// Returns the content of message `index`.
    pub(super) fn content(&self, index: u32) -> String {
        let mut text = format!("{index} ");
        while text.len() < self.size {
            text.push(char::from(filling(text.len())));
        }
        text
    }

    /// Returns whether `text` is the content of message `index`, without making it.
    pub(super) fn content_is(&self, index: u32, text: &str) -> bool {
        let Some((number, rest)) = text.split_once(' ') else { return false };
        let start = number.len() + 1;
        number.parse() == Ok(index)
            && text.len() == self.size.max(start)
            && rest.bytes().zip(start..).all(|(byte, at)| byte == filling(at))
    }

    /// Returns how many messages each user sends.
    pub(super) fn sends_a_user(&self) -> Vec<usize> {
        let mut counts = vec![0; self.users.len()];
        for index in 0..self.total {
            counts[self.assignment(index).sender as usize] += 1;
        }
        counts
    }
}

/// How much is sent, and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// Messages in all.
    pub total: u32,
    /// Messages a second.
    pub rate: f64,
    /// Bytes of content each.
    pub size: usize,
}

/// Deals members to groups: to disjoint ones while the users suffice, else each group draws from all users.
fn deal(groups: Groups, deck: &mut [u32], rng: &mut StdRng) -> anyhow::Result<Vec<Vec<u32>>> {
    ensure!(groups.members <= deck.len(), "--groups asks for {} members, --users gives {}", groups.members, deck.len());
    if groups.groups * groups.members <= deck.len() {
        return Ok(deck.chunks_exact(groups.members).take(groups.groups).map(<[u32]>::to_vec).collect());
    }
    let mut memberships = vec![0_usize; deck.len()];
    let mut dealt = Vec::with_capacity(groups.groups);
    for _ in 0..groups.groups {
        deck.shuffle(rng);
        let members = deck[..groups.members].to_vec();
        for &member in &members {
            memberships[member as usize] += 1;
            ensure!(
                memberships[member as usize] <= MAX_CHATS_A_USER,
                "a user would be in over {MAX_CHATS_A_USER} chats"
            );
        }
        dealt.push(members);
    }
    Ok(dealt)
}

/// The letter that content has at a place.
fn filling(at: usize) -> u8 {
    b"abcdefghijklmnopqrstuvwxyz"[at % 26]
}

/// Where version, mark, variant and nonce stand in the text of an id.
const SIGNATURE: std::ops::Range<usize> = 14..28;

const NONCE_BITS: u32 = (1 << 30) - 1;
const MESSAGE_MARK: u128 = 0x10a;
const GROUP_MARK: u128 = 0x96c;

/// Makes a UUIDv7 (RFC 9562, section 5.7) whose random bits are a mark, the run's nonce and an index.
fn compose(millis: u64, nonce: u32, index: u32, mark: u128) -> Uuid {
    let version_and_mark = (0x7 << 12) | mark;
    let variant_and_nonce = (0b10 << 30) | u128::from(nonce & NONCE_BITS);
    Uuid::from_u128(
        (u128::from(millis) << 80) | (version_and_mark << 64) | (variant_and_nonce << 32) | u128::from(index),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_000;

    fn plan(users: usize, groups: Option<Groups>) -> Plan {
        let schedule = Schedule { total: 1000, rate: 250.0, size: 40 };
        Plan::new(users, groups, schedule, 7, Time::from_millis(NOW), 99).unwrap()
    }

    #[test]
    fn groups_are_read_as_count_and_size() {
        assert_eq!("5x20".parse(), Ok(Groups { groups: 5, members: 20 }));
        for bad in ["", "5", "x", "0x5", "5x1", "5x501", "5x-2", "5x2x2", "a x b"] {
            assert!(bad.parse::<Groups>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_plan() {
        let members = |plan: &Plan| plan.chats.iter().map(|chat| chat.members.clone()).collect::<Vec<_>>();
        assert_eq!(members(&plan(10, None)), members(&plan(10, None)));
        let other =
            Plan::new(10, None, Schedule { total: 1, rate: 1.0, size: 1 }, 8, Time::from_millis(NOW), 99).unwrap();
        assert_ne!(members(&plan(10, None)), members(&other));
    }

    #[test]
    fn pairs_are_disjoint_and_the_rate_is_even() {
        let plan = plan(11, None);
        assert_eq!(plan.chats.len(), 5);
        let sends = plan.sends_a_user();
        assert_eq!(sends.iter().sum::<usize>(), 1000);
        assert_eq!(sends.iter().filter(|&&n| n == 100).count(), 10);
        assert_eq!(plan.due(250), Duration::from_secs(1));
    }

    #[test]
    fn groups_share_users_only_where_they_must() {
        let disjoint = plan(6, Some(Groups { groups: 2, members: 3 }));
        let mut all: Vec<u32> = disjoint.chats.iter().flat_map(|chat| chat.members.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        let shared = plan(6, Some(Groups { groups: 4, members: 5 }));
        assert_eq!(shared.chats[3].seats(), 15..20);
        assert!(shared.chats.iter().all(|chat| (0..6).filter(|n| chat.members.contains(n)).count() == 5));
        let schedule = Schedule { total: 1, rate: 1.0, size: 1 };
        let few = Plan::new(2, Some(Groups { groups: 1, members: 3 }), schedule, 7, Time::from_millis(NOW), 99);
        assert!(few.is_err());
    }

    #[test]
    fn ids_are_v7_and_carry_their_index() {
        let plan = plan(4, None);
        let id = plan.message_id(500, Time::from_millis(NOW));
        assert_eq!(chat_core::id::v7_millis(id.0), Some(NOW + 2000));
        assert_eq!(plan.index_of(id), Some(500));
        assert!(plan.signs(id.to_string().as_bytes()));
        let schedule = Schedule { total: 1000, rate: 250.0, size: 40 };
        let other = Plan::new(4, None, schedule, 7, Time::from_millis(NOW), 98).unwrap();
        assert_eq!(other.index_of(id), None);
        assert!(!other.signs(id.to_string().as_bytes()));
        let group = self::plan(4, Some(Groups { groups: 1, members: 4 })).chats[0].id;
        assert_eq!(plan.index_of(MessageId(group.0)), None);
    }

    #[test]
    fn content_is_recognized_and_any_change_of_it_too() {
        let plan = plan(4, None);
        let text = plan.content(321);
        assert_eq!(text.len(), 40);
        assert!(plan.content_is(321, &text));
        assert!(!plan.content_is(322, &text));
        assert!(!plan.content_is(321, &text[..39]));
        assert!(!plan.content_is(321, &text.replace('z', "y")));
        assert!(!plan.content_is(321, "321"));
    }
}
