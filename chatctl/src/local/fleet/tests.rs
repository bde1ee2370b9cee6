use std::path::Path;

use chat_core::clock::SystemClock;
use chat_core::message_log::memory::MemoryLog;
use chat_core::message_store::memory::MemoryStore;
use chat_core::poll_positions::in_process::InProcessPositions;
use chat_core::presence::in_process::InProcessPresence;
use chat_core::relay::in_process::InProcessRelay;
use chat_core::trace::Tracer;
use chat_core::user_store::memory::MemoryUserStore;

use super::*;
use crate::local::data_dir::DataDir;
use crate::local::settings::Choices;
use crate::local::status_line::StatusLine;

const MANIFEST: &str = include_str!("../../../../examples/chatcluster.yaml");

/// Makes a fleet, and tells by the last whether any of its gateways still runs: each holds the ports.
fn fleet(dir: &Path) -> (Arc<Fleet>, std::sync::Weak<MemoryStore>) {
    let data = DataDir::open(dir).unwrap();
    let choices = Choices {
        data_dir: dir,
        front_door: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        gateways: Some(1),
        key_file: data.key_file(),
        secrets: None,
        admin_token_file: data.admin_token_file().unwrap(),
    };
    let settings = Settings::new(&operator::manifest::parse(MANIFEST).unwrap().spec, &choices);
    // Makes the key that gateways read.
    data.signer(settings.claims.as_ref().unwrap()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Arc::new(MemoryStore::default());
    let held = Arc::downgrade(&store);
    let ports = Ports {
        log: Arc::new(MemoryLog::new(Arc::clone(&clock), 1)),
        store,
        users: Arc::new(MemoryUserStore::default()),
        relay: Arc::new(InProcessRelay::new()),
        presence: Arc::new(InProcessPresence::new()),
        positions: Arc::new(InProcessPositions::new()),
        search: None,
        push: None,
        tracer: Tracer::off(),
    };
    (Arc::new(Fleet::new(settings, ports, clock, Report::new(true, StatusLine::new()))), held)
}

#[tokio::test]
async fn a_gateway_that_is_starting_when_the_fleet_stops_is_stopped_too() {
    // At any moment of its start: after so many turns of the tasks.
    for turns in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let (fleet, held) = fleet(dir.path());
        let adding = tokio::spawn({
            let fleet = Arc::clone(&fleet);
            async move { fleet.add().await.map(drop) }
        });
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        // As the end of a stack does to whoever asked.
        adding.abort();
        fleet.stop().await;
        drop(adding.await);
        assert!(fleet.list().is_empty(), "after {turns} turns");
        drop(fleet);
        assert!(held.upgrade().is_none(), "a gateway outlived the fleet after {turns} turns");
    }
}

#[tokio::test]
async fn a_fleet_that_has_stopped_starts_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let (fleet, held) = fleet(dir.path());
    fleet.add().await.unwrap();
    fleet.stop().await;
    let late = fleet.add().await.unwrap_err().to_string();
    assert!(late.contains("the stack is ending"), "{late}");
    fleet.stop().await;
    drop(fleet);
    assert!(held.upgrade().is_none());
}
