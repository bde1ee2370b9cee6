//! One pass of an erasure through the chats that a user is or was in.

use chat_core::codes::ErrorCode;
use chat_core::event::Outcome;
use chat_core::frame::{ContentType, Fault};
use chat_core::id::{ChatId, Seq, UserId};
use chat_core::message_log::{Position, partition_of};
use chat_core::message_store::{IdKey, InboxRow, Order, SeqRange, StoredMessage};
use chat_core::record::{ERASE_MAX, Op, Record};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustc_hash::FxHashSet;
use uuid::{Builder, Uuid};

use super::{Progress, retry};
use crate::state::State;
use crate::view::store_fault;

/// Messages a read.
const ROWS: usize = 500;

/// Partitions that are waited for at once.
const CONCURRENT_WAITS: usize = 16;

/// Goes through all chats, those included that begin meanwhile.
pub(super) async fn run(state: &State, progress: &Progress) -> Result<(), Fault> {
    let report = progress.report();
    progress.change(|report| (report.chats, report.messages) = (0, 0));
    settle(state, &report.user).await?;
    let mut passed: FxHashSet<ChatId> = FxHashSet::default();
    loop {
        let mut inbox = retry(|| async { state.store.inbox(&report.user).await.map_err(store_fault) }).await?;
        inbox.retain(|row| passed.insert(row.chat_id));
        if inbox.is_empty() {
            return Ok(());
        }
        for row in inbox {
            let emptied = chat(state, &report.user, report.report_id, &row).await?;
            progress.change(|report| {
                report.chats += 1;
                report.messages += emptied;
            });
        }
    }
}

/// Waits until all that was acknowledged before is sequenced: only then are all chats in the inbox, and all messages
/// below the heads. A record in a chat that nobody is in passes through every partition and changes nothing.
async fn settle(state: &State, user: &UserId) -> Result<(), Fault> {
    let passes = (0..state.partitions).map(|partition| async move {
        let mut nobodys = (0..).map(|number| ChatId(Uuid::from_u128(number)));
        let Some(chat_id) = nobodys.find(|chat_id| partition_of(*chat_id, state.partitions) == partition) else {
            return Ok(());
        };
        let record = Record::new(chat_id, user.clone(), state.new_id(), Op::Erase { seqs: vec![1] });
        decided(state, record).await.map(drop)
    });
    stream::iter(passes).buffer_unordered(CONCURRENT_WAITS).try_collect().await
}

/// Takes the user out of a chat and empties what is left of their messages; returns how many this erasure emptied.
async fn chat(state: &State, user: &UserId, report_id: Uuid, row: &InboxRow) -> Result<u64, Fault> {
    let chat_id = row.chat_id;
    let Some(begun) = begin(state, user, report_id, chat_id).await? else { return Ok(0) };
    if row.is_present() && !chat_id.is_direct() {
        let leaving = Record::new(chat_id, user.clone(), state.new_id(), Op::RemoveMember { user: user.clone() });
        if let Outcome::Refused { code } = decided(state, leaving).await? {
            tracing::debug!(%chat_id, %code, "out of the group already");
        }
    }
    let heads = retry(|| async { state.store.states(&[chat_id]).await.map_err(store_fault) }).await?;
    let upto = heads.into_iter().flatten().next().map_or(0, |head| head.seq);
    let (mut after, mut emptied) = (0, 0);
    while after < upto {
        let range = SeqRange { after, upto };
        let read =
            || async { state.store.messages(chat_id, range, Order::OldestFirst, ROWS).await.map_err(store_fault) };
        let rows = retry(read).await?;
        after = rows.last().map_or(upto, |row| row.message.seq);
        let of_user =
            |row: &&StoredMessage| row.message.sender == *user && row.message.content_type != ContentType::System;
        let theirs = || rows.iter().filter(of_user);
        let left: Vec<Seq> =
            theirs().filter(|row| row.message.deleted_at.is_none()).map(|row| row.message.seq).collect();
        for seqs in left.chunks(ERASE_MAX) {
            let record = Record::new(chat_id, user.clone(), state.new_id(), Op::Erase { seqs: seqs.to_vec() });
            if let Outcome::Refused { code } = decided(state, record).await? {
                return Err(Fault::of(code));
            }
        }
        let before = theirs().filter(|row| row.deleted_position.is_some_and(|at| at >= begun)).count();
        emptied += (left.len() + before) as u64;
    }
    Ok(emptied)
}

/// Puts the erasure's first record into a chat, and returns where it stands, whoever put it there; `None` where there
/// is no such chat.
async fn begin(state: &State, user: &UserId, report_id: Uuid, chat_id: ChatId) -> Result<Option<Position>, Fault> {
    let id = first_id(report_id, chat_id);
    let outcome = decided(state, Record::new(chat_id, user.clone(), id, Op::Erase { seqs: vec![1] })).await?;
    match outcome {
        Outcome::Applied { .. } | Outcome::Duplicate { .. } => {}
        Outcome::Refused { code: ErrorCode::ChatNotFound } => return Ok(None),
        Outcome::Refused { code } => return Err(Fault::of(code)),
    }
    let key = IdKey { chat_id, id, actor: user.clone() };
    let found = retry(|| async { state.store.ids(std::slice::from_ref(&key)).await.map_err(store_fault) }).await?;
    found.into_iter().flatten().next().map(|row| Some(row.position)).ok_or_else(|| Fault::of(ErrorCode::Unavailable))
}

/// Makes the idempotency key of an erasure's first record in a chat: the same on whatever gateway, of the time at which
/// the erasure was asked for.
fn first_id(report_id: Uuid, chat_id: ChatId) -> Uuid {
    let (millis, _) = report_id.as_u64_pair();
    let tail = Uuid::new_v5(&report_id, chat_id.0.as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&tail.as_bytes()[6..]);
    Builder::from_unix_timestamp_millis(millis >> 16, &random).into_uuid()
}

/// Appends a record and waits for what becomes of it.
async fn decided(state: &State, record: Record) -> Result<Outcome, Fault> {
    let record = record.reply_to(state.id.clone());
    retry(|| state.append_and_wait(&record)).await
}

#[cfg(test)]
mod tests {
    use chat_core::id::v7_millis;

    use super::*;

    #[test]
    fn the_first_record_of_an_erasure_in_a_chat_has_one_id_of_the_erasures_time() {
        let report_id = Uuid::now_v7();
        let chats = [1, 2].map(|number| ChatId(Uuid::from_u128(number)));
        let ids = chats.map(|chat_id| first_id(report_id, chat_id));
        assert_eq!(ids, chats.map(|chat_id| first_id(report_id, chat_id)));
        assert_ne!(ids[0], ids[1]);
        assert_eq!(v7_millis(ids[0]), v7_millis(report_id));
    }
}
