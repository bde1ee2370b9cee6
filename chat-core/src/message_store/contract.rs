//! The contract of the message store, as checks that every engine passes.
//!
//! Each check takes an empty store. [`message_store_contract!`](crate::message_store_contract) makes one test of each:
//!
//! ```text
//! async fn make() -> (Arc<dyn MessageStore>, impl Sized) { … } // the second value lives as long as the test
//! chat_core::message_store_contract!(make);
//! ```
//!
//! A store whose messages age out passes [`messages_age_out_oldest_first`] too.
#![expect(clippy::missing_panics_doc, reason = "a check panics where the contract is broken; that is its answer")]

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{InboxRow, MemberRow, MessageStore, Order, Row, SeqRange, StoredMessage};
use crate::clock::Time;
use crate::frame::{Attachment, ContentType, Message, Meta, Role};
use crate::id::{ChatId, MessageId, Rev, Seq, UserId};
use crate::message_log::Position;

mod ages;
mod cells;
mod reads;

pub use ages::*;
pub use cells::*;
pub use reads::*;

/// How long a check may take; what does not come within it never comes.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Makes one `#[tokio::test]` of each check; see [the module](crate::message_store::contract).
#[macro_export]
macro_rules! message_store_contract {
    ($make:path) => {
        $crate::message_store_contract! { @checks $make:
            an_empty_store_has_nothing,
            the_newer_state_wins_and_of_equal_ones_the_lower_position,
            states_come_in_the_order_asked,
            headers_and_names_are_separate_cells,
            messages_come_back_as_they_were_written,
            message_cells_merge_in_any_order,
            a_deleted_message_keeps_nothing_of_its_content,
            an_edit_of_an_unknown_message_shows_nothing,
            writing_again_changes_nothing,
            members_merge_in_any_order,
            cursors_never_go_back,
            muting_can_be_ended,
            the_inbox_merges_in_any_order,
            any_order_of_writes_gives_the_same_rows,
            ranges_are_exclusive_below_and_inclusive_above,
            ranges_read_both_ways_and_stop_at_the_limit,
            chats_do_not_see_each_other,
            ids_are_found_by_chat_id_and_actor,
            changes_ascend_within_their_range,
            members_and_memberships_are_found,
            the_inbox_is_one_users,
            rosters_are_found_at_and_below_a_position,
            writes_are_seen_once_acknowledged,
            a_large_batch_lands_whole,
            the_restore_epoch_stays,
        }
    };
    (@checks $make:path: $($check:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $check() {
            let (store, _guard) = $make().await;
            let check = $crate::message_store::contract::$check(store);
            tokio::time::timeout($crate::message_store::contract::DEADLINE, check).await.expect("the check takes too long");
        })+
    };
}

fn chat(n: u128) -> ChatId {
    ChatId(Uuid::from_u128(n))
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("a user id")
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// A position in epoch 1 that stands for this write timestamp.
fn position(offset: u64) -> Position {
    Position { epoch: 1, partition: 0, offset }
}

fn meta(text: &str) -> Meta {
    Meta::from_iter([("key".to_owned(), text.into())])
}

fn message(chat_id: ChatId, seq: Seq) -> Message {
    let attachment = Attachment {
        url: "https://files.example/1".to_owned(),
        name: "ä.png".to_owned(),
        mime_type: "image/png".to_owned(),
        size_bytes: 7,
        width: Some(1),
        height: None,
    };
    Message {
        chat_id,
        seq,
        rev: None,
        message_id: MessageId(Uuid::from_u128((1 << 100) + u128::from(seq))),
        sender: user("ann"),
        content_type: ContentType::Image,
        content: format!("content {seq}\n\u{1f600}"),
        attachment: Some(attachment),
        meta: Some(meta("sent")),
        system: None,
        created_at: at(seq * 1000),
        edited_at: None,
        deleted_at: None,
    }
}

fn sent(chat_id: ChatId, seq: Seq, ts: u64) -> Row {
    Row::Message { ts, position: position(ts), message: Arc::new(message(chat_id, seq)) }
}

fn edit(chat_id: ChatId, seq: Seq, rev: Rev, ts: u64) -> Row {
    let (content, meta) = (format!("edit {rev}"), Some(meta(&format!("edit {rev}"))));
    Row::Edit { chat_id, seq, ts, rev, content, meta, edited_at: at(ts) }
}

fn delete(chat_id: ChatId, seq: Seq, rev: Rev, ts: u64) -> Row {
    Row::Delete { chat_id, seq, ts, rev, deleted_at: at(ts), position: position(ts) }
}

fn cursor(chat_id: ChatId, name: &str, delivered: Seq, read: Seq) -> Row {
    Row::Cursor { chat_id, user: user(name), delivered, read }
}

fn push_cursor(chat_id: ChatId, name: &str, active: Seq, pushed: Seq) -> Row {
    Row::PushCursor { chat_id, user: user(name), active, pushed }
}

fn mute(chat_id: ChatId, name: &str, ts: u64, until: Option<Time>) -> Row {
    Row::Mute { chat_id, user: user(name), ts, until }
}

fn join(chat_id: ChatId, name: &str, ts: u64, join_seq: Seq) -> Row {
    let joined = Some((at(ts), join_seq));
    Row::Member { chat_id, user: user(name), ts, role: Role::Member, joined, left_seq: None }
}

async fn write(store: &dyn MessageStore, rows: impl IntoIterator<Item = Row>) {
    store.write_rows(rows.into_iter().collect()).await.expect("write_rows");
}

/// Reads up to 1000 messages of a chat, oldest first.
async fn all_messages(store: &dyn MessageStore, chat_id: ChatId) -> Vec<StoredMessage> {
    let range = SeqRange { after: 0, upto: Seq::MAX };
    store.messages(chat_id, range, Order::OldestFirst, 1000).await.expect("messages")
}

async fn sorted_members(store: &dyn MessageStore, chat_id: ChatId) -> Vec<MemberRow> {
    let mut members = store.members(chat_id).await.expect("members");
    members.sort_by(|a, b| a.user.cmp(&b.user));
    members
}

async fn sorted_inbox(store: &dyn MessageStore, name: &str) -> Vec<InboxRow> {
    let mut inbox = store.inbox(&user(name)).await.expect("inbox");
    inbox.sort_by_key(|row| row.chat_id);
    inbox
}

/// Mixes a list in a way that is the same in every run, another one for every seed (Knuth's MMIX generator).
fn shuffled<T>(mut items: Vec<T>, seed: u64) -> Vec<T> {
    let mut random = seed;
    for last in (1..items.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = usize::try_from((random >> 33) % (last as u64 + 1)).unwrap_or(0);
        items.swap(last, pick);
    }
    items
}
