//! Time. The only module that reads the machine's clocks; everything else is given the time or a [`Clock`].

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC, in milliseconds since 1970; on the wire RFC 3339 with exactly three decimals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time(u64);

impl Time {
    /// The last moment the wire form can carry (9999-12-31T22:00:00Z, as far as the calendar library goes).
    const LAST_MS: u64 = 253_402_207_200_000;

    /// Makes a time from milliseconds since 1970; later than the last one the calendar knows becomes that one.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis < Self::LAST_MS { millis } else { Self::LAST_MS })
    }

    /// Returns milliseconds since 1970.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// Returns the time `millis` later.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Returns how many milliseconds ago `earlier` was, 0 if it was not.
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).map_err(|_| fmt::Error)?;
        let at = jiff::Timestamp::from_millisecond(millis).map_err(|_| fmt::Error)?;
        write!(f, "{at:.3}")
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Time {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let at: jiff::Timestamp = text.parse()?;
        Ok(Self::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0)))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A moment, RFC 3339 in UTC; the server writes exactly three decimals.",
            "type": "string",
            "format": "date-time",
            "examples": ["2026-11-24T02:19:00.123Z"],
        })
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("expected a time such as 2026-11-24T02:19:00.123Z"))
    }
}

/// Tells the wall-clock time. MUST NOT be used to measure spans: that is `tokio::time::Instant`.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the time now.
    fn now(&self) -> Time;
}

/// Reads the machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Reads the system's clock as finely as it goes, for what is only shown. What decides anything takes a [`Clock`].
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn wall_time() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Stands still until a test moves it.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Makes a clock that shows `start`.
    pub fn at(start: Time) -> Self {
        Self(Arc::new(AtomicU64::new(start.millis())))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, time: Time) {
        self.0.store(time.millis(), Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance_millis(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_decimals_and_round_trip() {
        for (millis, text) in [(0, "1970-01-01T00:00:00.000Z"), (1_764_000_000_120, "2025-11-24T16:00:00.120Z")] {
            assert_eq!(Time::from_millis(millis).to_string(), text);
            assert_eq!(text.parse::<Time>().unwrap(), Time::from_millis(millis));
        }
        assert_eq!(Time::from_millis(u64::MAX).to_string(), "9999-12-30T22:00:00.000Z");
    }
}
