//! The keyspace of a cluster: gone with this, because a node has room for few tables.

use std::time::Duration;

use scylla::client::session_builder::SessionBuilder;
use tokio::time::{Instant, sleep};

use super::variable;

/// How long the node may take: it may just have been broken.
const GONE_WITHIN: Duration = Duration::from_mins(1);

/// A keyspace that a cluster makes.
#[derive(Debug)]
pub(super) struct Keyspace(pub(super) String);

impl Drop for Keyspace {
    fn drop(&mut self) {
        let drop = format!("DROP KEYSPACE IF EXISTS {}", self.0);
        let dropped = std::thread::spawn(move || tokio::runtime::Runtime::new()?.block_on(run(&drop)));
        match dropped.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("the keyspace {} stays: {error:#}", self.0),
            Err(_) => eprintln!("the keyspace {} stays", self.0),
        }
    }
}

async fn run(statement: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        match attempt(statement).await {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(200)).await,
            done => return done,
        }
    }
}

async fn attempt(statement: &str) -> anyhow::Result<()> {
    let session = SessionBuilder::new().known_node(variable("CASSANDRA_CONTACT_POINT")?);
    let session = session.user("cassandra", "cassandra").build().await?;
    session.query_unpaged(statement, ()).await?;
    Ok(())
}
