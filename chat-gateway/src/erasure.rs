//! Erasure of a user: their messages are emptied by records on the log, chat by chat; then their devices, blocks and
//! row go. How far it came is in a report.
//!
//! Everything it does may be done again: what is emptied already is passed over. So a gateway that stops in the middle
//! costs nothing but time, as whoever asks for the report of an erasure that stands still takes it over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::codes::ErrorCode;
use chat_core::event::Outcome;
use chat_core::frame::{ContentType, Fault};
use chat_core::id::{ChatId, Seq, UserId};
use chat_core::message_store::{Order, SeqRange, StoredMessage};
use chat_core::record::{ERASE_MAX, Op, Record};
use chat_core::user_store::{ErasureReport, UserWrite};
use rustc_hash::FxHashSet;
use uuid::Uuid;

use crate::state::State;
use crate::view::store_fault;

/// Messages a read.
const ROWS: usize = 500;

/// Whoever works on an erasure writes its report at least this often.
const WRITE_EVERY_MS: u64 = 5_000;

/// A report that was not written for so long is nobody's.
const STANDS_STILL_MS: u64 = 30_000;

/// Tries of one step; then the erasure stands still until somebody asks for its report.
const TRIES: u32 = 10;

/// Pause between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The erasures that this gateway works on.
#[derive(Debug, Default)]
pub(crate) struct Erasures(Mutex<FxHashSet<Uuid>>);

impl Erasures {
    fn lock(&self) -> MutexGuard<'_, FxHashSet<Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins the erasure of a user under this id, or goes on with it. An id that is another user's is refused.
pub(crate) async fn begin(state: &Arc<State>, report_id: Uuid, user: UserId) -> Result<(), Fault> {
    let report = match state.users.report(report_id).await.map_err(store_fault)? {
        Some(report) if report.user != user => {
            return Err(Fault::invalid("idempotency-key", "this key is that of another erasure"));
        }
        Some(report) => report,
        None => {
            let now = state.clock.now();
            let (finished_at, chats, messages) = (None, 0, 0);
            ErasureReport { report_id, user, requested_at: now, updated_at: now, finished_at, chats, messages }
        }
    };
    // Written before it is answered: from then on the erasure is not forgotten.
    state.users.write(vec![UserWrite::Report(report.clone())]).await.map_err(store_fault)?;
    work_on(state, report);
    Ok(())
}

/// Reads a report, and takes the erasure over where it stands still.
pub(crate) async fn report(state: &Arc<State>, report_id: Uuid) -> Result<ErasureReport, Fault> {
    let found = state.users.report(report_id).await.map_err(store_fault)?;
    let report = found.ok_or_else(|| Fault::of(ErrorCode::NotFound))?;
    if state.clock.now().millis_since(report.updated_at) > STANDS_STILL_MS {
        work_on(state, report.clone());
    }
    Ok(report)
}

fn work_on(state: &Arc<State>, report: ErasureReport) {
    let id = report.report_id;
    if report.finished_at.is_some() || !state.erasures.lock().insert(id) {
        return;
    }
    let working = Arc::clone(state);
    state.tasks.spawn(async move {
        let erasing = erase(&working, report);
        let ended = tokio::select! {
            () = working.shutdown.cancelled() => Ok(()),
            ended = erasing => ended,
        };
        if let Err(fault) = ended {
            tracing::error!(report = %id, code = %fault.code, "an erasure stands still");
        }
        working.erasures.lock().remove(&id);
    });
}

async fn erase(state: &State, mut report: ErasureReport) -> Result<(), Fault> {
    let user = report.user.clone();
    let inbox = retry(|| async { state.store.inbox(&user).await.map_err(store_fault) }).await?;
    report.chats = 0;
    for row in inbox {
        erase_chat(state, row.chat_id, &mut report).await?;
        report.chats += 1;
    }
    retry(|| async { state.users.write(vec![UserWrite::Erase { user: user.clone() }]).await.map_err(store_fault) })
        .await?;
    report.finished_at = Some(state.clock.now());
    write(state, &mut report).await
}

async fn erase_chat(state: &State, chat_id: ChatId, report: &mut ErasureReport) -> Result<(), Fault> {
    let heads = retry(|| async { state.store.states(&[chat_id]).await.map_err(store_fault) }).await?;
    let upto = heads.into_iter().flatten().next().map_or(0, |head| head.seq);
    let mut after = 0;
    while after < upto {
        let range = SeqRange { after, upto };
        let read =
            || async { state.store.messages(chat_id, range, Order::OldestFirst, ROWS).await.map_err(store_fault) };
        let rows = retry(read).await?;
        after = rows.last().map_or(upto, |row| row.message.seq);
        let theirs: Vec<Seq> =
            rows.iter().filter(|row| is_left(row, &report.user)).map(|row| row.message.seq).collect();
        for seqs in theirs.chunks(ERASE_MAX) {
            let op = Op::Erase { seqs: seqs.to_vec() };
            let record = Record::new(chat_id, report.user.clone(), state.new_id(), op).reply_to(state.id.clone());
            match retry(|| state.append_and_wait(&record)).await? {
                Outcome::Applied { .. } | Outcome::Duplicate { .. } => report.messages += seqs.len() as u64,
                Outcome::Refused { code } => return Err(Fault::of(code)),
            }
        }
        if state.clock.now().millis_since(report.updated_at) > WRITE_EVERY_MS {
            write(state, report).await?;
        }
    }
    Ok(())
}

/// Returns whether a message is one to empty.
fn is_left(row: &StoredMessage, user: &UserId) -> bool {
    let message = &row.message;
    message.sender == *user && message.deleted_at.is_none() && message.content_type != ContentType::System
}

async fn write(state: &State, report: &mut ErasureReport) -> Result<(), Fault> {
    report.updated_at = state.clock.now();
    let report = &*report;
    retry(|| async { state.users.write(vec![UserWrite::Report(report.clone())]).await.map_err(store_fault) }).await
}

/// Repeats a step that may succeed later.
async fn retry<T, F: Future<Output = Result<T, Fault>>>(mut step: impl FnMut() -> F) -> Result<T, Fault> {
    for _ in 1..TRIES {
        match step().await {
            Err(fault) if fault.temporary => tokio::time::sleep(TRY_AGAIN_AFTER).await,
            ended => return ended,
        }
    }
    step().await
}
