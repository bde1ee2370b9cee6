//! The stores on a real Cassandra: their contracts, and what only this engine has. `tests/run.sh engines` starts the
//! node and says by `CASSANDRA_*` where it is. Every test has a keyspace of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat_core::cassandra::{Cassandra, OpenError, Provision, provision};
use chat_core::config::CassandraConfig;
use chat_core::config::cassandra::{CassandraAuth, CassandraTls};
use chat_core::message_store::MessageStore;
use chat_core::message_store::cassandra::CassandraStore;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(90);

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `tests/run.sh engines`"))
}

/// The node's folder: its certificates, and a place for what the settings name.
fn work() -> PathBuf {
    PathBuf::from(variable("CASSANDRA_WORK"))
}

fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Settings for a new keyspace; their files live as long as the folder.
fn config() -> (CassandraConfig, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let auth = CassandraAuth {
        username_file: written(dir.path(), "username", "cassandra\n"),
        password_file: written(dir.path(), "password", "cassandra\n"),
    };
    let config = CassandraConfig {
        contact_points: vec![variable("CASSANDRA_CONTACT_POINT")],
        keyspace: format!("t_{}", uuid::Uuid::now_v7().simple()),
        local_datacenter: "datacenter1".to_owned(),
        auth: Some(auth),
        tls: None,
    };
    (config, dir)
}

fn ours() -> Provision {
    Provision { replication: 1, owner: "chat/test".to_owned() }
}

/// Tries again while the error says that this may help.
async fn patiently<T>(mut attempt: impl AsyncFnMut() -> Result<T, OpenError>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) if error.is_retryable() && Instant::now() < deadline => {
                sleep(Duration::from_millis(200)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn opened(config: &CassandraConfig) -> Cassandra {
    patiently(async || provision(config, &ours()).await).await;
    patiently(async || Cassandra::open(config).await).await
}

/// A store in a keyspace of its own: each check takes an empty one.
async fn messages() -> (Arc<dyn MessageStore>, impl Sized) {
    let (config, dir) = config();
    let cassandra = opened(&config).await;
    let store = CassandraStore::open(cassandra).await.unwrap();
    (Arc::new(store) as Arc<dyn MessageStore>, dir)
}

mod message_store {
    use super::*;

    chat_core::message_store_contract!(messages);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_waiting_does_not_help() {
    let (mut config, dir) = config();
    let auth = config.auth.as_mut().unwrap();
    auth.password_file = written(dir.path(), "wrong", "wrong\n");
    let error = Cassandra::open(&config).await.unwrap_err();
    assert!(matches!(error, OpenError::Refused(_)), "{error:?}");
    assert!(!error.is_retryable());
    config.auth = None;
    let error = Cassandra::open(&config).await.unwrap_err();
    assert!(matches!(error, OpenError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn tls_takes_the_right_authority_and_no_other() {
    let (mut config, _dir) = config();
    let trusting = |name: &str| Some(CassandraTls { ca_file: work().join(name) });
    config.tls = trusting("ca.pem");
    opened(&config).await;
    config.tls = trusting("other-ca.pem");
    assert!(Cassandra::open(&config).await.is_err(), "the node's certificate is of another authority");
    config.tls = trusting("no-such.pem");
    assert!(matches!(Cassandra::open(&config).await, Err(OpenError::Config(_))));
}

#[tokio::test]
async fn a_keyspace_is_used_once_provisioned_and_only_by_its_owner() {
    let (config, _dir) = config();
    let found = Cassandra::open(&config).await.unwrap_err();
    assert!(matches!(found, OpenError::Schema { found: 0, .. }), "{found:?}");
    opened(&config).await;
    patiently(async || provision(&config, &ours()).await).await;
    let theirs = Provision { owner: "chat/other".to_owned(), ..ours() };
    assert_eq!(provision(&config, &theirs).await, Err(OpenError::Owned(ours().owner)));
}
