//! Which records are taken and not done.

use std::collections::BTreeSet;

/// Offsets that are taken and not all done, done in any order.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight {
    open: BTreeSet<u64>,
    next: u64,
}

impl InFlight {
    /// Begins with everything below `next` done.
    pub(crate) fn from(next: u64) -> Self {
        Self { open: BTreeSet::new(), next }
    }

    /// Notes a record that is not done.
    pub(crate) fn open(&mut self, offset: u64) {
        self.open.insert(offset);
    }

    /// Notes that a record is done.
    pub(crate) fn close(&mut self, offset: u64) {
        self.open.remove(&offset);
    }

    /// Notes how far was read.
    pub(crate) fn read_upto(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Returns the offset below which everything is done.
    pub(crate) fn done(&self) -> u64 {
        self.open.first().copied().unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_the_first_open_one_is_done() {
        let mut in_flight = InFlight::from(5);
        assert_eq!(in_flight.done(), 5);
        for offset in [5, 6, 8] {
            in_flight.open(offset);
        }
        in_flight.read_upto(9);
        for (closed, done) in [(6, 5), (5, 8), (8, 9), (8, 9)] {
            in_flight.close(closed);
            assert_eq!(in_flight.done(), done, "after {closed}");
        }
    }
}
