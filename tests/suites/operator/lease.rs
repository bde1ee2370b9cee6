//! Two operators: one works.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::world::{DEMO, World};

#[tokio::test]
async fn one_works_the_other_stands_by_and_takes_over() {
    let mut world = World::new("lease").await;
    let first = world.start_operator(&[("CHAT_POD_NAME", "first")]);
    world.until("the first works", || async { world.logged(first).contains("\"works\"") }).await;
    let second = world.start_operator(&[("CHAT_POD_NAME", "second")]);
    world.until("the second stands by", || async { world.logged(second).contains("stands by") }).await;
    world.apply(DEMO).await;
    world.wait_ready("demo").await;
    assert!(!world.logged(second).contains("writes an object"));

    world.end_operator(first, Signal::TERM).await;
    world.change("demo", json!({ "gateways": { "maxConnections": 20000 } })).await;
    world.until("the second works", || async { world.logged(second).contains("writes an object") }).await;
    world.wait_ready("demo").await;
}

#[tokio::test]
async fn one_that_stood_still_past_its_lease_ends_instead_of_going_on() {
    let mut world = World::new("frozen").await;
    let first = world.start_operator(&[("CHAT_POD_NAME", "first")]);
    world.until("the first works", || async { world.logged(first).contains("\"works\"") }).await;
    world.signal_operator(first, Signal::STOP);
    let second = world.start_operator(&[("CHAT_POD_NAME", "second")]);
    world.until("the second takes over", || async { world.logged(second).contains("\"works\"") }).await;
    world.signal_operator(first, Signal::CONT);
    let begun = tokio::time::Instant::now();
    while !world.has_ended(first) {
        assert!(begun.elapsed() < crate::world::WITHIN, "{}", world.logged(first));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!world.logged(first).contains("writes an object"));
}
