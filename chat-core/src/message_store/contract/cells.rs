//! Checks of the writes: last writer wins, cell by cell, in any order and any number of times.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    all_messages, at, chat, cursor, delete, edit, join, message, meta, mute, position, push_cursor, sent, shuffled,
    sorted_inbox, sorted_members, user, write,
};
use crate::frame::{ChatType, Message, Role};
use crate::id::{ChatId, Rev, Seq};
use crate::message_store::{
    ChatHeader, ChatState, IdKey, IdRow, InboxRow, MemberRow, MessageStore, Roster, RosterMember, Row, StoredMessage,
};

fn header(name: Option<&str>, millis: u64) -> ChatHeader {
    let name = name.map(str::to_owned);
    ChatHeader { chat_type: ChatType::Group, name, created_at: at(millis), created_by: user("ann") }
}

fn state(ts: u64, offset: u64, seq: Seq) -> ChatState {
    ChatState {
        position: position(offset),
        seq,
        rev: 2,
        ts,
        roster_at: position(1),
        head_at: at(ts),
        ..ChatState::default()
    }
}

/// State cells: the higher timestamp wins; with one timestamp the lower position.
pub async fn the_newer_state_wins_and_of_equal_ones_the_lower_position(store: Arc<dyn MessageStore>) {
    let read = async || store.states(&[chat(1)]).await.expect("states")[0];
    let write = async |state| store.write_states(vec![(chat(1), state)]).await.expect("write_states");
    write(state(10, 5, 1)).await;
    assert_eq!(read().await, Some(state(10, 5, 1)));
    write(state(9, 9, 7)).await;
    assert_eq!(read().await, Some(state(10, 5, 1)), "an older timestamp won");
    write(state(10, 6, 2)).await;
    assert_eq!(read().await, Some(state(10, 5, 1)), "a higher position won at one timestamp");
    write(state(10, 4, 3)).await;
    assert_eq!(read().await, Some(state(10, 4, 3)));
    write(state(11, 6, 4)).await;
    assert_eq!(read().await, Some(state(11, 6, 4)));
}

/// Name and header are cells of their own.
pub async fn headers_and_names_are_separate_cells(store: Arc<dyn MessageStore>) {
    let begun = |chat_id| Row::Chat { chat_id, ts: 10, header: header(Some("first"), 10) };
    let renamed = |chat_id, ts, name: &str| Row::ChatName { chat_id, ts, name: name.to_owned() };
    for seed in 0..8 {
        let chat_id = chat(seed.into());
        let rows = vec![begun(chat_id), renamed(chat_id, 20, "second"), renamed(chat_id, 30, "third")];
        write(&*store, shuffled(rows, seed)).await;
        assert_eq!(store.header(chat_id).await, Ok(Some(header(Some("third"), 10))), "seed {seed}");
        write(&*store, [renamed(chat_id, 25, "late")]).await;
        assert_eq!(store.header(chat_id).await, Ok(Some(header(Some("third"), 10))));
    }
    write(&*store, [Row::Chat { chat_id: chat(99), ts: 1, header: header(None, 1) }]).await;
    assert_eq!(store.header(chat(99)).await, Ok(Some(header(None, 1))));
}

/// What was written is read, field by field.
pub async fn messages_come_back_as_they_were_written(store: Arc<dyn MessageStore>) {
    write(&*store, [sent(chat(1), 1, 10)]).await;
    let stored = StoredMessage { message: message(chat(1), 1), position: position(10), ts: 10, deleted_position: None };
    assert_eq!(all_messages(&*store, chat(1)).await, [stored]);
}

/// The newest edit holds, a delete holds against what came before, whatever lands first.
pub async fn message_cells_merge_in_any_order(store: Arc<dyn MessageStore>) {
    for seed in 0..24 {
        let chat_id = chat(seed.into());
        let edits = vec![sent(chat_id, 1, 10), edit(chat_id, 1, 1, 20), edit(chat_id, 1, 2, 30)];
        let deleted = vec![sent(chat_id, 2, 11), edit(chat_id, 2, 3, 40), delete(chat_id, 2, 4, 50)];
        for row in shuffled([edits, deleted].concat(), seed) {
            write(&*store, [row]).await;
        }
        let edited = Message {
            rev: Some(2),
            content: "edit 2".to_owned(),
            meta: Some(meta("edit 2")),
            edited_at: Some(at(30)),
            ..message(chat_id, 1)
        };
        let deleted = Message {
            rev: Some(4),
            content: String::new(),
            attachment: None,
            meta: None,
            edited_at: Some(at(40)),
            deleted_at: Some(at(50)),
            ..message(chat_id, 2)
        };
        let expected = [
            StoredMessage { message: edited, position: position(10), ts: 10, deleted_position: None },
            StoredMessage { message: deleted, position: position(11), ts: 11, deleted_position: Some(position(50)) },
        ];
        assert_eq!(all_messages(&*store, chat_id).await, expected, "seed {seed}");
    }
}

/// After a delete the content is not readable any more, also where the creating write is repeated.
pub async fn a_deleted_message_keeps_nothing_of_its_content(store: Arc<dyn MessageStore>) {
    write(&*store, [sent(chat(1), 1, 10), delete(chat(1), 1, 1, 20), sent(chat(1), 1, 10)]).await;
    let found = all_messages(&*store, chat(1)).await.remove(0).message;
    assert_eq!((found.content.as_str(), found.attachment, found.meta), ("", None, None));
    assert_eq!((found.message_id, found.sender), (message(chat(1), 1).message_id, user("ann")));
}

/// A change that lands before its message makes no half message.
pub async fn an_edit_of_an_unknown_message_shows_nothing(store: Arc<dyn MessageStore>) {
    write(&*store, [edit(chat(1), 1, 1, 20), delete(chat(1), 2, 2, 30), sent(chat(1), 3, 5)]).await;
    let found = all_messages(&*store, chat(1)).await;
    assert_eq!(found.iter().map(|stored| stored.message.seq).collect::<Vec<_>>(), [3]);
}

/// Replays are harmless.
pub async fn writing_again_changes_nothing(store: Arc<dyn MessageStore>) {
    let rows = scenario(chat(1));
    write(&*store, rows.clone()).await;
    let before = picture(&*store, chat(1)).await;
    for row in rows {
        write(&*store, [row]).await;
        assert_eq!(picture(&*store, chat(1)).await, before);
    }
}

/// Role, joined and left are cells of their own; who was added again is present.
pub async fn members_merge_in_any_order(store: Arc<dyn MessageStore>) {
    for seed in 0..24 {
        let chat_id = chat(seed.into());
        let member =
            |ts, role, joined, left_seq| Row::Member { chat_id, user: user("bob"), ts, role, joined, left_seq };
        let rows = vec![
            member(10, Role::Member, Some((at(10), 1)), None),
            member(20, Role::Admin, None, None),
            member(30, Role::Admin, None, Some(8)),
            member(40, Role::Member, Some((at(40), 12)), None),
            cursor(chat_id, "bob", 5, 3),
            push_cursor(chat_id, "bob", 4, 6),
            mute(chat_id, "bob", 15, Some(at(90))),
            mute(chat_id, "bob", 25, Some(at(99))),
        ];
        for row in shuffled(rows, seed) {
            write(&*store, [row]).await;
        }
        let members = store.members(chat_id).await.expect("members");
        let expected = MemberRow {
            user: user("bob"),
            role: Role::Member,
            joined_at: at(40),
            join_seq: 12,
            left_seq: Some(8),
            delivered: 5,
            read: 3,
            active: 4,
            pushed: 6,
            muted_until: Some(at(99)),
        };
        assert_eq!(members, [expected], "seed {seed}");
        assert!(members[0].is_present());
    }
}

/// Cursors are max registers, each by itself.
pub async fn cursors_never_go_back(store: Arc<dyn MessageStore>) {
    write(&*store, [join(chat(1), "bob", 10, 0)]).await;
    let cursors = [(5, 2), (3, 4), (0, 0), (6, 1), (6, 4), (2, 2)];
    let (mut first, mut second) = (0, 0);
    for (to_first, to_second) in cursors {
        let rows = [cursor(chat(1), "bob", to_first, to_second), push_cursor(chat(1), "bob", to_first, to_second)];
        write(&*store, rows).await;
        (first, second) = (to_first.max(first), to_second.max(second));
        let row = store.members(chat(1)).await.expect("members").remove(0);
        assert_eq!((row.delivered, row.read), (first, second));
        assert_eq!((row.active, row.pushed), (first, second));
    }
    write(&*store, [cursor(chat(2), "bob", 7, 7)]).await;
    assert_eq!(store.members(chat(2)).await, Ok(Vec::new()), "a cursor alone makes no member");
    write(&*store, [join(chat(2), "bob", 10, 0)]).await;
    assert_eq!(store.members(chat(2)).await.expect("members")[0].read, 7);
}

/// The last word about muting holds, also where it ends it.
pub async fn muting_can_be_ended(store: Arc<dyn MessageStore>) {
    let read = async || store.members(chat(1)).await.expect("members")[0].muted_until;
    write(&*store, [join(chat(1), "bob", 10, 0), mute(chat(1), "bob", 20, Some(at(99)))]).await;
    assert_eq!(read().await, Some(at(99)));
    write(&*store, [mute(chat(1), "bob", 30, None)]).await;
    assert_eq!(read().await, None);
    write(&*store, [mute(chat(1), "bob", 25, Some(at(77)))]).await;
    assert_eq!(read().await, None, "an older timestamp won");
}

/// Joined, left and the slot are cells of their own.
pub async fn the_inbox_merges_in_any_order(store: Arc<dyn MessageStore>) {
    for seed in 0..24 {
        let chat_id = chat(seed.into());
        let inbox = |ts, joined_at, left_at| Row::Inbox { user: user("bob"), chat_id, ts, joined_at, left_at };
        let active = |slot| Row::Active { user: user("bob"), chat_id, slot };
        let rows = vec![
            inbox(10, Some(at(10)), None),
            inbox(20, None, Some(at(20))),
            inbox(30, Some(at(30)), None),
            active(4),
            active(9),
            active(7),
        ];
        for row in shuffled(rows, seed) {
            write(&*store, [row]).await;
        }
        let found = store.inbox(&user("bob")).await.expect("inbox");
        let expected = InboxRow { chat_id, joined_at: at(30), left_at: None, active_slot: 9 };
        assert_eq!(found.iter().find(|row| row.chat_id == chat_id), Some(&expected), "seed {seed}");
        // Out and in again, and out for good, within one millisecond of the log's clock.
        for (ts, is_in) in [(31, false), (32, true), (33, false)] {
            write(&*store, [inbox(ts, is_in.then(|| at(30)), (!is_in).then(|| at(30)))]).await;
            let found = store.inbox(&user("bob")).await.expect("inbox");
            let row = found.iter().find(|row| row.chat_id == chat_id).expect("the row");
            assert_eq!(row.is_present(), is_in, "at {ts}");
        }
    }
}

/// Everything at once: any order, in one batch or row by row, reads the same.
pub async fn any_order_of_writes_gives_the_same_rows(store: Arc<dyn MessageStore>) {
    write(&*store, scenario(chat(1_000))).await;
    let in_order = picture(&*store, chat(1_000)).await;
    for seed in 0..12 {
        let chat_id = chat(seed.into());
        let rows = shuffled([scenario(chat_id), scenario(chat_id)].concat(), seed);
        for part in rows.chunks(1 + usize::try_from(seed).unwrap_or(0)) {
            write(&*store, part.to_vec()).await;
        }
        assert_eq!(picture(&*store, chat_id).await, in_order, "seed {seed}");
    }
}

/// A life of a chat: every kind of row, most of them more than once.
fn scenario(chat_id: ChatId) -> Vec<Row> {
    let roster = |names: &[&str]| {
        let member = |name: &&str| RosterMember { user: user(name), role: Role::Member, join_seq: 0 };
        Arc::new(Roster::new(names.iter().map(member).collect()))
    };
    let key = |id| IdKey { chat_id, id: Uuid::from_u128(id), actor: user("ann") };
    let id_row = |seq, rev, ts| IdRow { seq, rev, position: position(ts), ts };
    vec![
        Row::Chat { chat_id, ts: 1, header: header(Some("one"), 1) },
        Row::Roster { chat_id, at: position(1), roster: roster(&["ann"]) },
        join(chat_id, "ann", 1, 0),
        Row::Inbox { user: user("ann"), chat_id, ts: 1, joined_at: Some(at(1)), left_at: None },
        sent(chat_id, 1, 2),
        Row::Id { key: key(1), row: id_row(1, 0, 2) },
        Row::Active { user: user("ann"), chat_id, slot: 1 },
        cursor(chat_id, "ann", 1, 1),
        join(chat_id, "bob", 3, 1),
        Row::Roster { chat_id, at: position(3), roster: roster(&["ann", "bob"]) },
        Row::Inbox { user: user("bob"), chat_id, ts: 3, joined_at: Some(at(3)), left_at: None },
        sent(chat_id, 2, 4),
        edit(chat_id, 1, 1, 5),
        Row::Change { chat_id, rev: 1, ts: 5, seq: 1 },
        Row::Id { key: key(2), row: id_row(1, 1, 5) },
        cursor(chat_id, "bob", 2, 0),
        edit(chat_id, 1, 2, 6),
        Row::Change { chat_id, rev: 2, ts: 6, seq: 1 },
        delete(chat_id, 2, 3, 7),
        Row::Change { chat_id, rev: 3, ts: 7, seq: 2 },
        Row::ChatName { chat_id, ts: 8, name: "two".to_owned() },
        Row::Member { chat_id, user: user("bob"), ts: 9, role: Role::Member, joined: None, left_seq: Some(3) },
        Row::Inbox { user: user("bob"), chat_id, ts: 9, joined_at: None, left_at: Some(at(9)) },
        cursor(chat_id, "bob", 1, 2),
        push_cursor(chat_id, "bob", 2, 1),
        mute(chat_id, "bob", 10, Some(at(70))),
        Row::Active { user: user("ann"), chat_id, slot: 3 },
    ]
}

/// All that can be read of a chat, as text without the chat's own id.
async fn picture(store: &dyn MessageStore, chat_id: ChatId) -> Vec<String> {
    let id = |n| IdKey { chat_id, id: Uuid::from_u128(n), actor: user("ann") };
    let mut inbox = Vec::new();
    for name in ["ann", "bob"] {
        let rows = sorted_inbox(store, name).await;
        inbox.push(rows.into_iter().find(|row| row.chat_id == chat_id));
    }
    let seen = [
        format!("{:?}", store.header(chat_id).await),
        format!("{:?}", all_messages(store, chat_id).await),
        format!("{:?}", store.changes(chat_id, 0, Rev::MAX, 100).await),
        format!("{:?}", store.ids(&[id(1), id(2), id(3)]).await),
        format!("{:?}", sorted_members(store, chat_id).await),
        format!("{:?}", store.roster_before(chat_id, position(100)).await),
        format!("{:?}", store.roster_before(chat_id, position(3)).await),
        format!("{inbox:?}"),
    ];
    seen.map(|text| text.replace(&chat_id.to_string(), "chat")).to_vec()
}
