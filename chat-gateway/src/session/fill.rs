//! The filler: reads what a session that is behind has missed, chat by chat, at the pace of its client.
//!
//! It exists only while a chat is behind. It never gives up on one: a store that does not answer is asked again.

use std::sync::Arc;
use std::time::Duration;

use chat_core::id::Seq;
use chat_core::message_store::{Order, SeqRange, StoreError};

use super::machine::Due;
use super::{Session, changes};
use crate::dispatch::encode;
use crate::state::State;
use crate::view::View;

/// Rows a read.
const ROWS: usize = 100;

/// Pauses after a read that failed or brought nothing.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// Starts the filler of a session. The caller was told to by the session, which wants one at a time.
pub(crate) fn start(state: &Arc<State>, session: &Arc<Session>) {
    state.tasks.spawn(run(Arc::clone(state), Arc::clone(session)));
}

async fn run(state: Arc<State>, session: Arc<Session>) {
    let mut pause = RETRY_FIRST;
    while let Some(due) = session.next_due() {
        if !session.has_space().await {
            continue;
        }
        let has_moved = {
            let Ok(_permit) = state.fills.acquire().await else { return };
            fill(&state, &session, due).await
        };
        match has_moved {
            Ok(true) => {
                pause = RETRY_FIRST;
                continue;
            }
            Ok(false) => tracing::debug!(session = session.number, chat = %due.chat_id, "nothing to fill yet"),
            Err(error) => tracing::warn!(session = session.number, %error, "failed to fill"),
        }
        // Others may be readable: the one that is not goes last.
        session.with_machine(super::machine::Machine::rotate);
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// Returns up to where these seqs go on from `after` without a hole. The head is above every row that is read, so a
/// row that is missing below another is one that a replica does not have yet: it is read again, never skipped.
fn reach(after: Seq, seqs: impl Iterator<Item = Seq>) -> Seq {
    seqs.fold(after, |reached, seq| if seq == reached + 1 { seq } else { reached })
}

/// Reads one stretch of one chat and sends it; returns whether that moved the chat on.
async fn fill(state: &State, session: &Session, due: Due) -> Result<bool, StoreError> {
    state.metrics.fills.inc();
    let Due { chat_id, after, .. } = due;
    let Some(view) = View::read(&*state.store, &session.user, chat_id).await? else {
        // Never a member: whatever named this chat, there is nothing in it for this user.
        session.with_machine(|machine| machine.release(chat_id));
        return Ok(true);
    };
    let head = view.head.seq;
    if after < head {
        let range = SeqRange { after, upto: head };
        let rows = view.messages(&*state.store, range, Order::OldestFirst, ROWS).await?;
        let seen = after.max(view.after());
        if rows.first().is_none_or(|row| row.seq > seen + 1) {
            // What is missing may have aged out while the session was behind. Then nobody can send it any more: the
            // client sees the gap and syncs.
            let aged = state.store.first_seq(chat_id, head).await?.saturating_sub(1);
            if aged > seen {
                session.cover(chat_id, after, aged, Vec::new());
                return Ok(true);
            }
        }
        let reached = reach(seen, rows.iter().map(|row| row.seq));
        // What is above the last seq the user may see is not theirs, and is behind them with it.
        let upto = if reached >= view.upto() { head } else { reached };
        let whole = rows.iter().take_while(|row| row.seq <= reached);
        let frames = whole.map(|row| (row.seq, encode::message(row))).collect();
        // `None`: the cursor moved meanwhile, so the next stretch is another one.
        session.cover(chat_id, after, upto, frames);
        return Ok(upto > after);
    }
    if let Some(after_rev) = due.after_rev
        && after_rev < view.head.rev
    {
        let changes = changes::read(&*state.store, &view, after_rev, ROWS).await?;
        session.cover_changes(chat_id, after_rev, changes.upto, changes.frames);
        return Ok(true);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_ends_what_was_read() {
        for (after, seqs, reached) in
            [(4, vec![5, 6, 7], 7), (4, vec![], 4), (4, vec![6, 7], 4), (4, vec![5, 7, 8], 5), (0, vec![1, 3, 2], 2)]
        {
            assert_eq!(reach(after, seqs.iter().copied()), reached, "{seqs:?} after {after}");
        }
    }
}
