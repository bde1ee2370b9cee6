//! An operator that is killed at any of its writes leaves nothing that the next one does not finish.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use crate::world::{DEMO, WITHIN, World};

/// Writes after which it is killed: six objects, then the status.
const WRITES: usize = 7;

#[tokio::test]
async fn killed_after_any_write_it_ends_up_where_it_would_have() {
    let expected: Vec<_> = {
        let whole = World::with_operator("whole").await;
        whole.apply(DEMO).await;
        whole.wait_ready("demo").await;
        whole.children().await.into_keys().collect()
    };
    for write in 1..=WRITES {
        let mut world = World::new("crash").await;
        let operator = world.start_operator(&[]);
        world.apply(DEMO).await;
        let begun = tokio::time::Instant::now();
        while world.writes().len() < write {
            assert!(begun.elapsed() < WITHIN, "only {:?}", world.writes());
            sleep(Duration::from_millis(1)).await;
        }
        world.end_operator(operator, Signal::KILL).await;
        world.forget_lease().await;
        world.start_operator(&[]);
        world.wait_ready("demo").await;
        assert_eq!(world.children().await.into_keys().collect::<Vec<_>>(), expected, "killed after write {write}");
    }
}
