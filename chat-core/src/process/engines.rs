//! The engines of a cluster: opened once each answers, asked now and then how they are.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use crate::cassandra::Cassandra;
use crate::clock::Clock;
use crate::config::{EnginesConfig, KafkaConfig, PushConfig};
use crate::health::Health;
use crate::id::{ChatId, UserId};
use crate::message_log::kafka::KafkaLog;
use crate::message_log::{MessageLog, Topic};
use crate::message_store::cassandra::CassandraStore;
use crate::message_store::{Kept, MessageStore};
use crate::poll_positions::PollPositions;
use crate::poll_positions::redis::RedisPositions;
use crate::presence::PresenceTable;
use crate::presence::redis::RedisPresence;
use crate::push::PushSender;
use crate::push::vendors::Vendors;
use crate::redis::Redis;
use crate::relay::Relay;
use crate::relay::redis::RedisRelay;
use crate::search::elasticsearch::ElasticsearchIndex;
use crate::search::{Query, Scope, SearchIndex};
use crate::user_store::UserStore;
use crate::user_store::cassandra::CassandraUserStore;

/// Pauses between attempts to open an engine.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// How often the engines are asked how they are, and how long an answer may take.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// The ports of a cluster, on its engines.
#[derive(Debug, Clone)]
pub struct Engines {
    /// The log.
    pub log: Arc<dyn MessageLog>,
    /// The store.
    pub store: Arc<dyn MessageStore>,
    /// The store of users.
    pub users: Arc<dyn UserStore>,
    /// The way to the gateways.
    pub relay: Arc<dyn Relay>,
    /// Who is there.
    pub presence: Arc<dyn PresenceTable>,
    /// Where clients without a socket stand.
    pub positions: Arc<dyn PollPositions>,
    /// The search index, where one is configured.
    pub search: Option<Arc<dyn SearchIndex>>,
    /// The way to the vendors, where one is configured.
    pub push: Option<Arc<dyn PushSender>>,
}

/// Opens the engines, and waits for those that do not answer, or are not provisioned, for as long as it takes. What is
/// wrong with each is in `health`, and logged when it changes: a keyspace may be provisioned and a password set right
/// while this waits.
pub async fn open(config: &EnginesConfig, push: &PushConfig, clock: &Arc<dyn Clock>, health: &Health) -> Engines {
    let stores = async {
        let (store, users, epoch) = patiently("cassandra", clock, health, async || {
            let cassandra = Cassandra::open(&config.cassandra).await?;
            let epoch = cassandra.log_epoch().await?;
            let kept = config.cassandra.message_age_seconds.filter(|age| *age > 0);
            let kept = kept.map(|age| Kept::new(Duration::from_secs(age), Arc::clone(clock)));
            let store = CassandraStore::open(cassandra.clone(), kept).await?;
            let users = CassandraUserStore::open(cassandra, Arc::clone(clock)).await?;
            Ok::<_, crate::cassandra::OpenError>((store, users, epoch))
        })
        .await;
        // The keyspace knows which life of the log it was made from.
        let kafka = KafkaConfig { epoch: config.kafka.epoch.max(epoch), ..config.kafka.clone() };
        let log = patiently("kafka", clock, health, async || KafkaLog::open(&kafka).await).await;
        (log, store, users)
    };
    let redis = patiently("redis", clock, health, async || Redis::open(&config.redis).await);
    let search = async {
        let config = config.search.as_ref()?;
        // Not asked whether it is there: chats go on without it, and what is not indexed yet waits in the log.
        let open = async || ElasticsearchIndex::connect(config).await;
        Some(Arc::new(patiently("search", clock, health, open).await) as Arc<dyn SearchIndex>)
    };
    let vendors = async {
        if !push.is_enabled() {
            return None;
        }
        let open = async || {
            let (push, clock) = (push.clone(), Arc::clone(clock));
            let opened = tokio::task::spawn_blocking(move || Vendors::new(&push, &clock)).await;
            opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        };
        Some(Arc::new(patiently("push", clock, health, open).await) as Arc<dyn PushSender>)
    };
    let all = Box::pin(async { tokio::join!(stores, redis, search, vendors) });
    let ((log, store, users), redis, search, push) = all.await;
    Engines {
        log: Arc::new(log),
        store: Arc::new(store),
        users: Arc::new(users),
        relay: Arc::new(RedisRelay::new(redis.clone())),
        presence: Arc::new(RedisPresence::new(redis.clone())),
        positions: Arc::new(RedisPositions::new(redis)),
        search,
        push,
    }
}

async fn patiently<T, E: Display>(
    name: &str,
    clock: &Arc<dyn Clock>,
    health: &Health,
    open: impl AsyncFn() -> Result<T, E>,
) -> T {
    let mut pause = PAUSE_FIRST;
    loop {
        match open().await {
            Ok(opened) => {
                note(name, clock, health, None);
                return opened;
            }
            Err(error) => note(name, clock, health, Some(error.to_string())),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_LAST);
    }
}

fn note(name: &str, clock: &Arc<dyn Clock>, health: &Health, reason: Option<String>) {
    if !health.note(name, clock.now(), reason.clone()) {
        return;
    }
    if let Some(reason) = reason {
        warn!(engine = name, reason, "wait for an engine");
    } else {
        info!(engine = name, "an engine answers");
    }
}

/// Asks the engines how they are until it is dropped: a read of each.
pub async fn watch(engines: Engines, clock: Arc<dyn Clock>, health: Health) {
    let nobody = UserId::new("chat-health").unwrap_or_else(|_| unreachable!("it is a user id"));
    let nothing = Query {
        text: "health".to_owned(),
        scopes: vec![Scope { chat_id: ChatId(Uuid::nil()), after: 0, upto: None }],
        sender: None,
        from: None,
        to: None,
        after: None,
        limit: 1,
    };
    loop {
        sleep(ASK_EVERY).await;
        let kafka = answer(engines.log.end(Topic::Messages, 0));
        let cassandra = answer(engines.store.restore_epoch());
        let redis = answer(engines.presence.online(std::slice::from_ref(&nobody)));
        let search = async {
            match &engines.search {
                Some(index) => Some(answer(index.search(&nothing)).await),
                None => None,
            }
        };
        let (kafka, cassandra, redis, search) = tokio::join!(kafka, cassandra, redis, search);
        let asked =
            [("kafka", Some(kafka)), ("cassandra", Some(cassandra)), ("redis", Some(redis)), ("search", search)];
        for (name, reason) in asked.into_iter().filter_map(|(name, reason)| Some((name, reason?))) {
            note(name, &clock, &health, reason);
        }
    }
}

async fn answer<T, E: Display>(read: impl Future<Output = Result<T, E>> + Send) -> Option<String> {
    match timeout(ANSWER_WITHIN, read).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    }
}
