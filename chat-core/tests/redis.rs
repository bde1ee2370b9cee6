//! Relay, presence and poll positions on real Redis: their contracts on a Redis Cluster and on one Redis without cluster
//! mode, and what only this engine has. `tests/run.sh engines` starts the servers and says by `REDIS_*` where they are.
//! Every test has names of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::config::redis::RedisAuth;
use chat_core::config::{RedisConfig, Tls};
use chat_core::id::{GatewayId, UserId};
use chat_core::poll_positions::PollPositions;
use chat_core::poll_positions::redis::RedisPositions;
use chat_core::presence::PresenceTable;
use chat_core::presence::redis::RedisPresence;
use chat_core::redis::{OpenError, Redis};
use chat_core::relay::redis::RedisRelay;
use chat_core::relay::{Envelope, ROUTE_TTL_MS, Registered, Relay, RelayError};
use tokio::time::{Instant, sleep};

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `tests/run.sh engines`"))
}

/// Settings with names of their own, for the nodes that a variable lists.
fn config(urls: &str) -> RedisConfig {
    let urls = variable(urls).split(',').map(str::to_owned).collect();
    RedisConfig { urls, prefix: format!("t-{}-", uuid::Uuid::now_v7().simple()), auth: None, tls: None }
}

/// One set of names on one kind of Redis.
struct Subject {
    config: RedisConfig,
    redis: Redis,
}

async fn on(urls: &str) -> Subject {
    let config = config(urls);
    let redis = Redis::open(&config).await.unwrap();
    Subject { config, redis }
}

impl Subject {
    /// Moves every moment that is kept under these names back, which is what the passing of time does to them.
    async fn age(&self, time: Duration) {
        const AGE: &str = "
            if redis.call('TYPE', KEYS[1]).ok == 'zset' then
              for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
                redis.call('ZINCRBY', KEYS[1], -ARGV[1], member)
              end
            end
            local left = redis.call('PTTL', KEYS[1]) - ARGV[1]
            if left > 0 then redis.call('PEXPIRE', KEYS[1], left) else redis.call('DEL', KEYS[1]) end";
        for url in &self.config.urls {
            let node = redis::Client::open(url.as_str()).unwrap();
            let mut node = node.get_multiplexed_async_connection().await.unwrap();
            let pattern = format!("{}*", self.config.prefix);
            let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut node).await.unwrap();
            for key in keys {
                let mut age = redis::cmd("EVAL");
                age.arg(AGE).arg(1).arg(key).arg(u64::try_from(time.as_millis()).unwrap());
                age.exec_async(&mut node).await.unwrap();
            }
        }
    }
}

#[async_trait]
impl chat_core::relay::contract::Subject for Subject {
    fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(RedisRelay::new(self.redis.clone()))
    }

    async fn pass(&self, time: Duration) {
        self.age(time).await;
    }
}

#[async_trait]
impl chat_core::presence::contract::Subject for Subject {
    fn presence(&self) -> Arc<dyn PresenceTable> {
        Arc::new(RedisPresence::new(self.redis.clone()))
    }

    async fn pass(&self, time: Duration) {
        self.age(time).await;
    }
}

#[async_trait]
impl chat_core::poll_positions::contract::Subject for Subject {
    fn positions(&self) -> Arc<dyn PollPositions> {
        Arc::new(RedisPositions::new(self.redis.clone()))
    }

    async fn pass(&self, time: Duration) {
        self.age(time).await;
    }
}

mod cluster {
    use super::on;

    mod relay {
        chat_core::relay_contract!([#[tokio::test]], super::on("REDIS_CLUSTER_URLS").await);
    }

    mod presence {
        chat_core::presence_contract!([#[tokio::test]], super::on("REDIS_CLUSTER_URLS").await);
    }

    mod poll_positions {
        chat_core::poll_positions_contract!([#[tokio::test]], super::on("REDIS_CLUSTER_URLS").await);
    }
}

mod single {
    use super::on;

    mod relay {
        chat_core::relay_contract!([#[tokio::test]], super::on("REDIS_URL").await);
    }

    mod presence {
        chat_core::presence_contract!([#[tokio::test]], super::on("REDIS_URL").await);
    }

    mod poll_positions {
        chat_core::poll_positions_contract!([#[tokio::test]], super::on("REDIS_URL").await);
    }
}

fn a_gateway() -> GatewayId {
    GatewayId::new("test", &uuid::Uuid::now_v7().to_string())
}

fn a_user() -> UserId {
    UserId::new(&uuid::Uuid::now_v7().to_string()).unwrap()
}

/// Registers, publishes and receives.
async fn use_all(redis: Redis) {
    let (relay, gateway, users) = (RedisRelay::new(redis.clone()), a_gateway(), [a_user(), a_user()]);
    assert_eq!(relay.register(&gateway, &users).await.unwrap(), [Registered::New; 2]);
    let mut inbox = relay.open(&gateway).await.unwrap();
    relay.publish(&gateway, Envelope::default()).await.unwrap();
    assert_eq!(inbox.next().await.unwrap(), (1, Envelope::default()));
    let presence = RedisPresence::new(redis);
    assert_eq!(presence.touch(&users).await.unwrap(), [true; 2]);
    assert!(presence.clear(&users[0]).await.unwrap());
    assert_eq!(presence.expired(10).await.unwrap(), []);
}

/// Waits until a condition holds, and returns how long that took.
async fn until(mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never holds");
        sleep(Duration::from_millis(100)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn marks_and_routes_run_out_by_the_servers_own_clock() {
    let Subject { redis, .. } = on("REDIS_CLUSTER_URLS").await;
    let (relay, presence) = (RedisRelay::new(redis.clone()), RedisPresence::new(redis));
    let (gateway, users) = (a_gateway(), [a_user()]);
    relay.register(&gateway, &users).await.unwrap();
    presence.touch(&users).await.unwrap();
    let route = until(async || relay.routes(&users).await.unwrap() == [vec![]]);
    let swept = until(async || presence.expired(10).await.unwrap() == users);
    let (route, swept) = tokio::join!(route, swept);
    for lived in [route, swept] {
        let seconds = ROUTE_TTL_MS / 1_000;
        assert!((seconds - 1..seconds + 5).contains(&lived.as_secs()), "{lived:?}");
    }
}

#[tokio::test]
async fn an_idle_gateway_is_told_that_everything_was_lost() {
    let subject = on("REDIS_CLUSTER_URLS").await;
    let (relay, gateway) = (RedisRelay::new(subject.redis.clone()), a_gateway());
    let inbox = relay.open(&gateway).await.unwrap();
    assert_eq!(inbox.counter().await, Ok(0));
    // Everything under these names, as a restart without replicas would.
    subject.age(Duration::from_hours(1)).await;
    assert_eq!(inbox.counter().await, Err(RelayError::Interrupted));
    relay.publish(&gateway, Envelope::default()).await.unwrap();
    assert_eq!(inbox.counter().await, Err(RelayError::Interrupted), "also where another one counts on meanwhile");
    let inbox = relay.open(&gateway).await.unwrap();
    assert_eq!(inbox.counter().await, Ok(1));
}

#[tokio::test]
async fn transitions_are_published_for_the_customers_own_consumers() {
    let subject = on("REDIS_URL").await;
    let client = redis::Client::open(format!("{}/?protocol=resp3", subject.config.urls[0])).unwrap();
    let (sender, mut pushed) = tokio::sync::broadcast::channel(256);
    let settings = redis::AsyncConnectionConfig::new().set_push_sender(sender);
    let mut consumer = client.get_multiplexed_async_connection_with_config(&settings).await.unwrap();
    for bucket in 0..chat_core::presence::redis::BUCKETS {
        let channel = format!("{}presence_events:{{{bucket}}}", subject.config.prefix);
        consumer.send_packed_command(redis::cmd("SSUBSCRIBE").arg(channel)).await.unwrap();
    }
    let (presence, user) = (RedisPresence::new(subject.redis.clone()), [a_user()]);
    presence.touch(&user).await.unwrap();
    presence.touch(&user).await.unwrap();
    presence.clear(&user[0]).await.unwrap();
    presence.touch(&user).await.unwrap();
    subject.age(Duration::from_secs(31)).await;
    assert_eq!(presence.expired(10).await.unwrap(), user);
    let mut told = Vec::new();
    while told.len() < 4 {
        let push = tokio::time::timeout(Duration::from_secs(10), pushed.recv()).await.unwrap().unwrap();
        if push.kind == redis::PushKind::SMessage {
            let event: String = redis::from_redis_value(push.data[1].clone()).unwrap();
            let event: serde_json::Value = serde_json::from_str(&event).unwrap();
            assert_eq!(event["user_id"], user[0].as_str());
            told.push(event["status"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(told, ["online", "offline", "online", "offline"]);
}

/// The settings of the node that asks for a name and password, over TLS.
fn secured() -> RedisConfig {
    let work = PathBuf::from(variable("REDIS_WORK"));
    let auth = RedisAuth { username_file: Some(work.join("username")), password_file: work.join("password") };
    let tls = Tls { ca_file: Some(work.join("ca.crt")), client: None };
    RedisConfig { auth: Some(auth), tls: Some(tls), ..config("REDIS_TLS_URL") }
}

#[tokio::test]
async fn a_password_over_tls_lets_in() {
    use_all(Redis::open(&secured()).await.unwrap()).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_waiting_does_not_help() {
    let right = secured();
    let mut wrong = right.clone();
    let auth = wrong.auth.as_mut().unwrap();
    auth.password_file = PathBuf::from(variable("REDIS_WORK")).join("username");
    for config in [wrong, RedisConfig { auth: None, ..right }] {
        let error = Redis::open(&config).await.unwrap_err();
        assert!(matches!(error, OpenError::Refused(_)), "{error:?}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn tls_takes_the_right_authority_and_no_other() {
    let other = |name: &str| {
        let ca_file = Some(PathBuf::from(variable("REDIS_WORK")).join(name));
        RedisConfig { tls: Some(Tls { ca_file, client: None }), ..secured() }
    };
    let error = Redis::open(&other("other-ca.crt")).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unavailable(why) if why.contains("certificate")), "{error:?}");
    let error = Redis::open(&RedisConfig { tls: None, ..secured() }).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unavailable(why) if why.contains("certificate")), "{error:?}");
    let error = Redis::open(&other("no-such.crt")).await.unwrap_err();
    assert!(matches!(&error, OpenError::Config(why) if why.contains("no-such.crt")), "{error:?}");
    let error = Redis::open(&other("username")).await.unwrap_err();
    assert!(matches!(error, OpenError::Config(_)), "{error:?}");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told_apart_from_a_server_that_is_away() {
    let plain = config("REDIS_URL");
    let with =
        |urls: &[&str]| RedisConfig { urls: urls.iter().map(|url| (*url).to_owned()).collect(), ..plain.clone() };
    let tls = Some(Tls::default());
    for (config, reason) in [
        (with(&[]), "none"),
        (with(&["127.0.0.1"]), "urls"),
        (with(&["redis://ann:secret@127.0.0.1:1"]), "name or password"),
        (with(&["redis://127.0.0.1:1", "rediss://127.0.0.1:1"]), "mixed"),
        (RedisConfig { tls, ..with(&["redis://127.0.0.1:1"]) }, "rediss"),
        (RedisConfig { prefix: "a{b}".to_owned(), ..plain.clone() }, "brace"),
    ] {
        let error = Redis::open(&config).await.unwrap_err();
        assert!(matches!(&error, OpenError::Config(why) if why.contains(reason)), "{error:?} does not tell {reason}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    // The first of these ports is closed; one node that answers is enough.
    let error = Redis::open(&with(&["redis://127.0.0.1:1"])).await.unwrap_err();
    assert!(matches!(error, OpenError::Unavailable(_)) && error.is_retryable(), "{error:?}");
    let some_are_away = with(&["redis://127.0.0.1:1", &variable("REDIS_URL")]);
    use_all(Redis::open(&some_are_away).await.unwrap()).await;
}
