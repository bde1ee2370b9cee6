//! Rates: the generic cell rate algorithm (GCRA), one number of state a key.
//!
//! ITU-T I.371: a cell conforms when it does not come earlier than its theoretical arrival time less the tolerance.
//! The only state is that time (`tat`), so a limiter that nobody uses costs nothing and forgets by itself.

use std::hash::{BuildHasher, Hash};
use std::sync::Mutex;

use chat_core::config::Rate;
use rustc_hash::{FxBuildHasher, FxHashMap};

/// Locks that the keys are spread over.
const SHARDS: usize = 16;

/// The parameters of one rate. Times are nanoseconds since any fixed moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gcra {
    interval: u64,
    tolerance: u64,
}

/// The request is over the rate; it conforms after so many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSoon {
    pub(crate) wait_ms: u64,
}

impl Gcra {
    /// Makes the parameters of `rate`.
    pub(crate) fn new(rate: Rate) -> Self {
        let interval = 1_000_000_000 / u64::from(rate.per_second.max(1));
        Self { interval, tolerance: interval * u64::from(rate.burst.max(1)) }
    }

    /// Makes the parameters of a rate slower than one a second; half of a minute's may come at once.
    pub(crate) fn per_minute(count: u32) -> Self {
        let count = u64::from(count.max(1));
        let interval = 60_000_000_000 / count;
        Self { interval, tolerance: interval * (count / 2).max(1) }
    }

    /// Takes one from the rate, or says when there will be one.
    pub(crate) fn take(&self, tat: &mut u64, now: u64) -> Result<(), TooSoon> {
        let next = (*tat).max(now) + self.interval;
        let conforms_at = next.saturating_sub(self.tolerance);
        if conforms_at > now {
            return Err(TooSoon { wait_ms: (conforms_at - now).div_ceil(1_000_000) });
        }
        *tat = next;
        Ok(())
    }
}

/// One rate for each of many keys.
#[derive(Debug)]
pub(crate) struct KeyedRate<K> {
    rate: Gcra,
    shards: Vec<Mutex<FxHashMap<K, u64>>>,
}

impl<K: Hash + Eq> KeyedRate<K> {
    /// Makes a rate whose keys are all unused.
    pub(crate) fn new(rate: Gcra) -> Self {
        Self { rate, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Takes one from the rate of `key`.
    pub(crate) fn take(&self, key: K, now: u64) -> Result<(), TooSoon> {
        // The low bits choose the bucket inside a shard's table, so the shard is chosen by high ones.
        let shard = (FxBuildHasher.hash_one(&key) >> 48) as usize % SHARDS;
        let mut shard = lock(&self.shards[shard]);
        self.rate.take(shard.entry(key).or_insert(0), now)
    }

    /// Forgets the keys that have their whole burst again: without this the table would grow with every user seen.
    pub(crate) fn sweep(&self, now: u64) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, tat| *tat > now);
            if shard.capacity() > 64 && shard.len() * 4 < shard.capacity() {
                shard.shrink_to_fit();
            }
        }
    }
}

/// Locks; a panic elsewhere leaves at worst one stale number, so poison is ignored.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let rate = Gcra::new(Rate::new(10, 3));
        let mut tat = 0;
        let start = 5_000 * MS;
        for _ in 0..3 {
            assert_eq!(rate.take(&mut tat, start), Ok(()));
        }
        assert_eq!(rate.take(&mut tat, start), Err(TooSoon { wait_ms: 100 }));
        assert_eq!(rate.take(&mut tat, start + 100 * MS), Ok(()));
        assert!(rate.take(&mut tat, start + 150 * MS).is_err());
    }

    #[test]
    fn keys_do_not_share_and_are_forgotten() {
        let rates = KeyedRate::new(Gcra::new(Rate::new(1, 1)));
        assert!(rates.take("ann", MS).is_ok());
        assert!(rates.take("ann", MS).is_err());
        assert!(rates.take("bob", MS).is_ok());
        rates.sweep(2_000 * MS);
        assert!(rates.shards.iter().all(|shard| lock(shard).is_empty()));
    }

    proptest::proptest! {
        #[test]
        fn never_more_than_burst_plus_rate_in_any_window(gaps in proptest::collection::vec(0_u64..300 * MS, 1..200)) {
            let rate = Gcra::new(Rate::new(10, 5));
            let (mut tat, mut now, mut taken) = (0, 1_000 * MS, Vec::new());
            for gap in gaps {
                now += gap;
                if rate.take(&mut tat, now).is_ok() {
                    taken.push(now);
                }
            }
            for (i, from) in taken.iter().enumerate() {
                for (j, to) in taken.iter().enumerate().skip(i) {
                    let allowed = 5 + (to - from) / (100 * MS) + 1;
                    proptest::prop_assert!((j - i) as u64 <= allowed);
                }
            }
        }
    }
}
