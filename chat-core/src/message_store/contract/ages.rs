//! Check of a store whose messages age out.

use std::sync::Arc;
use std::time::Duration;

use super::{at, chat, message, position, write};
use crate::clock::{ManualClock, Time};
use crate::id::Seq;
use crate::message_store::{ChatState, MessageStore, Order, Row, SeqRange};

/// What has aged out is not read, from either end, and the first seq moves with it. The store is empty, keeps messages
/// for `age`, a minute or more, and goes by `clock`.
pub async fn messages_age_out_oldest_first(store: Arc<dyn MessageStore>, clock: ManualClock, age: Duration) {
    const HEAD: Seq = 10_050;
    // Across the end of a bucket; what is before them has aged out long ago.
    const FIRST: Seq = 9_951;
    let age = u64::try_from(age.as_millis()).expect("an age");
    let start = Time::from_millis(1_764_000_000_000);
    clock.set(start);
    let chat_id = chat(1);
    let created_at = |seq: Seq| start.plus_millis((seq - FIRST) * 10);
    let rows = (FIRST..=HEAD).map(|seq| {
        let message = Arc::new(crate::frame::Message { created_at: created_at(seq), ..message(chat_id, seq) });
        Row::Message { ts: seq, position: position(seq), message }
    });
    write(&*store, rows).await;
    let state = ChatState { position: position(HEAD), seq: HEAD, ts: HEAD, head_at: at(HEAD), ..ChatState::default() };
    store.write_states(vec![(chat_id, state)]).await.expect("write_states");
    let seqs = async |after, upto, order, limit| -> Vec<Seq> {
        let rows = store.messages(chat_id, SeqRange { after, upto }, order, limit).await.expect("messages");
        rows.into_iter().map(|row| row.message.seq).collect()
    };
    for first in [FIRST, FIRST + 1, 10_000, 10_001, 10_002, HEAD, HEAD + 1] {
        clock.set(created_at(first).plus_millis(age));
        assert_eq!(store.first_seq(chat_id, HEAD).await, Ok(first));
        let kept: Vec<Seq> = (first..=HEAD).collect();
        assert_eq!(seqs(0, HEAD, Order::OldestFirst, 200).await, kept);
        assert_eq!(seqs(0, HEAD, Order::NewestFirst, 200).await, kept.iter().rev().copied().collect::<Vec<_>>());
        assert_eq!(seqs(0, HEAD, Order::OldestFirst, 1).await, kept.iter().take(1).copied().collect::<Vec<_>>());
        let middle: Vec<Seq> = (9_991..=10_010).filter(|seq| *seq >= first).collect();
        assert_eq!(seqs(9_990, 10_010, Order::OldestFirst, 200).await, middle);
    }
}
