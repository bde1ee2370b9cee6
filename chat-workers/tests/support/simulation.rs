//! One run of everything around the sequencer that follows from its seed: clients, gateways, the log, the store, the
//! relay, and a nemesis that breaks each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::id::{ChatId, UserId};
use chat_core::message_log::{Append, MessageLog, Topic, partition_of};
use chat_core::message_store::MessageStore;
use chat_core::record::{Op, Record};
use chat_core::relay::in_process::InProcessRelay;
use chat_core::relay::lossy::{Faults, LossyRelay};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::flaky_store::{StoreFaults, StoreFlaw};
use super::gateway::{GatewayFlaw, Sessions, SimulatedGateway, gateway_id};
use super::ledger::Ledger;
use super::records::{T0, add, create, edit, group, id_at, remove, text, user};
use super::running::{Engines, Running};

const USERS: [&str; 6] = ["ann", "bob", "cyd", "dan", "eve", "fay"];
const PARTITIONS: u32 = 2;
const CHATS: u64 = 4;

/// How long things break.
const STORM: Duration = Duration::from_secs(30);

/// Longest time after the storm until every session has everything.
const CALM: Duration = Duration::from_secs(15);

/// What is broken in a way that no fault of the world is, to see that the ledger finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    Gateway(GatewayFlaw),
    Store(StoreFlaw),
    CommitsEarly,
}

/// Sends that the log acknowledged.
type Acked = Arc<Mutex<Vec<(ChatId, Uuid, UserId)>>>;

/// Runs one seed to its end and returns what it left behind.
pub(crate) fn run(seed: u64, flaw: Option<Sabotage>) -> Ledger {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(seed, flaw))
}

async fn simulate(seed: u64, flaw: Option<Sabotage>) -> Ledger {
    let mut rng = StdRng::seed_from_u64(seed);
    let relay = LossyRelay::new(Arc::new(InProcessRelay::new()), seed);
    let mut engines = Engines::seeded(PARTITIONS, seed);
    engines.relay = Arc::new(relay.clone());
    engines.config.commit_delay = *[Duration::ZERO, Duration::from_secs(2)].choose(&mut rng).unwrap();
    engines.config.batch_records = *[1, 3, 1_024].choose(&mut rng).unwrap();
    engines.config.cached_chats = *[1, 1_000].choose(&mut rng).unwrap();
    match flaw {
        Some(Sabotage::Store(flaw)) => engines.store.set_flaw(flaw),
        Some(Sabotage::CommitsEarly) => engines.log.faults().commits_early = true,
        Some(Sabotage::Gateway(_)) | None => {}
    }
    let mut background = JoinSet::new();
    background.spawn(tick(engines.clone()));
    let gateway_flaw = flaw.and_then(|flaw| if let Sabotage::Gateway(flaw) = flaw { Some(flaw) } else { None });
    let sessions = gateways(&engines, gateway_flaw, &mut rng, &mut background);
    let acked = Acked::default();
    for n in 0..CHATS {
        let others: Vec<&str> = USERS[1..].iter().copied().filter(|_| rng.random_bool(0.6)).collect();
        append(&engines, &Record::new(group(n), user("ann"), group(n).0, create(&others))).await;
    }
    let mut clients = JoinSet::new();
    for name in USERS {
        let client = Client { name, engines: engines.clone(), acked: Arc::clone(&acked), rng: rng.fork_seed() };
        clients.spawn(client.run());
    }
    let mut sequencers = vec![engines.start()];
    nemesis(&engines, &relay, &mut rng, &mut sequencers).await;
    clients.join_all().await;
    heal(&engines, &relay);
    let last = engines.start();
    last.caught_up().await;
    sleep(CALM).await;
    last.stop().await;
    background.shutdown().await;
    let mut log = Vec::new();
    for partition in 0..PARTITIONS {
        log.push(engines.log.read(Topic::Messages, partition, 0, usize::MAX).await.unwrap());
    }
    let acked = acked.lock().unwrap().clone();
    Ledger {
        acked,
        log,
        tables: engines.store.inner.tables(),
        events: engines.events().await,
        pushes: engines.pushes().await,
        copies: sessions.iter().map(Sessions::copies).collect::<Vec<BTreeMap<_, _>>>(),
    }
}

/// Lets the log's clock follow tokio's.
async fn tick(engines: Engines) {
    loop {
        sleep(Duration::from_millis(5)).await;
        engines.clock.advance_millis(5);
    }
}

fn gateways(
    engines: &Engines,
    flaw: Option<GatewayFlaw>,
    rng: &mut StdRng,
    background: &mut JoinSet<()>,
) -> Vec<Sessions> {
    let mut all = Vec::new();
    for n in 0..3 {
        let users = USERS.iter().enumerate().filter(|(i, _)| i % 3 == n || rng.random_bool(0.2));
        let sessions = Sessions::default();
        let gateway = SimulatedGateway {
            id: gateway_id(n),
            users: users.map(|(_, name)| user(name)).collect(),
            relay: Arc::clone(&engines.relay),
            store: Arc::new(engines.store.clone()) as Arc<dyn MessageStore>,
            sessions: sessions.clone(),
            flaw,
        };
        background.spawn(gateway.run());
        all.push(sessions);
    }
    all
}

/// Appends as clients do: the same record again, until it is acknowledged.
async fn append(engines: &Engines, record: &Record) {
    let append = Append {
        topic: Topic::Messages,
        partition: partition_of(record.chat_id, PARTITIONS),
        key: record.chat_id.to_string().into(),
        payload: record.encode(),
        headers: Vec::new(),
    };
    while engines.log.append(append.clone()).await.is_err() {
        sleep(Duration::from_millis(200)).await;
    }
}

/// Makes generators that follow from one.
trait Fork {
    fn fork_seed(&mut self) -> StdRng;
}

impl Fork for StdRng {
    fn fork_seed(&mut self) -> StdRng {
        StdRng::seed_from_u64(self.random())
    }
}

struct Client {
    name: &'static str,
    engines: Engines,
    acked: Acked,
    rng: StdRng,
}

impl Client {
    async fn run(mut self) {
        let mut last: Option<Record> = None;
        let begun = Instant::now();
        let mut n = 0;
        while begun.elapsed() < STORM {
            sleep(Duration::from_millis(self.rng.random_range(10..2_500))).await;
            n += 1;
            let record = match last {
                // A client that lost its connection sends again what it has not seen yet.
                Some(ref last) if self.rng.random_bool(0.2) => last.clone(),
                _ => self.ask(n),
            };
            append(&self.engines, &record).await;
            if matches!(record.op, Op::Send { .. }) {
                self.acked.lock().unwrap().push((record.chat_id, record.id, record.actor.clone()));
            }
            last = Some(record);
        }
    }

    fn ask(&mut self, n: u64) -> Record {
        let rng = &mut self.rng;
        let other = *USERS.choose(rng).unwrap();
        let op = match rng.random_range(0..100) {
            0..66 => text(&format!("{} says {n}", self.name)),
            66..80 => edit(rng.random_range(1..12), &format!("{} means {n}", self.name)),
            80..85 => Op::Delete { seq: rng.random_range(1..12) },
            85..91 => add(other),
            91..96 => remove(other),
            _ => Op::Rename { name: format!("room {n}") },
        };
        let now = Time::from_millis(T0.millis() + u64::try_from(self.engines.uptime().as_millis()).unwrap());
        let skew = *[0, 0, 0, 90_000, 119_500, 3_600_000].choose(rng).unwrap();
        let made = now.plus_millis(skew);
        let id = id_at(made, (u64::from(self.name.as_bytes()[0]) << 32) | n);
        Record::new(group(rng.random_range(0..CHATS)), user(self.name), id, op)
    }
}

/// Breaks one thing after the other.
async fn nemesis(engines: &Engines, relay: &LossyRelay, rng: &mut StdRng, sequencers: &mut Vec<Running>) {
    let begun = Instant::now();
    relay.set_faults(Faults::ROUGH);
    while begun.elapsed() < STORM {
        sleep(Duration::from_millis(rng.random_range(100..2_000))).await;
        match rng.random_range(0..12) {
            0 | 1 => engines.store.set_faults(StoreFaults {
                read: 0.05,
                write: 0.3,
                late: Duration::from_secs(5),
                slow: Duration::from_millis(rng.random_range(0..100)),
            }),
            2 => engines.store.set_faults(StoreFaults::default()),
            3 => {
                engines.store.set_down(true);
                sleep(Duration::from_millis(rng.random_range(10..3_000))).await;
                engines.store.set_down(false);
            }
            4 => {
                relay.set_down(true);
                sleep(Duration::from_millis(rng.random_range(10..3_000))).await;
                relay.set_down(false);
            }
            5 => relay.lose_routes().await.unwrap(),
            6 => relay.lose_counters(),
            7 => relay.cut_subscriptions(),
            8 | 9 => {
                // A crash: nothing is finished, nothing is committed; its writes may still be under way.
                sequencers.drain(..).for_each(Running::kill);
                sleep(Duration::from_millis(rng.random_range(0..1_500))).await;
                sequencers.push(engines.start());
            }
            10 => sequencers.push(engines.start()),
            _ => {
                let mut faults = engines.log.faults();
                faults.full += rng.random_range(0..3);
                faults.unacknowledged += rng.random_range(0..3);
                faults.seeks += rng.random_range(0..2);
                faults.commits += rng.random_range(0..2);
            }
        }
    }
}

fn heal(engines: &Engines, relay: &LossyRelay) {
    relay.set_faults(Faults::default());
    engines.store.set_faults(StoreFaults::default());
    engines.log.faults().heal();
}
