//! A store that fails: before a write lands, after it, or half-way, and whose lost writes may land late.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::id::{ChatId, Rev, Seq, UserId};
use chat_core::message_log::Position;
use chat_core::message_store::memory::MemoryStore;
use chat_core::message_store::{
    ChatHeader, ChatState, IdKey, IdRow, InboxRow, MemberRow, MessageStore, Order, Roster, Row, SeqRange, StoreError,
    StoredMessage,
};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use uuid::Uuid;

use super::write::Write;

/// Chances of faults of one call, between 0 and 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StoreFaults {
    /// A read fails.
    pub(crate) read: f64,
    /// A write fails; any part of it lands, and any part of the rest lands later.
    pub(crate) write: f64,
    /// Longest time after which a failed write's rest lands.
    pub(crate) late: Duration,
    /// Longest time a call takes.
    pub(crate) slow: Duration,
}

/// What a store does that its contract forbids, to see that the ledger finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFlaw {
    /// It acknowledges rows that it does not keep, now and then.
    ForgetsRows,
    /// It acknowledges rows and keeps them a little later, so that heads come first.
    HeadsFirst,
    /// It finds no idempotency key.
    ForgetsIds,
}

/// Wraps a memory store. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct FlakyStore {
    pub(crate) inner: MemoryStore,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    faults: StoreFaults,
    is_down: bool,
    flaw: Option<StoreFlaw>,
    rng: StdRng,
}

impl FlakyStore {
    pub(crate) fn new(inner: MemoryStore, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let state = State { faults: StoreFaults::default(), is_down: false, flaw: None, rng };
        Self { inner, state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn set_faults(&self, faults: StoreFaults) {
        self.state().faults = faults;
    }

    /// Makes every call fail, with no effect, until it is set up again.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Sets the longest time a call takes.
    pub(crate) fn set_slow(&self, slow: Duration) {
        self.state().faults.slow = slow;
    }

    pub(crate) fn set_flaw(&self, flaw: StoreFlaw) {
        self.state().flaw = Some(flaw);
    }

    fn has(&self, flaw: StoreFlaw) -> bool {
        self.state().flaw == Some(flaw)
    }

    fn land_later(&self, writes: Vec<Write>, late: Duration) {
        let store = self.inner.clone();
        tokio::spawn(async move {
            sleep(late).await;
            for write in &writes {
                write.land(&store);
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn read(&self) -> Result<(), StoreError> {
        let (time, fails) = {
            let mut state = self.state();
            let faults = state.faults;
            let fails = state.is_down || state.rng.random_bool(faults.read);
            (faults.slow.mul_f64(state.rng.random_range(0.0..=1.0)), fails)
        };
        sleep(time).await;
        if fails { Err(unavailable()) } else { Ok(()) }
    }

    async fn write(&self, mut writes: Vec<Write>) -> Result<(), StoreError> {
        let (time, fails, now, late) = {
            let mut state = self.state();
            let faults = state.faults;
            let time = faults.slow.mul_f64(state.rng.random_range(0.0..=1.0));
            if state.is_down {
                (time, true, 0, Duration::ZERO)
            } else if state.rng.random_bool(faults.write) {
                writes.shuffle(&mut state.rng);
                let now = state.rng.random_range(0..=writes.len());
                (time, true, now, faults.late.mul_f64(state.rng.random_range(0.0..=1.0)))
            } else {
                (time, false, writes.len(), Duration::ZERO)
            }
        };
        sleep(time).await;
        for write in writes.drain(..now) {
            write.land(&self.inner);
        }
        if !fails {
            return Ok(());
        }
        if late > Duration::ZERO {
            let keep = self.state().rng.random_range(0..=writes.len());
            writes.truncate(keep);
            self.land_later(writes, late);
        }
        Err(unavailable())
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("a test wants it so".into())
}

#[async_trait]
impl MessageStore for FlakyStore {
    async fn write_rows(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let writes = rows.into_iter().map(Write::Row).collect();
        if self.has(StoreFlaw::ForgetsRows) && self.state().rng.random_bool(0.05) {
            return Ok(());
        }
        if self.has(StoreFlaw::HeadsFirst) {
            self.land_later(writes, Duration::from_secs(1));
            return Ok(());
        }
        self.write(writes).await
    }

    async fn write_states(&self, states: Vec<(ChatId, ChatState)>) -> Result<(), StoreError> {
        self.write(states.into_iter().map(|(chat, state)| Write::State(chat, state)).collect()).await
    }

    async fn states(&self, chats: &[ChatId]) -> Result<Vec<Option<ChatState>>, StoreError> {
        self.read().await?;
        self.inner.states(chats).await
    }

    async fn header(&self, chat: ChatId) -> Result<Option<ChatHeader>, StoreError> {
        self.read().await?;
        self.inner.header(chat).await
    }

    async fn roster(&self, chat: ChatId, at: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        self.read().await?;
        self.inner.roster(chat, at).await
    }

    async fn roster_before(&self, chat: ChatId, position: Position) -> Result<Option<Arc<Roster>>, StoreError> {
        self.read().await?;
        self.inner.roster_before(chat, position).await
    }

    async fn ids(&self, keys: &[IdKey]) -> Result<Vec<Option<IdRow>>, StoreError> {
        self.read().await?;
        if self.has(StoreFlaw::ForgetsIds) { Ok(vec![None; keys.len()]) } else { self.inner.ids(keys).await }
    }

    async fn messages(
        &self,
        chat: ChatId,
        range: SeqRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.read().await?;
        self.inner.messages(chat, range, order, limit).await
    }

    async fn changes(&self, chat: ChatId, after: Rev, upto: Rev, limit: usize) -> Result<Vec<(Rev, Seq)>, StoreError> {
        self.read().await?;
        self.inner.changes(chat, after, upto, limit).await
    }

    async fn members(&self, chat: ChatId) -> Result<Vec<MemberRow>, StoreError> {
        self.read().await?;
        self.inner.members(chat).await
    }

    async fn memberships(&self, user: &UserId, chats: &[ChatId]) -> Result<Vec<Option<MemberRow>>, StoreError> {
        self.read().await?;
        self.inner.memberships(user, chats).await
    }

    async fn inbox(&self, user: &UserId) -> Result<Vec<InboxRow>, StoreError> {
        self.read().await?;
        self.inner.inbox(user).await
    }

    async fn restore_epoch(&self) -> Result<Uuid, StoreError> {
        self.inner.restore_epoch().await
    }
}
