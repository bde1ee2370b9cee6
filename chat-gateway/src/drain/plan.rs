//! The timetable of a drain. Pure: times go in as milliseconds of uptime.
//!
//! ```text
//!  started ── settle ──► telling at `rate` ───────────────► closing (last fifth) ──► deadline
//! ```

/// What may change while a drain goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) deadline_ms: u64,
    pub(super) rate: u32,
    pub(super) lease_until_ms: u64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Wait,
    /// Tell so many sessions to reconnect.
    Tell(usize),
    /// Close so many sessions.
    Close(usize),
    /// The lease ran out: take clients again.
    Withdraw,
}

/// One drain.
#[derive(Debug)]
pub(super) struct Plan {
    started_ms: u64,
    settle_ms: u64,
    terms: Terms,
    last_ms: u64,
    /// Thousandths of a session that may be told.
    credit: u64,
    /// Sessions left when the closing began.
    to_close: Option<usize>,
}

impl Plan {
    /// Plans a drain that begins now. Of a short time at most a tenth is spent on settling.
    pub(super) fn new(now_ms: u64, settle_ms: u64, terms: Terms) -> Self {
        let settle_ms = settle_ms.min(terms.deadline_ms.saturating_sub(now_ms) / 10);
        Self { started_ms: now_ms, settle_ms, terms, last_ms: now_ms + settle_ms, credit: 0, to_close: None }
    }

    /// Takes new terms; what was done stays done.
    pub(super) fn renew(&mut self, terms: Terms) {
        if terms.deadline_ms != self.terms.deadline_ms {
            self.to_close = None;
        }
        self.terms = terms;
    }

    /// Says what to do now, with `open` sessions left.
    pub(super) fn step(&mut self, now_ms: u64, open: usize) -> Step {
        let Terms { deadline_ms, rate, lease_until_ms } = self.terms;
        if now_ms >= lease_until_ms {
            return Step::Withdraw;
        }
        let begin_ms = self.started_ms + self.settle_ms;
        if now_ms < begin_ms || open == 0 {
            self.last_ms = self.last_ms.max(now_ms);
            return Step::Wait;
        }
        let closing_ms = deadline_ms.saturating_sub(self.started_ms) / 5;
        if now_ms + closing_ms >= deadline_ms {
            let to_close = *self.to_close.get_or_insert(open);
            let left_ms = deadline_ms.saturating_sub(now_ms);
            let may_be_open = (to_close as u64 * left_ms).checked_div(closing_ms).unwrap_or(0);
            let surplus = open.saturating_sub(usize::try_from(may_be_open).unwrap_or(usize::MAX));
            return if surplus == 0 { Step::Wait } else { Step::Close(surplus) };
        }
        // At most one second of the rate at once, whatever was slept through.
        self.credit += now_ms.saturating_sub(self.last_ms).min(1_000) * u64::from(rate);
        self.last_ms = now_ms;
        let count = self.credit / 1_000;
        self.credit %= 1_000;
        if count == 0 { Step::Wait } else { Step::Tell(usize::try_from(count).unwrap_or(usize::MAX)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { deadline_ms: 101_000, rate: 50, lease_until_ms: u64::MAX };

    fn plan() -> Plan {
        Plan::new(1_000, 10_000, TERMS)
    }

    #[test]
    fn nobody_is_told_before_others_notice() {
        let mut plan = plan();
        assert_eq!(plan.step(1_100, 9), Step::Wait);
        assert_eq!(plan.step(10_999, 9), Step::Wait);
        assert_eq!(plan.step(11_100, 9), Step::Tell(5));
    }

    #[test]
    fn the_rate_holds_in_uneven_steps() {
        let mut plan = plan();
        let told: usize = (11_000..71_000)
            .step_by(70)
            .map(|now| match plan.step(now, 9_999) {
                Step::Tell(count) => count,
                _ => 0,
            })
            .sum();
        assert!((2_990..=3_000).contains(&told), "{told}");
    }

    #[test]
    fn what_is_left_is_closed_evenly_in_the_last_fifth() {
        let mut plan = plan();
        let (mut open, mut closed_by_half) = (1_000, 0);
        for now in (81_000..=101_000).step_by(100) {
            if let Step::Close(count) = plan.step(now, open) {
                assert!(count <= 6, "{count} at once");
                open -= count;
            }
            if now == 91_000 {
                closed_by_half = 1_000 - open;
            }
        }
        assert_eq!((open, closed_by_half), (0, 500));
    }

    #[test]
    fn a_drain_that_is_not_renewed_is_withdrawn() {
        let mut plan = Plan::new(1_000, 0, Terms { lease_until_ms: 61_000, ..TERMS });
        assert_ne!(plan.step(60_900, 9), Step::Withdraw);
        plan.renew(Terms { lease_until_ms: 90_000, ..TERMS });
        assert_ne!(plan.step(61_000, 9), Step::Withdraw);
        assert_eq!(plan.step(90_000, 9), Step::Withdraw);
    }

    #[test]
    fn after_the_deadline_everybody_goes_at_once() {
        assert_eq!(plan().step(101_000, 7), Step::Close(7));
        assert_eq!(plan().step(500_000, 7), Step::Close(7));
    }

    #[test]
    fn a_short_drain_does_not_spend_itself_on_settling() {
        let mut plan = Plan::new(0, 10_000, Terms { deadline_ms: 2_000, ..TERMS });
        assert_eq!(plan.step(100, 9), Step::Wait);
        assert_eq!(plan.step(300, 9), Step::Tell(5));
    }
}
