//! How long messages are kept, where they are not kept for ever.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Time};

/// The age at which messages leave the store.
#[derive(Debug, Clone)]
pub struct Kept {
    age: Duration,
    clock: Arc<dyn Clock>,
}

impl Kept {
    /// Makes it of an age longer than zero and of what tells the time.
    pub fn new(age: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { age, clock }
    }

    /// Returns the age.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Returns since when messages are kept, as of now.
    pub fn since(&self) -> Time {
        let age = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        Time::from_millis(self.clock.now().millis().saturating_sub(age))
    }
}
