//! The stores on a real Cassandra: their contracts, and what only this engine has. `tests/run.sh engines` starts the
//! node and says by `CASSANDRA_*` where it is. Every test has a keyspace of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chat_core::cassandra::{Cassandra, OpenError, Provision, provision};
use chat_core::clock::{Clock, ManualClock, SystemClock};
use chat_core::config::CassandraConfig;
use chat_core::config::cassandra::{CassandraAuth, CassandraTls};
use chat_core::frame::{ContentType, Message};
use chat_core::id::{ChatId, MessageId, UserId};
use chat_core::message_log::Position;
use chat_core::message_store::cassandra::CassandraStore;
use chat_core::message_store::{Kept, MessageStore, Row, contract};
use chat_core::push::Platform;
use chat_core::user_store::cassandra::CassandraUserStore;
use chat_core::user_store::{DeviceRow, UserStore, UserWrite};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio::sync::Mutex;
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

/// The files that the settings name, and the keyspace: gone with this, because a node has room for few tables.
struct Place {
    dir: tempfile::TempDir,
    keyspace: String,
}

impl Place {
    fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let drop = format!("DROP KEYSPACE IF EXISTS {}", self.keyspace);
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let session = SessionBuilder::new().known_node(variable("CASSANDRA_CONTACT_POINT"));
                let session = session.user("cassandra", "cassandra").build().await.unwrap();
                patiently_drop(&session, &drop).await;
            });
        });
        assert!(dropped.join().is_ok() || std::thread::panicking());
    }
}

async fn patiently_drop(session: &Session, drop: &str) {
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) = session.query_unpaged(drop, ()).await {
        assert!(Instant::now() < deadline, "{error}");
    }
}

/// Settings for a new keyspace.
fn config() -> (CassandraConfig, Place) {
    let dir = tempfile::tempdir().unwrap();
    let auth = CassandraAuth {
        username_file: written(dir.path(), "username", "cassandra\n"),
        password_file: written(dir.path(), "password", "cassandra\n"),
    };
    let config = CassandraConfig {
        contact_points: vec![variable("CASSANDRA_CONTACT_POINT")],
        keyspace: format!("t_{}", uuid::Uuid::now_v7().simple()),
        local_datacenter: "datacenter1".to_owned(),
        message_age_seconds: None,
        auth: Some(auth),
        tls: None,
    };
    let keyspace = config.keyspace.clone();
    (config, Place { dir, keyspace })
}

fn ours() -> Provision {
    Provision { replication: 1, owner: "chat/test".to_owned(), take_over: None }
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
    let store = CassandraStore::open(cassandra, None).await.unwrap();
    (Arc::new(store) as Arc<dyn MessageStore>, dir)
}

mod message_store {
    use super::*;

    chat_core::message_store_contract!(messages);
}

mod user_store {
    use super::*;

    /// A keyspace that the checks share, each with its own users; the last one that uses it drops it.
    static SHARED: Mutex<Weak<(CassandraConfig, Place)>> = Mutex::const_new(Weak::new());

    async fn users() -> (Arc<dyn UserStore>, impl Sized) {
        let mut shared = SHARED.lock().await;
        let place = if let Some(place) = shared.upgrade() {
            place
        } else {
            let place = Arc::new(config());
            opened(&place.0).await;
            *shared = Arc::downgrade(&place);
            place
        };
        drop(shared);
        let cassandra = patiently(async || Cassandra::open(&place.0).await).await;
        let store = CassandraUserStore::open(cassandra, Arc::new(SystemClock)).await.unwrap();
        (Arc::new(store) as Arc<dyn UserStore>, place)
    }

    chat_core::user_store_contract!(users);
}

#[tokio::test]
async fn of_two_gateways_the_later_write_holds_whatever_their_clocks_say() {
    let (config, _dir) = config();
    let cassandra = opened(&config).await;
    let ahead = ManualClock::at(SystemClock.now().plus_millis(30_000));
    let open = |clock: Arc<dyn Clock>| CassandraUserStore::open(cassandra.clone(), clock);
    let first = open(Arc::new(ahead)).await.unwrap();
    let second = open(Arc::new(SystemClock)).await.unwrap();
    let (user, other, at) = (UserId::new("ann").unwrap(), UserId::new("bob").unwrap(), SystemClock.now());
    let block = UserWrite::Block { user: user.clone(), blocked: other.clone(), at };
    let unblock = UserWrite::Unblock { user: user.clone(), blocked: other.clone() };
    let device = |push_token: &str| DeviceRow {
        device: "phone".to_owned(),
        platform: Platform::Apns,
        push_token: push_token.to_owned(),
        updated_at: at,
        invalid_at: None,
    };
    let put = |token| UserWrite::PutDevice { user: user.clone(), device: device(token) };
    let remove = UserWrite::RemoveDevice { user: user.clone(), device: "phone".to_owned() };
    let show = |visible| UserWrite::ShowLastSeen { user: user.clone(), visible };
    let pair = [(user.clone(), other)];
    for (writes, blocked, devices, visible) in [
        (vec![block.clone(), put("one"), show(false)], true, vec![device("one")], false),
        (vec![unblock, remove, show(true)], false, vec![], true),
        (vec![block, put("two"), show(false)], true, vec![device("two")], false),
        (vec![UserWrite::Erase { user: user.clone() }], false, vec![], true),
        (vec![put("three")], false, vec![device("three")], true),
    ] {
        for store in [&first, &second] {
            store.write(writes.clone()).await.unwrap();
            assert_eq!(first.blocked(&pair).await.unwrap(), [blocked], "{writes:?}");
            assert_eq!(second.devices(std::slice::from_ref(&user)).await.unwrap()[0], devices, "{writes:?}");
            assert_eq!(second.users(std::slice::from_ref(&user)).await.unwrap()[0].last_seen_visible, visible);
        }
    }
}

async fn aging(age: Duration, clock: Arc<dyn Clock>) -> (Arc<dyn MessageStore>, impl Sized) {
    let (config, dir) = config();
    let store = CassandraStore::open(opened(&config).await, Some(Kept::new(age, clock))).await.unwrap();
    (Arc::new(store) as Arc<dyn MessageStore>, dir)
}

#[tokio::test]
async fn messages_age_out_oldest_first() {
    let (clock, age) = (ManualClock::default(), Duration::from_mins(10));
    let (store, _dir) = aging(age, Arc::new(clock.clone())).await;
    contract::messages_age_out_oldest_first(store, clock, age).await;
}

#[tokio::test]
async fn what_has_aged_out_is_gone_from_the_nodes_too() {
    // Its clock stands still, so only the nodes can make the message go.
    let clock = ManualClock::at(SystemClock.now());
    let (store, _dir) = aging(Duration::from_secs(2), Arc::new(clock.clone())).await;
    let chat_id = ChatId(uuid::Uuid::now_v7());
    let message = Message {
        chat_id,
        seq: 1,
        rev: None,
        message_id: MessageId(uuid::Uuid::now_v7()),
        sender: UserId::new("ann").unwrap(),
        content_type: ContentType::Text,
        content: "soon gone".to_owned(),
        attachment: None,
        meta: None,
        system: None,
        created_at: clock.now(),
        edited_at: None,
        deleted_at: None,
    };
    let position = Position { epoch: 1, partition: 0, offset: 1 };
    store.write_rows(vec![Row::Message { ts: 1, position, message: Arc::new(message) }]).await.unwrap();
    assert_eq!(store.first_seq(chat_id, 1).await, Ok(1));
    let deadline = Instant::now() + DEADLINE;
    while store.first_seq(chat_id, 1).await != Ok(2) {
        assert!(Instant::now() < deadline, "the message stays");
        sleep(Duration::from_millis(100)).await;
    }
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
    let of_nobody = Provision { take_over: Some("chat/nobody".to_owned()), ..theirs.clone() };
    assert_eq!(provision(&config, &of_nobody).await, Err(OpenError::Owned(ours().owner)));
    let given_up = Provision { take_over: Some(ours().owner), ..theirs.clone() };
    patiently(async || provision(&config, &given_up).await).await;
    assert_eq!(provision(&config, &ours()).await, Err(OpenError::Owned(theirs.owner)));
}

#[tokio::test]
async fn the_log_is_adopted_once() {
    let (config, _dir) = config();
    let cassandra = opened(&config).await;
    assert_eq!(cassandra.log_epoch().await, Ok(1));
    assert_eq!(cassandra.adopt_log(1).await, Ok(2));
    assert_eq!(cassandra.log_epoch().await, Ok(2));
    assert!(cassandra.adopt_log(1).await.is_err(), "somebody else has done it");
    assert_eq!(cassandra.adopt_log(2).await, Ok(3));
}
