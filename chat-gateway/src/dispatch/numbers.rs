//! Gaps in a channel's numbering. Pure.
//!
//! Envelopes are numbered by a counter beside the channel, and delivery is at most once. A number that is skipped, a
//! number that comes twice, or a counter that fell (the relay lost its memory) means that something may be missing.

use std::collections::BTreeSet;

/// Numbers remembered as missing; older ones that come after all only cost another look.
const REMEMBERED: usize = 1_024;

/// What a number tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing is missing that is not known to be.
    InOrder,
    /// Something may be missing.
    Gap,
    /// The relay lost its memory, the routes with it.
    Reset,
}

/// The numbers heard so far.
#[derive(Debug)]
pub(super) struct Numbers {
    last: u64,
    missing: BTreeSet<u64>,
    counted: Option<u64>,
}

impl Numbers {
    /// Begins with a channel whose counter is at `counter`.
    pub(super) fn at(counter: u64) -> Self {
        Self { last: counter, missing: BTreeSet::new(), counted: None }
    }

    /// Takes the number of an envelope that arrived.
    pub(super) fn envelope(&mut self, number: u64) -> Heard {
        if number == self.last + 1 {
            self.last = number;
            Heard::InOrder
        } else if number > self.last {
            self.missing.extend((self.last + 1..number).rev().take(REMEMBERED));
            while self.missing.len() > REMEMBERED {
                self.missing.pop_first();
            }
            self.last = number;
            Heard::Gap
        } else if self.missing.remove(&number) {
            // It was only late; the gap it left was told of.
            Heard::InOrder
        } else {
            Heard::Gap
        }
    }

    /// Takes a reading of the counter. A number above the last one heard may be on its way; it is missing if it has
    /// not come by the next reading.
    pub(super) fn count(&mut self, counter: u64) -> Heard {
        let before = self.counted.replace(counter);
        if counter < self.last {
            self.last = counter;
            self.missing.clear();
            return Heard::Reset;
        }
        match before {
            Some(before) if before > self.last => {
                self.last = before;
                Heard::Gap
            }
            _ => Heard::InOrder,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_order_are_no_gap() {
        let mut numbers = Numbers::at(7);
        for number in 8..20 {
            assert_eq!(numbers.envelope(number), Heard::InOrder);
            assert_eq!(numbers.count(number), Heard::InOrder);
        }
    }

    #[test]
    fn a_missing_number_is_a_gap_once_even_if_it_is_late() {
        let mut numbers = Numbers::at(0);
        assert_eq!(numbers.envelope(3), Heard::Gap);
        assert_eq!(numbers.envelope(1), Heard::InOrder);
        assert_eq!(numbers.envelope(2), Heard::InOrder);
        assert_eq!(numbers.envelope(4), Heard::InOrder);
    }

    #[test]
    fn a_number_heard_twice_is_a_gap() {
        let mut numbers = Numbers::at(4);
        assert_eq!(numbers.envelope(5), Heard::InOrder);
        assert_eq!(numbers.envelope(5), Heard::Gap);
    }

    #[test]
    fn a_lost_tail_is_found_by_the_second_reading() {
        let mut numbers = Numbers::at(4);
        assert_eq!(numbers.count(6), Heard::InOrder);
        assert_eq!(numbers.envelope(5), Heard::InOrder);
        assert_eq!(numbers.count(6), Heard::Gap);
        assert_eq!(numbers.count(6), Heard::InOrder);
        assert_eq!(numbers.envelope(7), Heard::InOrder);
    }

    #[test]
    fn a_counter_that_falls_is_a_reset() {
        let mut numbers = Numbers::at(40);
        assert_eq!(numbers.count(2), Heard::Reset);
        assert_eq!(numbers.envelope(3), Heard::InOrder);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut numbers = Numbers::at(0);
        assert_eq!(numbers.envelope(u64::from(u32::MAX)), Heard::Gap);
        assert_eq!(numbers.missing.len(), REMEMBERED);
    }
}
