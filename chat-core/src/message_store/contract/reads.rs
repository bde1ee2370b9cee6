//! Checks of the reads: ranges, orders, limits, and what is not there.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    all_messages, at, chat, cursor, join, position, sent, shuffled, sorted_inbox, sorted_members, user, write,
};
use crate::frame::Role;
use crate::id::{Rev, Seq};
use crate::message_log::Position;
use crate::message_store::{
    ChatState, IdKey, IdRow, MemberRow, MessageStore, Order, Roster, RosterMember, Row, SeqRange, StoredMessage,
};

fn seqs(messages: &[StoredMessage]) -> Vec<Seq> {
    messages.iter().map(|stored| stored.message.seq).collect()
}

/// Nothing was written: every read says so without an error.
pub async fn an_empty_store_has_nothing(store: Arc<dyn MessageStore>) {
    let range = SeqRange { after: 0, upto: 10 };
    let key = IdKey { chat_id: chat(1), id: Uuid::from_u128(1), actor: user("ann") };
    assert_eq!(store.states(&[chat(1), chat(2)]).await, Ok(vec![None, None]));
    assert_eq!(store.states(&[]).await, Ok(Vec::new()));
    assert_eq!(store.header(chat(1)).await, Ok(None));
    assert_eq!(store.roster(chat(1), position(1)).await, Ok(None));
    assert_eq!(store.roster_before(chat(1), position(1)).await, Ok(None));
    assert_eq!(store.ids(&[key]).await, Ok(vec![None]));
    assert_eq!(store.messages(chat(1), range, Order::NewestFirst, 10).await, Ok(Vec::new()));
    assert_eq!(store.changes(chat(1), 0, 10, 10).await, Ok(Vec::new()));
    assert_eq!(store.members(chat(1)).await, Ok(Vec::new()));
    assert_eq!(store.memberships(&user("ann"), &[chat(1)]).await, Ok(vec![None]));
    assert_eq!(store.inbox(&user("ann")).await, Ok(Vec::new()));
    write(&*store, []).await;
    store.write_states(Vec::new()).await.expect("write_states");
}

/// Answers stand in the order of the question, with `None` where there is nothing.
pub async fn states_come_in_the_order_asked(store: Arc<dyn MessageStore>) {
    let state = |seq| ChatState { seq, ts: seq, ..ChatState::default() };
    store.write_states((1..=5).map(|n| (chat(n.into()), state(n))).collect()).await.expect("write_states");
    let found = store.states(&[chat(4), chat(9), chat(1), chat(4)]).await.expect("states");
    assert_eq!(found, [Some(state(4)), None, Some(state(1)), Some(state(4))]);
}

/// `after < seq <= upto`.
pub async fn ranges_are_exclusive_below_and_inclusive_above(store: Arc<dyn MessageStore>) {
    write(&*store, (1..=10).map(|seq| sent(chat(1), seq, seq))).await;
    for (after, upto, expected) in [
        (0, 3, vec![1, 2, 3]),
        (3, 5, vec![4, 5]),
        (4, 5, vec![5]),
        (5, 5, vec![]),
        (6, 5, vec![]),
        (8, 99, vec![9, 10]),
        (10, 99, vec![]),
        (Seq::MAX, Seq::MAX, vec![]),
    ] {
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let found = store.messages(chat(1), SeqRange { after, upto }, order, 100).await.expect("messages");
            let mut found = seqs(&found);
            found.sort_unstable();
            assert_eq!(found, expected, "({after}, {upto}] {order:?}");
        }
    }
}

/// The limit cuts where the order ends; numbers are ordered as numbers.
pub async fn ranges_read_both_ways_and_stop_at_the_limit(store: Arc<dyn MessageStore>) {
    write(&*store, (1..=300).map(|seq| sent(chat(1), seq, seq))).await;
    let range = SeqRange { after: 10, upto: 290 };
    let read = async |order, limit| seqs(&store.messages(chat(1), range, order, limit).await.expect("messages"));
    assert_eq!(read(Order::OldestFirst, 3).await, [11, 12, 13]);
    assert_eq!(read(Order::NewestFirst, 3).await, [290, 289, 288]);
    assert_eq!(read(Order::OldestFirst, 0).await, [0; 0]);
    assert!(read(Order::OldestFirst, 1000).await.into_iter().eq(11..=290));
    assert!(read(Order::NewestFirst, 1000).await.into_iter().eq((11..=290).rev()));
}

/// A chat's rows are its own, also of a neighbour in key order.
pub async fn chats_do_not_see_each_other(store: Arc<dyn MessageStore>) {
    for n in [0, 1, 2, u128::MAX] {
        let rows =
            [sent(chat(n), 1, 1), join(chat(n), "ann", 1, 0), Row::Change { chat_id: chat(n), rev: 1, ts: 1, seq: 1 }];
        write(&*store, rows).await;
    }
    for n in [0, 1, 2, u128::MAX] {
        let messages = all_messages(&*store, chat(n)).await;
        assert_eq!(messages.iter().map(|stored| stored.message.chat_id).collect::<Vec<_>>(), [chat(n)]);
        assert_eq!(store.changes(chat(n), 0, Rev::MAX, 10).await, Ok(vec![(1, 1)]));
        assert_eq!(store.members(chat(n)).await.expect("members").len(), 1);
    }
}

/// An idempotency key is chat, id and actor together; the newer row of a key wins.
pub async fn ids_are_found_by_chat_id_and_actor(store: Arc<dyn MessageStore>) {
    let key = |n, id, name| IdKey { chat_id: chat(n), id: Uuid::from_u128(id), actor: user(name) };
    let row = |seq, ts| IdRow { seq, rev: 1, position: position(ts), ts };
    let id = |key: IdKey, row| Row::Id { key, row };
    write(
        &*store,
        [id(key(1, 1, "ann"), row(1, 10)), id(key(1, 2, "ann"), row(2, 20)), id(key(2, 1, "ann"), row(3, 30))],
    )
    .await;
    let asked = [key(2, 1, "ann"), key(1, 1, "bob"), key(1, 1, "an"), key(1, 2, "ann"), key(1, 1, "ann")];
    let found = store.ids(&asked).await.expect("ids");
    assert_eq!(found, [Some(row(3, 30)), None, None, Some(row(2, 20)), Some(row(1, 10))]);
    write(&*store, [id(key(1, 1, "ann"), row(9, 5)), id(key(1, 2, "ann"), row(9, 25))]).await;
    let found = store.ids(&[key(1, 1, "ann"), key(1, 2, "ann")]).await.expect("ids");
    assert_eq!(found, [Some(row(1, 10)), Some(row(9, 25))]);
}

/// `after < rev <= upto`, ascending, at most the limit.
pub async fn changes_ascend_within_their_range(store: Arc<dyn MessageStore>) {
    let change = |rev| Row::Change { chat_id: chat(1), rev, ts: rev, seq: 1000 - rev };
    write(&*store, shuffled((1..=300).map(change).collect(), 3)).await;
    let read = async |after, upto, limit| store.changes(chat(1), after, upto, limit).await.expect("changes");
    assert_eq!(read(254, 257, 10).await, [(255, 745), (256, 744), (257, 743)]);
    assert_eq!(read(0, 300, 2).await, [(1, 999), (2, 998)]);
    assert_eq!(read(300, 400, 10).await, []);
    assert_eq!(read(5, 5, 10).await, []);
    assert_eq!(read(6, 5, 10).await, []);
    assert_eq!(read(0, 300, 0).await, []);
}

/// All member rows of a chat, present and former; one user's rows in the order asked.
pub async fn members_and_memberships_are_found(store: Arc<dyn MessageStore>) {
    // Names that are prefixes of each other, and the ends of the alphabet and of the length.
    let longest = "~".repeat(128);
    let names = ["+", "a", "ab", "ann", "~", longest.as_str()];
    write(&*store, names.iter().map(|name| join(chat(1), name, 10, 1))).await;
    let left =
        Row::Member { chat_id: chat(1), user: user("ab"), ts: 20, role: Role::Member, joined: None, left_seq: Some(5) };
    write(&*store, [left, join(chat(3), "a", 10, 7)]).await;
    let members = sorted_members(&*store, chat(1)).await;
    assert!(members.iter().map(|row| row.user.as_str()).eq(names));
    assert_eq!(members.iter().map(MemberRow::left).collect::<Vec<_>>(), [None, None, Some(5), None, None, None]);
    let found = store.memberships(&user("a"), &[chat(3), chat(2), chat(1)]).await.expect("memberships");
    assert_eq!(
        found.iter().map(|row| row.as_ref().map(|row| row.join_seq)).collect::<Vec<_>>(),
        [Some(7), None, Some(1)]
    );
}

/// The inbox of a user has all their chats and nobody else's.
pub async fn the_inbox_is_one_users(store: Arc<dyn MessageStore>) {
    let inbox =
        |name: &str, n| Row::Inbox { user: user(name), chat_id: chat(n), ts: 1, joined_at: Some(at(1)), left_at: None };
    let chats = [0, 1, 1 << 64, u128::MAX];
    for name in ["a", "ab", "b"] {
        write(&*store, chats.map(|n| inbox(name, n))).await;
    }
    write(&*store, [inbox("a", 77), Row::Active { user: user("ab"), chat_id: chat(78), slot: 3 }]).await;
    let chats_of = async |name| sorted_inbox(&*store, name).await.iter().map(|row| row.chat_id).collect::<Vec<_>>();
    assert_eq!(chats_of("ab").await, chats.map(chat));
    assert_eq!(chats_of("b").await, chats.map(chat));
    assert_eq!(chats_of("a").await, [0, 1, 77, 1 << 64, u128::MAX].map(chat));
    assert_eq!(chats_of("abc").await, []);
}

/// `roster` is exact; `roster_before` takes the newest below, epochs first.
pub async fn rosters_are_found_at_and_below_a_position(store: Arc<dyn MessageStore>) {
    let place = |epoch, offset| Position { epoch, partition: 3, offset };
    let roster = |names: &[&str]| {
        let member = |name: &&str| RosterMember { user: user(name), role: Role::Admin, join_seq: 4 };
        Arc::new(Roster::new(names.iter().map(member).collect()))
    };
    let places = [place(1, 5), place(1, 300), place(2, 0), place(2, 7)];
    let rosters = [roster(&["a"]), roster(&["a", "b"]), roster(&[]), roster(&["c"])];
    let rows = places.into_iter().zip(&rosters);
    write(&*store, rows.map(|(at, roster)| Row::Roster { chat_id: chat(1), at, roster: Arc::clone(roster) })).await;
    write(&*store, [Row::Roster { chat_id: chat(2), at: place(1, 1), roster: roster(&["d"]) }]).await;
    for (at, roster) in places.into_iter().zip(&rosters) {
        assert_eq!(store.roster(chat(1), at).await, Ok(Some(Arc::clone(roster))));
    }
    assert_eq!(store.roster(chat(1), place(1, 6)).await, Ok(None));
    for (below, expected) in [
        (place(1, 5), None),
        (place(1, 6), Some(0)),
        (place(1, 300), Some(0)),
        (place(1, u64::MAX), Some(1)),
        (place(2, 0), Some(1)),
        (place(2, 7), Some(2)),
        (place(9, 0), Some(3)),
    ] {
        let expected = expected.map(|i: usize| Arc::clone(&rosters[i]));
        assert_eq!(store.roster_before(chat(1), below).await, Ok(expected), "below {below}");
    }
}

/// Many writers at once: each sees its own writes as soon as they are acknowledged, and none is lost.
pub async fn writes_are_seen_once_acknowledged(store: Arc<dyn MessageStore>) {
    let writers: Vec<_> = (0..8u64)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let own = chat(writer.into());
                for seq in 1..=30 {
                    let shared = cursor(chat(99), "ann", writer * 30 + seq, seq);
                    write(&*store, [sent(own, seq, seq), shared]).await;
                    let state = ChatState { seq, ts: seq, ..ChatState::default() };
                    store.write_states(vec![(own, state)]).await.expect("write_states");
                    assert_eq!(store.states(&[own]).await, Ok(vec![Some(state)]));
                    let range = SeqRange { after: seq - 1, upto: seq };
                    let found = store.messages(own, range, Order::NewestFirst, 1).await.expect("messages");
                    assert_eq!(seqs(&found), [seq]);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("writer");
    }
    write(&*store, [join(chat(99), "ann", 1, 0)]).await;
    let row = store.members(chat(99)).await.expect("members").remove(0);
    assert_eq!((row.delivered, row.read), (240, 30));
}

/// One call may carry thousands of rows, several of them to one row.
pub async fn a_large_batch_lands_whole(store: Arc<dyn MessageStore>) {
    let rows = (1..=3000).flat_map(|seq| [sent(chat(1), seq, seq), cursor(chat(1), "ann", seq, seq / 2)]);
    write(&*store, rows.chain([join(chat(1), "ann", 1, 0)])).await;
    let range = SeqRange { after: 0, upto: 3000 };
    let found = store.messages(chat(1), range, Order::OldestFirst, 5000).await.expect("messages");
    assert!(seqs(&found).into_iter().eq(1..=3000));
    let row = store.members(chat(1)).await.expect("members").remove(0);
    assert_eq!((row.delivered, row.read), (3000, 1500));
}

/// The restore epoch is one value for the life of the store.
pub async fn the_restore_epoch_stays(store: Arc<dyn MessageStore>) {
    let epoch = store.restore_epoch().await.expect("restore_epoch");
    write(&*store, [sent(chat(1), 1, 1)]).await;
    assert_eq!(store.restore_epoch().await, Ok(epoch));
}
