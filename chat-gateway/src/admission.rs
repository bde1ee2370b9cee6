//! How many connections there may be. What is over the bound is refused at once, before it costs memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beside sessions: REST calls, handshakes, probes. In proportion, and never fewer than this.
const SPARE: usize = 256;

/// The bounds.
#[derive(Debug)]
pub(crate) struct Admission {
    sessions: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    capacity: usize,
}

/// A place; leaving gives it back.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Admission {
    /// Makes the bounds of a gateway that holds `capacity` sessions.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(Semaphore::MAX_PERMITS / 4);
        Self {
            sessions: Arc::new(Semaphore::new(capacity)),
            sockets: Arc::new(Semaphore::new(capacity + (capacity / 4).max(SPARE))),
            capacity,
        }
    }

    /// Takes a place for a session.
    pub(crate) fn session(&self) -> Option<Place> {
        Arc::clone(&self.sessions).try_acquire_owned().ok().map(Place)
    }

    /// Takes a place for a TCP connection.
    pub(crate) fn socket(&self) -> Option<Place> {
        Arc::clone(&self.sockets).try_acquire_owned().ok().map(Place)
    }

    /// Returns how many sessions there are, those that still authenticate included.
    pub(crate) fn connections(&self) -> usize {
        self.capacity - self.sessions.available_permits()
    }

    /// Returns how many there may be.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_it_is_left() {
        let admission = Admission::new(1);
        let place = admission.session().unwrap();
        assert!(admission.session().is_none());
        assert_eq!(admission.connections(), 1);
        drop(place);
        assert_eq!(admission.connections(), 0);
        assert!(admission.session().is_some());
    }
}
