//! A number over a span of time: its least and its greatest value.

use std::collections::VecDeque;
use std::time::Duration;

/// Parts a span is remembered in. What one part saw leaves together, so a value counts for at most a part longer than
/// the span, never shorter; and a span of a day costs no more than one of a minute.
const PARTS: u32 = 128;

/// The values of a span. Holds at most `PARTS + 2` entries while the span stays the same.
#[derive(Debug, Clone)]
pub struct Window {
    begun: Duration,
    parts: VecDeque<Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    first: Duration,
    last: Duration,
    least: u32,
    greatest: u32,
}

impl Window {
    /// Begins an empty window.
    pub fn new(now: Duration) -> Self {
        Self { begun: now, parts: VecDeque::new() }
    }

    /// Takes down a value, and forgets what is older than the span.
    pub fn push(&mut self, now: Duration, span: Duration, value: u32) {
        let oldest = now.saturating_sub(span);
        while self.parts.front().is_some_and(|part| part.last < oldest) {
            self.parts.pop_front();
        }
        match self.parts.back_mut() {
            Some(part) if now.saturating_sub(part.first) < span / PARTS => {
                part.last = now;
                part.least = part.least.min(value);
                part.greatest = part.greatest.max(value);
            }
            _ => self.parts.push_back(Part { first: now, last: now, least: value, greatest: value }),
        }
    }

    /// Returns the least value, if there is one.
    pub fn least(&self) -> Option<u32> {
        self.parts.iter().map(|part| part.least).min()
    }

    /// Returns the greatest value, if there is one.
    pub fn greatest(&self) -> Option<u32> {
        self.parts.iter().map(|part| part.greatest).max()
    }

    /// Returns how long it takes until a whole span was observed; `None` when it was.
    pub fn missing(&self, now: Duration, span: Duration) -> Option<Duration> {
        (self.begun + span).checked_sub(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_mins(5);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_older_than_the_span_is_forgotten() {
        let mut window = Window::new(at(0));
        window.push(at(0), SPAN, 9);
        window.push(at(10), SPAN, 1);
        window.push(at(300), SPAN, 4);
        assert_eq!((window.least(), window.greatest()), (Some(1), Some(9)));
        window.push(at(301), SPAN, 4);
        assert_eq!((window.least(), window.greatest()), (Some(1), Some(4)));
    }

    #[test]
    fn without_a_span_only_the_last_value_counts() {
        let mut window = Window::new(at(0));
        window.push(at(0), Duration::ZERO, 9);
        window.push(at(1), Duration::ZERO, 2);
        assert_eq!((window.least(), window.greatest()), (Some(2), Some(2)));
    }

    #[test]
    fn a_long_span_costs_no_more_than_a_short_one() {
        let day = Duration::from_hours(24);
        let mut window = Window::new(at(0));
        for second in 0..3 * 86_400 {
            window.push(at(second), day, 1);
        }
        assert!(window.parts.len() <= 130, "{}", window.parts.len());
    }

    #[test]
    fn a_window_is_whole_once_a_span_has_passed() {
        let window = Window::new(at(100));
        assert_eq!(window.missing(at(150), SPAN), Some(at(250)));
        assert_eq!(window.missing(at(400), SPAN), None);
    }
}
