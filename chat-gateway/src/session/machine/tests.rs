use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn chat() -> ChatId {
    ChatId(Uuid::from_u128(7))
}

#[test]
fn the_first_live_message_sets_the_base() {
    let mut machine = Machine::default();
    assert_eq!(machine.message(chat(), 37), Step::Deliver);
    assert_eq!(machine.message(chat(), 37), Step::Drop);
    assert_eq!(machine.message(chat(), 38), Step::Deliver);
}

#[test]
fn a_message_ahead_makes_the_chat_due_and_is_not_kept() {
    let mut machine = Machine::default();
    machine.name(chat(), 4, None, 0);
    assert_eq!(machine.message(chat(), 7), Step::Behind);
    assert_eq!(machine.due(), Some(Due { chat_id: chat(), after: 4, after_rev: Some(0), head: 7, head_rev: 0 }));
    assert_eq!(machine.cover(chat(), 4, 7), Some(4));
    assert_eq!(machine.due(), None);
    assert_eq!(machine.message(chat(), 8), Step::Deliver);
}

#[test]
fn the_first_sync_lowers_the_base_and_later_ones_never_repeat() {
    let mut machine = Machine::default();
    assert_eq!(machine.message(chat(), 37), Step::Deliver);
    assert_eq!(machine.name(chat(), 30, Some(2), 5), (30, 2));
    assert_eq!(machine.cover(chat(), 30, 40), Some(30));
    assert_eq!(machine.name(chat(), 30, Some(1), 5), (40, 2));
    assert_eq!(machine.name(chat(), 45, None, 5), (45, 2));
}

/// The sync of a session that was begun while others talk is decided after live messages that follow on what it names.
#[test]
fn what_followed_live_on_the_named_position_does_not_come_again() {
    let mut machine = Machine::default();
    for seq in 11..=40 {
        assert_eq!(machine.message(chat(), seq), Step::Deliver);
    }
    assert_eq!(machine.name(chat(), 10, Some(2), 5), (40, 2));
    assert_eq!(machine.cover(chat(), 40, 40), None, "there is nothing to send");
    assert_eq!(machine.message(chat(), 41), Step::Deliver);
}

#[test]
fn rows_above_a_hole_are_not_counted_as_sent() {
    let mut machine = Machine::default();
    machine.message(chat(), 37);
    machine.name(chat(), 10, None, 0);
    assert_eq!(machine.cover(chat(), 37, 40), None);
    assert_eq!(machine.sent(chat()), Some(10));
}

#[test]
fn changes_keep_their_own_order() {
    let mut machine = Machine::default();
    machine.name(chat(), 9, Some(3), 3);
    assert_eq!(machine.change(chat(), 1, 3), Step::Drop);
    assert_eq!(machine.change(chat(), 1, 4), Step::Deliver);
    assert_eq!(machine.change(chat(), 1, 6), Step::Behind);
    assert_eq!(machine.cover_changes(chat(), 4, 6), Some(4));
    assert_eq!(machine.due(), None);
}

#[test]
fn a_head_makes_only_known_chats_due() {
    let mut machine = Machine::default();
    assert!(!machine.head(chat(), 9, 1));
    machine.message(chat(), 3);
    assert!(machine.head(chat(), 9, 1));
    assert!(!machine.head(ChatId(Uuid::from_u128(8)), 9, 1));
}

/// What may happen to one chat of one session.
#[derive(Debug, Clone)]
enum Happening {
    /// The relay brings a message that was published (wrapped to what exists).
    Live(u64),
    /// The chat grows by a message that the relay loses.
    Lost,
    /// The chat grows by a message that the relay brings.
    Grow,
    /// A gap was noticed: the head is read.
    Head,
    /// The filler reads at most so many rows.
    Fill(u64),
    /// The client syncs with what it has.
    Sync,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1_u64..60).prop_map(Happening::Live),
        Just(Happening::Lost),
        Just(Happening::Grow),
        Just(Happening::Head),
        (1_u64..6).prop_map(Happening::Fill),
        Just(Happening::Sync),
    ]
}

/// A client that applies only what comes next, as the protocol's client rule says, and notes everything it is sent.
#[derive(Debug, Default)]
struct Client {
    has: Seq,
    sent: Vec<Seq>,
}

impl Client {
    fn take(&mut self, seq: Seq) {
        self.sent.push(seq);
        if seq == self.has + 1 {
            self.has = seq;
        }
    }
}

fn fill(machine: &mut Machine, client: &mut Client, head: Seq, limit: u64) {
    let Some(due) = machine.due() else { return };
    let upto = head.min(due.after + limit);
    if let Some(sent) = machine.cover(due.chat_id, due.after, upto) {
        (sent + 1..=upto).for_each(|seq| client.take(seq));
    }
}

proptest! {
    /// Whatever the relay loses, repeats or swaps: after the first sync each message goes out once, ascending, and
    /// in the end all of them have.
    #[test]
    fn each_message_goes_out_once_ascending(start in 0_u64..10, happenings in prop::collection::vec(happening(), 0..80)) {
        let (mut machine, mut client, mut head) = (Machine::default(), Client { has: start, sent: vec![] }, start);
        machine.name(chat(), start, None, 0);
        for happening in happenings {
            match happening {
                Happening::Live(seq) if seq <= head => {
                    if machine.message(chat(), seq) == Step::Deliver {
                        client.take(seq);
                    }
                }
                Happening::Live(_) => {}
                Happening::Lost => head += 1,
                Happening::Grow => {
                    head += 1;
                    if machine.message(chat(), head) == Step::Deliver {
                        client.take(head);
                    }
                }
                Happening::Head => {
                    machine.head(chat(), head, 0);
                }
                Happening::Fill(limit) => fill(&mut machine, &mut client, head, limit),
                Happening::Sync => {
                    let (after, _) = machine.name(chat(), client.has, None, 0);
                    if let Some(sent) = machine.cover(chat(), after, head) {
                        (sent + 1..=head).for_each(|seq| client.take(seq));
                    }
                }
            }
        }
        machine.head(chat(), head, 0);
        while machine.due().is_some() {
            fill(&mut machine, &mut client, head, 3);
        }
        prop_assert_eq!(client.sent, (start + 1..=head).collect::<Vec<_>>());
        prop_assert_eq!(client.has, head);
    }

    /// Pushes before the first sync may be ahead; after it the client has everything from where it stood.
    #[test]
    fn the_first_sync_closes_what_live_pushes_left_open(
        has in 0_u64..20,
        live in prop::collection::vec(1_u64..40, 0..20),
    ) {
        let (mut machine, mut client) = (Machine::default(), Client { has, sent: vec![] });
        for seq in live {
            if machine.message(chat(), seq) == Step::Deliver {
                client.take(seq);
            }
        }
        let head = 40;
        // Named before any live message came, decided after all of them did.
        let (after, _) = machine.name(chat(), has, None, 0);
        let pushed = client.sent.len();
        let is_ahead = client.sent.first().is_some_and(|first| *first > has + 1);
        if let Some(sent) = machine.cover(chat(), after, head) {
            (sent + 1..=head).for_each(|seq| client.take(seq));
        }
        let again = client.sent[pushed..].iter().filter(|seq| client.sent[..pushed].contains(seq)).count();
        prop_assert!(is_ahead || again == 0, "what is not ahead comes once: {:?}", client.sent);
        prop_assert_eq!(client.has, head);
        prop_assert_eq!(machine.due(), None);
    }
}
