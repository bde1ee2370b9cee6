//! How long to wait before the next attempt.

use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use rustc_hash::FxBuildHasher;

/// Longest pause between attempts.
const LONGEST: Duration = Duration::from_secs(5);

/// Returns the pause after so many failures in a row: full jitter over an exponential back-off from 50 ms to 5 s.
pub(crate) fn backoff(failures: u32) -> Duration {
    pause(failures, &mut rand::rng())
}

/// Returns such a pause whose jitter follows from where and when it is asked for, so that a simulation can be repeated.
pub(crate) fn backoff_at(failures: u32, place: impl Hash) -> Duration {
    pause(failures, &mut StdRng::seed_from_u64(FxBuildHasher.hash_one(place)))
}

fn pause(failures: u32, jitter: &mut impl Rng) -> Duration {
    let ceiling = LONGEST.min(Duration::from_millis(50).saturating_mul(1 << failures.min(10)));
    ceiling.mul_f64(jitter.random_range(0.1..1.0))
}
