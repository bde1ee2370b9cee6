//! Seeded simulations of clients, log, sequencers, store, relay and sessions, all of which break; in the end the
//! ledger must balance.
//!
//! ```text
//! cargo test -p chat-workers --test simulation                 seeds 0 to 255
//! SIM_SEED=17 cargo test -p chat-workers --test simulation     one of them again
//! SIM_SEEDS=5000 cargo test -p chat-workers --test simulation  more of them
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support {
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod flaky_log;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod flaky_store;
    pub(crate) mod gateway;
    pub(crate) mod ledger;
    pub(crate) mod readers;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod records;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod reference;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod running;
    #[expect(dead_code, reason = "this test needs a part of it")]
    pub(crate) mod simulation;
    pub(crate) mod write;
}

use std::ops::Range;

use support::ledger::Counts;
use support::simulation::run;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn seeds() -> Range<u64> {
    match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(256),
    }
}

#[test]
fn nothing_acknowledged_is_lost_doubled_or_told_to_others() {
    let seeds = seeds();
    let half = seeds.start.midpoint(seeds.end);
    let check = |seeds: Range<u64>| {
        let mut all = Counts::default();
        for seed in seeds {
            let ledger = run(seed, None);
            if let Err(violation) = ledger.check() {
                panic!("{violation}\nagain with: SIM_SEED={seed} cargo test -p chat-workers --test simulation");
            }
            all += ledger.counts();
        }
        all
    };
    let counts = std::thread::scope(|scope| {
        let second = scope.spawn(|| check(half..seeds.end));
        let mut counts = check(seeds.start..half);
        counts += second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        counts
    });
    println!("{counts:?}");
    assert!(counts.acked > 0 && counts.held > counts.acked && counts.events > 0 && counts.revs > 0, "{counts:?}");
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in 0..8 {
        let (one, other) = (run(seed, None), run(seed, None));
        assert_eq!(one.log, other.log, "seed {seed}");
        assert_eq!(one.events, other.events, "seed {seed}");
        assert_eq!(one.tables, other.tables, "seed {seed}");
    }
}
