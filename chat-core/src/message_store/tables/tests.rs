use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::clock::Time;
use crate::frame::{ChatType, ContentType, Message, Role};
use crate::id::{MessageId, Seq, UserId};
use crate::message_log::Position;
use crate::message_store::{ChatHeader, IdKey, IdRow, Roster, RosterMember};

fn user(n: u64) -> UserId {
    UserId::new(["a", "ab", "b"][usize::try_from(n % 3).unwrap()]).unwrap()
}

/// Makes a row of few chats, seqs and users, so that rows meet in their cells. The values of a cell follow from its
/// timestamp, because equal timestamps carry equal values.
fn row(kind: u8, ts: u64, place: u64) -> Row {
    let chat_id = ChatId(Uuid::from_u128((place % 2).into()));
    let (seq, at, who) = (place % 3 + 1, Time::from_millis(ts), user(place / 2));
    let position = Position { epoch: 1, partition: 0, offset: ts };
    let odd = |value: Seq| (ts % 2 == 1).then_some(value);
    match kind {
        0 => {
            let name = odd(ts).map(|ts| format!("name {ts}"));
            let header = ChatHeader { chat_type: ChatType::Group, name, created_at: at, created_by: user(ts) };
            Row::Chat { chat_id, ts, header }
        }
        1 => Row::ChatName { chat_id, ts, name: format!("name {ts}") },
        2 => {
            let member = RosterMember { user: user(ts), role: Role::Admin, join_seq: ts };
            Row::Roster { chat_id, at: position, roster: Arc::new(Roster::new(vec![member])) }
        }
        3 => {
            let message = Message {
                chat_id,
                seq,
                rev: None,
                message_id: MessageId(Uuid::from_u128(ts.into())),
                sender: user(ts),
                content_type: ContentType::Text,
                content: format!("content {ts}"),
                attachment: None,
                meta: None,
                system: None,
                created_at: at,
                edited_at: None,
                deleted_at: None,
            };
            Row::Message { ts: ts * 3, position, message: Arc::new(message) }
        }
        4 => Row::Edit {
            chat_id,
            seq,
            ts: ts * 3 + 1,
            rev: ts,
            content: format!("edit {ts}"),
            meta: None,
            edited_at: at,
        },
        5 => Row::Delete { chat_id, seq, ts: ts * 3 + 2, rev: ts, deleted_at: at, position },
        6 => {
            let key = IdKey { chat_id, id: Uuid::from_u128(seq.into()), actor: who };
            Row::Id { key, row: IdRow { seq: ts, rev: 0, position, ts } }
        }
        7 => Row::Change { chat_id, rev: seq, ts, seq: ts },
        8 => {
            let role = if ts.is_multiple_of(2) { Role::Admin } else { Role::Member };
            let left_seq = odd(ts).is_none().then_some(ts);
            Row::Member { chat_id, user: who, ts, role, joined: odd(ts).map(|seq| (at, seq)), left_seq }
        }
        9 => Row::Cursor { chat_id, user: who, delivered: ts, read: place },
        10 => {
            let (joined_at, left_at) = (odd(ts).map(|_| at), odd(ts).is_none().then_some(at));
            Row::Inbox { user: who, chat_id, ts, joined_at, left_at }
        }
        11 => Row::PushCursor { chat_id, user: who, active: ts, pushed: place },
        12 => Row::Mute { chat_id, user: who, ts, until: odd(ts).map(|_| at) },
        _ => Row::Active { user: who, chat_id, slot: ts },
    }
}

/// Returns the write timestamp, 0 where the row has none.
fn ts(row: &Row) -> u64 {
    match row {
        Row::Chat { ts, .. }
        | Row::ChatName { ts, .. }
        | Row::Message { ts, .. }
        | Row::Edit { ts, .. }
        | Row::Delete { ts, .. }
        | Row::Change { ts, .. }
        | Row::Member { ts, .. }
        | Row::Mute { ts, .. }
        | Row::Inbox { ts, .. } => *ts,
        Row::Id { row, .. } => row.ts,
        Row::Roster { .. } | Row::Cursor { .. } | Row::PushCursor { .. } | Row::Active { .. } => 0,
    }
}

/// Random rows, whose writes of one cell at one timestamp are equal.
pub(crate) fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0u8..14, 1u64..12, 0u64..12), 0..60)
        .prop_map(|rows| rows.into_iter().map(|(kind, ts, place)| row(kind, ts, place)).collect())
}

fn apply(rows: &[Row]) -> Tables {
    let mut tables = Tables::default();
    for row in rows {
        tables.apply(row);
    }
    tables
}

proptest! {
    #[test]
    fn any_order_gives_the_tables_of_timestamp_order(
        (rows, mixed) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        let mut by_ts = rows.clone();
        by_ts.sort_by_key(ts);
        let expected = apply(&by_ts);
        prop_assert_eq!(&apply(&mixed), &expected);
        prop_assert_eq!(&apply(&[rows, mixed].concat()), &expected, "applied twice");
    }

    #[test]
    fn state_cells_merge_in_any_order(states in prop::collection::vec((1u64..6, 0u64..6), 1..8)) {
        let states: Vec<_> = states
            .into_iter()
            .map(|(ts, offset)| {
                ChatState { ts, position: Position { epoch: 1, partition: 0, offset }, ..ChatState::default() }
            })
            .collect();
        let chat = ChatId(Uuid::nil());
        let mut tables = Tables::default();
        for state in &states {
            tables.apply_state(chat, state);
        }
        let held = tables.state(chat).unwrap();
        let best = states.iter().max_by_key(|state| (state.ts, std::cmp::Reverse(state.position)));
        prop_assert_eq!(held.as_ref(), best);
    }

    #[test]
    fn encoded_keys_and_rows_round_trip_and_keep_their_order(rows in rows()) {
        let tables = apply(&rows);
        let encoded: Vec<_> = tables.rows().map(|(key, _)| key.encode()).collect();
        prop_assert!(encoded.is_sorted(), "keys and their bytes differ in order");
        for ((key, row), bytes) in tables.rows().zip(&encoded) {
            let decoded = RowKey::decode(bytes);
            prop_assert_eq!(decoded.as_ref(), Some(key));
            prop_assert_eq!(&StoredRow::decode(key, &row.encode()).unwrap(), row);
        }
    }
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    let key = RowKey::Inbox(user(0), ChatId(Uuid::max())).encode();
    for bytes in [&[][..], &[0], &[9; 17], &key[..key.len() - 1], &[&key[..], &[0]].concat()] {
        assert_eq!(RowKey::decode(bytes), None, "{bytes:?}");
    }
}
