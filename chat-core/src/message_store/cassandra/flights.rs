//! Reads of one page that are asked for at the same time are made once.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

/// The reads under way, by what they read.
///
/// A caller never shares a read that began before it asked: it would miss a write that was acknowledged in between. So
/// callers wait for the read under way and share the next one: two reads serve any crowd.
#[derive(Debug)]
pub(super) struct Flights<K, T: Clone>(Mutex<HashMap<K, Flight<T>>>);

#[derive(Debug)]
struct Flight<T: Clone> {
    begun: Arc<AtomicBool>,
    read: Shared<BoxFuture<'static, T>>,
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, T: Clone + Send + Sync + 'static> Flights<K, T> {
    /// Reads, or shares the read of another caller.
    pub(super) async fn join<F>(&self, key: K, read: impl FnOnce() -> F + Send + 'static) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (begun, shared) = self.flight(&key, read);
        let _landing = Landing { flights: self, key, begun };
        shared.await
    }

    fn flight<F>(
        &self,
        key: &K,
        read: impl FnOnce() -> F + Send + 'static,
    ) -> (Arc<AtomicBool>, Shared<BoxFuture<'static, T>>)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut flights = self.lock();
        let before = match flights.get(key) {
            Some(flight) if !flight.begun.load(Ordering::SeqCst) => {
                return (Arc::clone(&flight.begun), flight.read.clone());
            }
            Some(flight) => Some(flight.read.clone()),
            None => None,
        };
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let flight = async move {
            if let Some(before) = before {
                before.await;
            }
            begins.store(true, Ordering::SeqCst);
            read().await
        };
        let shared = flight.boxed().shared();
        flights.insert(key.clone(), Flight { begun: Arc::clone(&begun), read: shared.clone() });
        (begun, shared)
    }

    // A poisoned lock is taken over: no change of the map is made of several steps.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a flight when one of its callers has the answer, or gives up.
struct Landing<'a, K: Hash + Eq + Clone, T: Clone + Send + Sync + 'static> {
    flights: &'a Flights<K, T>,
    key: K,
    begun: Arc<AtomicBool>,
}

impl<K: Hash + Eq + Clone, T: Clone + Send + Sync + 'static> Drop for Landing<'_, K, T> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        if flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(&flight.begun, &self.begun)) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_crowd_is_served_by_two_reads_and_none_that_began_before_it_asked() {
        let flights: Arc<Flights<u8, usize>> = Arc::default();
        let (reads, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let ask = |flights: &Arc<Flights<u8, usize>>| {
            let (flights, reads, gate) = (Arc::clone(flights), Arc::clone(&reads), Arc::clone(&gate));
            let read = move || async move {
                let number = reads.fetch_add(1, Ordering::SeqCst) + 1;
                gate.acquire().await.unwrap().forget();
                number
            };
            async move { flights.join(1, read).await }.boxed()
        };
        let mut first = ask(&flights);
        assert_eq!((&mut first).now_or_never(), None);
        let mut crowd: Vec<_> = (0..20).map(|_| ask(&flights)).collect();
        for waiting in &mut crowd {
            assert_eq!(waiting.now_or_never(), None);
        }
        assert_eq!(reads.load(Ordering::SeqCst), 1);
        gate.add_permits(2);
        assert_eq!(first.await, 1);
        for answer in futures_util::future::join_all(crowd).await {
            assert_eq!(answer, 2);
        }
        assert!(flights.lock().is_empty());
    }
}
