//! Emission: what a batch told goes to `events` and `push`, one batch after the other, while the next is decided.

use std::sync::Arc;

use chat_core::message_log::{Append, LogError, MessageLog};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::backoff_at;

/// Batches on their way to the log, in order: one begins when the one before has ended well, so the records of a chat
/// never overtake each other. Dropping it gives up what is not written yet.
#[derive(Debug, Default)]
pub(super) struct Emissions {
    under_way: FuturesOrdered<AbortOnDropHandle<Result<u64, LogError>>>,
    last: Option<oneshot::Receiver<()>>,
}

impl Emissions {
    /// Begins to emit a batch, which ends before the offset `next`.
    pub(super) fn push(&mut self, log: Arc<dyn MessageLog>, appends: Vec<Append>, next: u64) {
        let (done, ended) = oneshot::channel();
        let before = self.last.replace(ended);
        self.under_way.push_back(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Some(before) = before {
                before.await.map_err(|_| LogError::Unavailable("the batch before was not emitted".into()))?;
            }
            append(&*log, appends, next).await?;
            // Nobody listens where no batch follows.
            _ = done.send(());
            Ok(next)
        })));
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Waits for the oldest batch; returns the offset after it, `None` where none is under way. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Result<u64, LogError>> {
        let ended = self.under_way.next().await?;
        Some(ended.unwrap_or_else(|error| Err(LogError::Unavailable(error.to_string()))))
    }
}

/// Appends a batch. Attempts go on as long as the log only says "full".
async fn append(log: &dyn MessageLog, appends: Vec<Append>, next: u64) -> Result<(), LogError> {
    let mut attempt = 0;
    while !appends.is_empty() {
        match log.append_all(appends.clone()).await {
            Ok(_) => break,
            Err(LogError::Full) => {
                attempt += 1;
                sleep(backoff_at(attempt, (next, attempt))).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
