//! The positions of a single process. Losing the process loses them, and its clients sync.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::{POSITIONS_TTL_MS, PollPositions, Positions, PositionsError};

/// How many are kept. Beyond it the oldest go first, as if their time had run out.
const CAPACITY: usize = 65_536;

/// Keeps positions within one process. Clones are ends of the same table. No call fails.
#[derive(Clone, Default)]
pub struct InProcessPositions(Arc<Mutex<Table>>);

/// All live equally long, so they run out in the order they were put.
#[derive(Default)]
struct Table {
    by_id: FxHashMap<Uuid, Entry>,
    by_age: VecDeque<(Instant, Uuid)>,
}

struct Entry {
    positions: Positions,
    until: Instant,
}

impl InProcessPositions {
    /// Makes an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for InProcessPositions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessPositions").finish_non_exhaustive()
    }
}

impl Table {
    fn put(&mut self, id: Uuid, positions: Positions, now: Instant) {
        let until = now + Duration::from_millis(POSITIONS_TTL_MS);
        self.by_id.insert(id, Entry { positions, until });
        self.by_age.push_back((until, id));
        while let Some((oldest, _)) = self.by_age.front()
            && (*oldest <= now || self.by_age.len() > CAPACITY)
        {
            self.drop_oldest();
        }
    }

    /// Drops the oldest entry, unless it was put again since: then a younger one stands for it.
    fn drop_oldest(&mut self) {
        let Some((until, id)) = self.by_age.pop_front() else { return };
        if self.by_id.get(&id).is_some_and(|entry| entry.until == until) {
            self.by_id.remove(&id);
        }
    }
}

#[async_trait]
impl PollPositions for InProcessPositions {
    async fn put(&self, id: Uuid, positions: Positions) -> Result<(), PositionsError> {
        self.table().put(id, positions, Instant::now());
        Ok(())
    }

    async fn get(&self, id: Uuid) -> Result<Option<Positions>, PositionsError> {
        let now = Instant::now();
        let table = self.table();
        let entry = table.by_id.get(&id).filter(|entry| entry.until > now);
        Ok(entry.map(|entry| entry.positions.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::id::UserId;
    use crate::poll_positions::contract::Subject;

    struct InOneProcess(InProcessPositions);

    #[async_trait]
    impl Subject for InOneProcess {
        fn positions(&self) -> Arc<dyn PollPositions> {
            Arc::new(self.0.clone())
        }
    }

    crate::poll_positions_contract!([#[tokio::test(start_paused = true)]], InOneProcess(InProcessPositions::new()));

    fn positions() -> Positions {
        Positions { user: UserId::new("ann").unwrap(), since: Time::from_millis(1), chats: Vec::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn memory_follows_what_is_put() {
        let table = InProcessPositions::new();
        for n in 0..1_000 {
            table.put(Uuid::from_u128(n), positions()).await.unwrap();
        }
        tokio::time::advance(Duration::from_millis(POSITIONS_TTL_MS)).await;
        table.put(Uuid::from_u128(5_000), positions()).await.unwrap();
        let table = table.table();
        assert_eq!((table.by_id.len(), table.by_age.len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_make_room() {
        let table = InProcessPositions::new();
        for n in 0..=CAPACITY {
            table.put(Uuid::from_u128(n as u128), positions()).await.unwrap();
        }
        assert_eq!(table.table().by_id.len(), CAPACITY);
        assert_eq!(table.get(Uuid::from_u128(0)).await.unwrap(), None);
        assert!(table.get(Uuid::from_u128(1)).await.unwrap().is_some());
    }
}
