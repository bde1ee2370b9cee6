//! Erasure of a user: they are signed out, leave their groups, and their messages are emptied by records on the log,
//! chat by chat; then their documents in the index, devices, blocks and row go. How far it came is in a report.
//!
//! Everything it does may be done again: what is emptied already is passed over, and counted as this erasure's by the
//! position of its first record in the chat. So a gateway that stops in the middle costs nothing but time: every
//! gateway looks for erasures that stand still, and takes them over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::id::UserId;
use chat_core::user_store::{ErasureReport, UserWrite};
use rustc_hash::FxHashSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::presence::presence_fault;
use crate::revocation;
use crate::rounds::Rounds;
use crate::state::State;
use crate::view::store_fault;

mod pass;

/// Whoever works on an erasure writes its report this often.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// A report that was not written for so long is nobody's.
const STANDS_STILL_MS: u64 = 30_000;

/// How often erasures that stand still are looked for.
const REVIEW_EVERY: Duration = Duration::from_mins(1);

/// Erasures that one review takes over at most.
const TAKEN_OVER: usize = 16;

/// Tries of one step; then the erasure stands still until it is taken over.
const TRIES: u32 = 10;

/// Pause between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a user who was signed out may take to be gone: a minute for the last gateway to hear of it, and the life
/// of a mark in the presence table.
const GONE_WITHIN: Duration = Duration::from_secs(95);

/// How often is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
    match state.users.report(report_id).await.map_err(store_fault)? {
        Some(report) if report.user != user => {
            return Err(Fault::invalid("idempotency-key", "this key is that of another erasure"));
        }
        Some(report) => take_over(state, report),
        None => {
            let now = state.clock.now();
            let (finished_at, chats, messages) = (None, 0, 0);
            let report =
                ErasureReport { report_id, user, requested_at: now, updated_at: now, finished_at, chats, messages };
            // Written before it is answered: from then on the erasure is not forgotten.
            let signed_out = UserWrite::Revoke { user: report.user.clone(), not_before: now };
            let writes = vec![UserWrite::Report(report.clone()), signed_out];
            state.users.write(writes).await.map_err(store_fault)?;
            revocation::apply(state, &report.user, now);
            work_on(state, report);
        }
    }
    Ok(())
}

/// Reads a report, and takes the erasure over where it stands still.
pub(crate) async fn report(state: &Arc<State>, report_id: Uuid) -> Result<ErasureReport, Fault> {
    let found = state.users.report(report_id).await.map_err(store_fault)?;
    let report = found.ok_or_else(|| Fault::of(ErrorCode::NotFound))?;
    take_over(state, report.clone());
    Ok(report)
}

/// Looks for erasures that stand still until the gateway stops.
pub(crate) async fn run(state: Arc<State>) {
    let mut rounds = Rounds::every(REVIEW_EVERY, &state.shutdown);
    while rounds.next().await {
        match state.users.unfinished(TAKEN_OVER).await {
            Ok(reports) => reports.into_iter().for_each(|report| take_over(&state, report)),
            Err(error) => tracing::warn!(%error, "failed to look for erasures that stand still"),
        }
    }
}

fn take_over(state: &Arc<State>, report: ErasureReport) {
    if state.clock.now().millis_since(report.updated_at) > STANDS_STILL_MS {
        work_on(state, report);
    }
}

fn work_on(state: &Arc<State>, report: ErasureReport) {
    let id = report.report_id;
    if report.finished_at.is_some() || !state.erasures.lock().insert(id) {
        return;
    }
    let working = Arc::clone(state);
    state.tasks.spawn(async move {
        let ended = tokio::select! {
            () = working.shutdown.cancelled() => Ok(()),
            ended = work(&working, Progress(Mutex::new(report))) => ended,
        };
        if let Err(fault) = ended {
            tracing::error!(report = %id, code = %fault.code, "an erasure stands still");
        }
        working.erasures.lock().remove(&id);
    });
}

/// The report of an erasure that is worked on.
struct Progress(Mutex<ErasureReport>);

impl Progress {
    fn change(&self, change: impl FnOnce(&mut ErasureReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn report(&self) -> ErasureReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes how far it came; from the first time on it is this gateway's.
    async fn write(&self, state: &State) -> Result<(), Fault> {
        self.change(|report| report.updated_at = state.clock.now());
        retry(|| async { state.users.write(vec![UserWrite::Report(self.report())]).await.map_err(store_fault) }).await
    }
}

async fn work(state: &State, progress: Progress) -> Result<(), Fault> {
    let written = async {
        loop {
            if let Err(fault) = progress.write(state).await {
                return fault;
            }
            tokio::time::sleep(WRITE_EVERY).await;
        }
    };
    tokio::select! {
        ended = erase(state, &progress) => ended?,
        fault = written => return Err(fault),
    }
    progress.change(|report| report.finished_at = Some(state.clock.now()));
    progress.write(state).await
}

async fn erase(state: &State, progress: &Progress) -> Result<(), Fault> {
    let user = progress.report().user;
    let was_there = retry(|| is_there(state, &user)).await?;
    pass::run(state, progress).await?;
    if was_there {
        // What they wrote meanwhile through a gateway that did not know yet that they are signed out goes too.
        wait_until_gone(state, &user).await?;
        pass::run(state, progress).await?;
    }
    if let Some(index) = &state.search {
        retry(|| async {
            index.erase(&user).await.map_err(|error| {
                tracing::warn!(%error, "failed to erase from the index");
                Fault::of(ErrorCode::Unavailable)
            })
        })
        .await?;
    }
    retry(|| async { state.users.write(vec![UserWrite::Erase { user: user.clone() }]).await.map_err(store_fault) })
        .await
}

/// Returns whether any gateway may still hold the user.
async fn is_there(state: &State, user: &UserId) -> Result<bool, Fault> {
    let online = state.presence.table.online(std::slice::from_ref(user)).await.map_err(presence_fault)?;
    Ok(online.contains(&true))
}

/// Waits until the user is gone; not for ever, for they may have come back with a new token.
async fn wait_until_gone(state: &State, user: &UserId) -> Result<(), Fault> {
    let give_up = Instant::now() + GONE_WITHIN;
    while Instant::now() < give_up && retry(|| is_there(state, user)).await? {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
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
