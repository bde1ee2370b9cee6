//! Retention: drops the rows of messages that have aged out, chat after chat, in the background.
//!
//! Reads leave such rows out by themselves, so it does not matter when they go.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use uuid::Uuid;

use super::unavailable;
use crate::clock::Time;
use crate::embedded::Engine;
use crate::id::{ChatId, Seq};
use crate::message_store::tables::{RowKey, StoredRow};
use crate::message_store::{Kept, StoreError};

/// Returns the time between two sweeps: a tenth of the age, at least a second, at most an hour.
fn pause_of(kept: &Kept) -> Duration {
    (kept.age() / 10).clamp(Duration::from_secs(1), Duration::from_hours(1))
}

/// Rows that one step looks at, at most: the store's writer takes its turn in between.
const STEP: usize = 1024;

/// The thread that drops rows. Dropping it stops the thread.
#[derive(Debug)]
pub(super) struct Sweeper {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    pub(super) fn spawn(engine: Arc<Engine>, kept: Kept) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new().name("store-sweeper".to_owned()).spawn(move || {
            let pause = pause_of(&kept);
            let mut next = None;
            while stopped.recv_timeout(if next.is_some() { Duration::ZERO } else { pause })
                == Err(RecvTimeoutError::Timeout)
            {
                next = step(&engine, kept.since(), next).unwrap_or_else(|error| {
                    tracing::warn!(%error, "retention cannot drop messages");
                    None
                });
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was already reported by its own thread.
            _ = thread.join();
        }
    }
}

/// Looks at no more than [`STEP`] rows, beginning at a message; returns where to go on, `None` at the end.
pub(super) fn step(
    engine: &Engine,
    since: Time,
    from: Option<(ChatId, Seq)>,
) -> Result<Option<(ChatId, Seq)>, StoreError> {
    let mut batch = engine.batch(STEP);
    let mut looked_at = 0;
    let mut place = Some(from.unwrap_or((ChatId(Uuid::nil()), 0)));
    while let Some((chat, seq)) = place
        && looked_at < STEP
    {
        place = None;
        let keys = RowKey::Message(chat, seq).encode()..=RowKey::Message(ChatId(Uuid::max()), Seq::MAX).encode();
        for pair in engine.rows.range(keys) {
            let (bytes, value) = pair.into_inner().map_err(unavailable)?;
            let key = RowKey::decode(&bytes).ok_or_else(|| StoreError::Corrupt(format!("key {bytes:?}")))?;
            let row = StoredRow::decode(&key, &value)?;
            let (RowKey::Message(chat, seq), StoredRow::Message(cells)) = (key, row) else { continue };
            looked_at += 1;
            if !cells.is_before(since) {
                // Times do not fall within a chat: the rest of it is kept.
                place = Some((chat, Seq::MAX));
                break;
            }
            batch.remove(&engine.rows, bytes);
            if looked_at == STEP {
                place = Some((chat, seq));
                break;
            }
        }
    }
    if !batch.is_empty() {
        engine.write(batch, false).map_err(unavailable)?;
    }
    Ok(place)
}
