//! The store of users on the embedded database. Unlike store rows, its rows are synced before they are acknowledged:
//! no record of the log would make them again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::tables::{Bytes, Draft, Rows};
use super::{BlockRow, DeviceRow, ErasureReport, UsageRow, UserRow, UserStore, UserWrite};
use crate::embedded::{Engine, Weight, Worker};
use crate::id::UserId;
use crate::message_store::StoreError;

/// The port's deadline for every call.
const DEADLINE: Duration = Duration::from_secs(5);

/// Calls that may wait for the writer; further ones wait for a place, within the deadline.
const QUEUE: usize = 256;

/// Writes that one group takes at most.
const GROUP_WRITES: usize = 4 << 10;

/// The store of users of an embedded database; opened by [`EmbeddedDb::open`](crate::embedded::EmbeddedDb::open).
#[derive(Debug)]
pub struct EmbeddedUserStore {
    writer: Worker<Command>,
    engine: Arc<Engine>,
}

/// One call.
#[derive(Debug)]
struct Command {
    writes: Vec<UserWrite>,
    reply: oneshot::Sender<Result<(), StoreError>>,
}

impl Weight for Command {
    fn weight(&self) -> usize {
        self.writes.len()
    }
}

impl EmbeddedUserStore {
    pub(crate) fn open(engine: Arc<Engine>) -> std::io::Result<Self> {
        let own = Arc::clone(&engine);
        let writer = Worker::spawn("user-writer", QUEUE, GROUP_WRITES, move |group| write(&own, group))?;
        Ok(Self { writer, engine })
    }

    /// Reads where it may block: a row may have to come from the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let engine = Arc::clone(&self.engine);
        let work = tokio::task::spawn_blocking(move || read(&engine));
        tokio::time::timeout(DEADLINE, work).await.map_err(unavailable)?.map_err(unavailable)?
    }
}

/// Merges and writes a group of calls with one sync, and answers them all.
fn write(engine: &Engine, group: Vec<Command>) {
    let mut draft = Draft::new(engine);
    let mut waiting = Vec::with_capacity(group.len());
    for Command { writes, reply } in group {
        match writes.iter().try_for_each(|write| draft.apply(write)) {
            Ok(()) => waiting.push(reply),
            // A caller that no longer waits has met its deadline.
            Err(error) => _ = reply.send(Err(error)),
        }
    }
    let changes = draft.into_changes();
    let mut batch = engine.batch(changes.len());
    for (key, changed) in changes {
        match changed {
            Some(bytes) => batch.insert(&engine.users, key, bytes),
            None => batch.remove(&engine.users, key),
        }
    }
    let written = engine.write(batch, true).map_err(unavailable);
    for reply in waiting {
        _ = reply.send(written.clone());
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Rows for Engine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.users.get(key).map_err(unavailable)?.map(|bytes| bytes.to_vec()))
    }

    fn range(&self, from: &[u8], upto: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let rows = self.users.range(from..upto).take(limit);
        rows.map(|pair| pair.into_inner().map(|(key, bytes)| (key.to_vec(), bytes.to_vec())).map_err(unavailable))
            .collect()
    }
}

#[async_trait]
impl UserStore for EmbeddedUserStore {
    async fn write(&self, writes: Vec<UserWrite>) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || StoreError::Unavailable("the writer of users has stopped".to_owned());
        let work = async {
            self.writer.queue().send(Command { writes, reply }).await.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        tokio::time::timeout(DEADLINE, work).await.map_err(unavailable)?
    }

    async fn users(&self, users: &[UserId]) -> Result<Vec<UserRow>, StoreError> {
        let users = users.to_vec();
        self.read(move |engine| users.iter().map(|user| engine.user(user)).collect()).await
    }

    async fn devices(&self, users: &[UserId]) -> Result<Vec<Vec<DeviceRow>>, StoreError> {
        let users = users.to_vec();
        self.read(move |engine| users.iter().map(|user| Rows::devices(engine, user)).collect()).await
    }

    async fn blocks(&self, user: &UserId, after: Option<&UserId>, limit: usize) -> Result<Vec<BlockRow>, StoreError> {
        let (user, after) = (user.clone(), after.cloned());
        self.read(move |engine| engine.blocks(&user, after.as_ref(), limit)).await
    }

    async fn blocked(&self, pairs: &[(UserId, UserId)]) -> Result<Vec<bool>, StoreError> {
        let pairs = pairs.to_vec();
        self.read(move |engine| pairs.iter().map(|(user, other)| engine.is_blocked(user, other)).collect()).await
    }

    async fn usage(&self, from: u64, upto: u64) -> Result<Vec<UsageRow>, StoreError> {
        self.read(move |engine| Rows::usage(engine, from, upto)).await
    }

    async fn report(&self, report_id: Uuid) -> Result<Option<ErasureReport>, StoreError> {
        self.read(move |engine| Rows::report(engine, report_id)).await
    }

    async fn unfinished(&self, limit: usize) -> Result<Vec<ErasureReport>, StoreError> {
        self.read(move |engine| Rows::unfinished(engine, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use super::*;
    use crate::clock::{SystemClock, Time};
    use crate::embedded::{EmbeddedDb, EmbeddedOptions};

    fn open(dir: &std::path::Path) -> EmbeddedDb {
        EmbeddedDb::open(dir, Arc::new(SystemClock), &EmbeddedOptions::default()).unwrap()
    }

    fn make() -> Ready<(Arc<dyn UserStore>, tempfile::TempDir)> {
        let dir = tempfile::tempdir().unwrap();
        ready((open(dir.path()).users, dir))
    }

    crate::user_store_contract!(make);

    #[tokio::test]
    async fn rows_are_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let user = UserId::new("ada").unwrap();
        let at = Time::from_millis(1_764_000_000_000);
        open(dir.path()).users.write(vec![UserWrite::Seen { user: user.clone(), at }]).await.unwrap();
        let rows = open(dir.path()).users.users(&[user]).await.unwrap();
        assert_eq!(rows[0].last_seen_at, Some(at));
    }
}
