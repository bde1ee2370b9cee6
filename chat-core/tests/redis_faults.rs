//! The relay on a Redis Cluster that is broken on purpose, with envelopes flowing: whatever the gateway does not get
//! that a publisher was told is sent, it learns of in time, and delivery goes on without a restart of anything.
//!
//! Each test has a cluster of its own: three primaries and three replicas. `tests/run.sh engines` brings `redis-server`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

#[path = "redis_faults/cluster.rs"]
mod cluster;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chat_core::event::{Outcome, Verdict};
use chat_core::id::{ChatId, GatewayId, UserId};
use chat_core::redis::Redis;
use chat_core::relay::redis::RedisRelay;
use chat_core::relay::{Envelope, Inbox, Item, Registered, Relay, RelayError};
use cluster::Cluster;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How soon a loss must be noticed where the gateway's node answers.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

/// How long a failover may take: the nodes' own time-out, the vote, and what the clients need to find out.
const FAILOVER: Duration = Duration::from_secs(20);

/// How often the dispatcher of a gateway reads the counter.
const COUNT_EVERY: Duration = Duration::from_millis(900);

fn envelope(number: u64) -> Envelope {
    let verdict = Verdict {
        chat_id: ChatId(Uuid::nil()),
        actor: UserId::new("ann").unwrap(),
        id: Uuid::from_u128(u128::from(number)),
        is_send: true,
        outcome: Outcome::Applied { seq: number, rev: 0 },
    };
    Envelope { items: vec![Item::Verdict(verdict)] }
}

fn sent_as(envelope: &Envelope) -> u64 {
    let [Item::Verdict(Verdict { outcome: Outcome::Applied { seq, .. }, .. })] = envelope.items.as_slice() else {
        panic!("not an envelope of this test: {envelope:?}")
    };
    *seq
}

/// What a gateway heard, and when it learned that something was missing.
#[derive(Default)]
struct Heard {
    received: BTreeSet<u64>,
    gaps: Vec<Gap>,
}

/// When something may have been missed, and why.
type Gap = (Instant, String);

/// Reads a gateway's channel as its dispatcher does, until told to stop.
async fn gateway(relay: RedisRelay, id: GatewayId, mut stop: watch::Receiver<bool>, subscribed: Arc<Notify>) -> Heard {
    let mut heard = Heard::default();
    let mut broke = None;
    while !*stop.borrow() {
        match relay.open(&id).await {
            Ok(inbox) => {
                heard.gaps.extend(broke.take().map(|why| (Instant::now(), why)));
                subscribed.notify_one();
                if let Err(error) = read(inbox, &mut heard, &mut stop).await {
                    broke = Some(error.to_string());
                }
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    heard
}

/// Reads one subscription until it breaks, or until told to stop.
async fn read(
    mut inbox: Box<dyn Inbox>,
    heard: &mut Heard,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), RelayError> {
    let mut last = inbox.counter().await?;
    let mut before = last;
    let mut count = tokio::time::interval(COUNT_EVERY);
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => return Ok(()),
            _ = count.tick() => {
                let counter = inbox.counter().await?;
                if counter < last || before > last {
                    heard.gaps.push((Instant::now(), format!("the counter is {counter}, the last number {last}")));
                    last = counter;
                }
                before = counter;
            }
            next = inbox.next() => {
                let (number, envelope) = next?;
                heard.received.insert(sent_as(&envelope));
                if number != last + 1 {
                    heard.gaps.push((Instant::now(), format!("{number} follows {last}")));
                }
                last = number;
            }
        }
    }
}

/// Publishes until told to stop; returns what the relay took, and when.
async fn publisher(relay: RedisRelay, id: GatewayId, stop: watch::Receiver<bool>) -> Vec<(u64, Instant)> {
    let mut taken = Vec::new();
    for number in 1.. {
        if *stop.borrow() {
            break;
        }
        if relay.publish(&id, envelope(number)).await.is_ok() {
            taken.push((number, Instant::now()));
        }
        sleep(Duration::from_millis(2)).await;
    }
    taken
}

/// A gateway, a publisher, and the cluster between them.
struct Flow {
    cluster: Cluster,
    redis: Redis,
    id: GatewayId,
    channel: String,
    stop: watch::Sender<bool>,
    gateway: tokio::task::JoinHandle<Heard>,
    publisher: tokio::task::JoinHandle<Vec<(u64, Instant)>>,
}

/// What came of it.
struct Ended {
    taken: Vec<(u64, Instant)>,
    heard: Heard,
}

impl Flow {
    async fn begin() -> Self {
        let cluster = Cluster::start().await;
        let (ours, theirs) = (cluster.open().await, cluster.open().await);
        let id = GatewayId::new("test", &Uuid::now_v7().to_string());
        let channel = format!("{}gateway:{{{id}}}", cluster.config().prefix);
        let stop = watch::Sender::new(false);
        let subscribed = Arc::new(Notify::new());
        let reading = gateway(RedisRelay::new(ours.clone()), id.clone(), stop.subscribe(), Arc::clone(&subscribed));
        let gateway = tokio::spawn(reading);
        subscribed.notified().await;
        let publisher = tokio::spawn(publisher(RedisRelay::new(theirs), id.clone(), stop.subscribe()));
        let flow = Self { cluster, redis: ours, id, channel, stop, gateway, publisher };
        sleep(Duration::from_secs(1)).await;
        flow
    }

    /// Waits until a relay of its own carries an envelope again, and for a second more.
    async fn until_it_flows(&self) {
        let relay = RedisRelay::new(self.redis.clone());
        let probe = GatewayId::new("probe", &self.id.as_str().replace("test#", ""));
        let flows = async {
            loop {
                if let Ok(mut inbox) = relay.open(&probe).await
                    && relay.publish(&self.id, envelope(u64::from(u32::MAX))).await.is_ok()
                    && relay.publish(&probe, envelope(0)).await.is_ok()
                    && matches!(timeout(Duration::from_secs(1), inbox.next()).await, Ok(Ok(_)))
                {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(FAILOVER, flows).await.expect("the relay must work again");
        sleep(Duration::from_secs(1)).await;
    }

    async fn end(self) -> Ended {
        // The last loss has the time to be noticed.
        let taken_by = Instant::now();
        sleep(NOTICED_WITHIN + COUNT_EVERY).await;
        self.stop.send_replace(true);
        let (heard, mut taken) = (self.gateway.await.unwrap(), self.publisher.await.unwrap());
        taken.retain(|(_, at)| *at < taken_by);
        Ended { taken, heard }
    }
}

impl Ended {
    /// Returns what was taken and never came.
    fn lost(&self) -> Vec<(u64, Instant)> {
        self.taken.iter().filter(|(number, _)| !self.heard.received.contains(number)).copied().collect()
    }

    /// Checks that every loss was noticed in time, and that what was sent last came.
    fn judge(&self, noticed_within: Duration) -> Result<(), String> {
        for (number, at) in self.lost() {
            let noticed = self.heard.gaps.iter().map(|(gap, _)| *gap).find(|gap| *gap >= at);
            let late = noticed.map(|gap| gap.duration_since(at));
            if late.is_none_or(|late| late > noticed_within) {
                return Err(format!("envelope {number} is missing, noticed after {late:?}"));
            }
        }
        let newest = self.taken.last().map(|(number, _)| *number);
        let goes_on = newest.is_some_and(|newest| self.heard.received.contains(&newest));
        if goes_on { Ok(()) } else { Err("delivery does not go on".to_owned()) }
    }

    /// Checks what a fault must have done, too: an interruption that the gateway noticed.
    fn check(&self, noticed_within: Duration) {
        let why: Vec<&String> = self.heard.gaps.iter().map(|(_, why)| why).collect();
        eprintln!("{} taken, {} lost, {} gaps: {why:?}", self.taken.len(), self.lost().len(), why.len());
        assert_eq!(self.judge(noticed_within), Ok(()));
        assert!(!why.is_empty(), "the fault was none");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_nothing_is_lost() {
    let flow = Flow::begin().await;
    sleep(Duration::from_secs(3)).await;
    let ended = flow.end().await;
    assert_eq!(ended.judge(Duration::ZERO), Ok(()));
    assert!(ended.heard.gaps.is_empty() && ended.lost().is_empty(), "{:?}", ended.heard.gaps);
    assert!(ended.taken.len() > 100, "only {} were taken", ended.taken.len());
}

#[tokio::test]
async fn a_loss_that_the_gateway_does_not_notice_in_time_is_found() {
    let sent = Instant::now();
    let taken = vec![(1, sent), (2, sent), (3, sent)];
    let ended = |received: &[u64], gaps: Vec<Instant>| Ended {
        taken: taken.clone(),
        heard: Heard {
            received: received.iter().copied().collect(),
            gaps: gaps.into_iter().map(|at| (at, String::new())).collect(),
        },
    };
    let late = sent + NOTICED_WITHIN * 2;
    assert_eq!(ended(&[1, 2, 3], vec![]).judge(NOTICED_WITHIN), Ok(()));
    assert_eq!(ended(&[1, 3], vec![sent]).judge(NOTICED_WITHIN), Ok(()));
    for (received, gaps) in [(&[1, 3][..], vec![]), (&[1, 3], vec![late]), (&[1, 2], vec![sent])] {
        assert!(ended(received, gaps.clone()).judge(NOTICED_WITHIN).is_err(), "{received:?} with {gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_followed_by_its_replica() {
    let mut flow = Flow::begin().await;
    flow.cluster.kill(flow.cluster.primary_of(&flow.channel).await);
    flow.cluster.until_served(&flow.channel, FAILOVER).await;
    flow.until_it_flows().await;
    flow.end().await.check(FAILOVER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_says_nothing_is_followed_by_its_replica_and_may_come_back() {
    let flow = Flow::begin().await;
    let silent = flow.cluster.primary_of(&flow.channel).await;
    flow.cluster.pause(silent);
    flow.cluster.until_served_by_another(&flow.channel, silent, FAILOVER).await;
    flow.until_it_flows().await;
    flow.cluster.resume(silent);
    flow.until_it_flows().await;
    flow.end().await.check(FAILOVER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_pause_loses_nothing_for_good() {
    let flow = Flow::begin().await;
    let paused = flow.cluster.primary_of(&flow.channel).await;
    flow.cluster.pause(paused);
    sleep(Duration::from_millis(400)).await;
    flow.cluster.resume(paused);
    flow.until_it_flows().await;
    assert_eq!(flow.end().await.judge(NOTICED_WITHIN), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_flushall_takes_is_noticed_and_registered_anew() {
    let flow = Flow::begin().await;
    let (relay, users) = (RedisRelay::new(flow.redis.clone()), [UserId::new("ann").unwrap()]);
    relay.register(&flow.id, &users).await.unwrap();
    flow.cluster.flush_all().await;
    assert_eq!(relay.routes(&users).await.unwrap(), [vec![]]);
    assert_eq!(relay.register(&flow.id, &users).await.unwrap(), [Registered::New]);
    let flushed = Instant::now();
    sleep(NOTICED_WITHIN).await;
    let ended = flow.end().await;
    ended.check(NOTICED_WITHIN);
    assert!(
        ended.heard.gaps.iter().any(|(gap, _)| gap.duration_since(flushed) <= NOTICED_WITHIN),
        "nothing was noticed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_takes_the_channel_along() {
    let flow = Flow::begin().await;
    for _ in 0..4 {
        flow.cluster.move_slot_of(&flow.channel).await;
        flow.until_it_flows().await;
    }
    flow.end().await.check(NOTICED_WITHIN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_hand_is_noticed() {
    let flow = Flow::begin().await;
    flow.cluster.fail_over(&flow.channel).await;
    flow.until_it_flows().await;
    flow.end().await.check(NOTICED_WITHIN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_gone_and_back_empty_is_a_loss_and_no_more() {
    let mut flow = Flow::begin().await;
    flow.cluster.kill_all();
    // A publisher must be told, and not wait.
    let relay = RedisRelay::new(flow.redis.clone());
    let asked = Instant::now();
    assert!(relay.publish(&flow.id, Envelope::default()).await.is_err());
    assert!(asked.elapsed() < Duration::from_millis(1_500), "{:?}", asked.elapsed());
    flow.cluster.restart_all().await;
    flow.until_it_flows().await;
    flow.end().await.check(FAILOVER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_an_outage_are_bounded_and_answered() {
    let flow = Flow::begin().await;
    flow.cluster.pause_all();
    let relay = Arc::new(RedisRelay::new(flow.redis.clone()));
    let users: Vec<UserId> = (0..2_000).map(|n| UserId::new(&format!("u{n}")).unwrap()).collect();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (relay, users) = (Arc::clone(&relay), users.clone());
        calls.spawn(async move { relay.routes(&users).await.is_err() });
    }
    let answers = timeout(Duration::from_secs(5), calls.join_all()).await.expect("every call has a deadline");
    assert!(answers.into_iter().all(|failed| failed));
    flow.cluster.resume_all();
    flow.until_it_flows().await;
    assert_eq!(relay.routes(&users).await.unwrap().len(), users.len());
    assert_eq!(flow.end().await.judge(FAILOVER), Ok(()));
}
