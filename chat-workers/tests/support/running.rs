//! Sequencers that run on the memory engines, with tokio's time paused.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chat_core::clock::{Clock, ManualClock};
use chat_core::event::{Event, PushRecord};
use chat_core::id::{ChatId, GatewayId};
use chat_core::message_log::memory::MemoryLog;
use chat_core::message_log::{Append, Appended, Entry, MessageLog, Topic, partition_of};
use chat_core::message_store::memory::MemoryStore;
use chat_core::record::Record;
use chat_core::relay::in_process::InProcessRelay;
use chat_core::relay::{Inbox, Item, Relay};
use chat_core::trace::Tracer;
use chat_workers::metrics::SequencerMetrics;
use chat_workers::sequencer::{PartitionStatus, SequencerStatus};
use chat_workers::{Ports, Sequencer, SequencerConfig};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::flaky_log::FlakyLog;
use super::flaky_store::FlakyStore;
use super::records::T0;

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_mins(5);

/// What sequencers of one cluster share.
#[derive(Debug, Clone)]
pub(crate) struct Engines {
    pub(crate) clock: ManualClock,
    pub(crate) log: FlakyLog,
    pub(crate) store: FlakyStore,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) config: SequencerConfig,
    pub(crate) metrics: SequencerMetrics,
}

impl Engines {
    /// Makes empty engines; commits are due at once.
    pub(crate) fn new(partitions: u32) -> Self {
        Self::seeded(partitions, 0)
    }

    /// Makes empty engines whose faults follow from a seed.
    pub(crate) fn seeded(partitions: u32, seed: u64) -> Self {
        let clock = ManualClock::at(T0);
        let config = SequencerConfig { commit_delay: Duration::ZERO, ..SequencerConfig::default() };
        Self {
            log: FlakyLog::new(MemoryLog::new(Arc::new(clock.clone()), partitions)),
            store: FlakyStore::new(MemoryStore::new(Uuid::nil()), seed),
            relay: Arc::new(InProcessRelay::new()),
            clock,
            config,
            metrics: SequencerMetrics::default(),
        }
    }

    /// Returns how far the log's clock has come.
    pub(crate) fn uptime(&self) -> Duration {
        Duration::from_millis(self.clock.now().millis_since(T0))
    }

    /// Starts a sequencer, which takes all partitions over.
    pub(crate) fn start(&self) -> Running {
        let ports = Ports {
            log: Arc::new(self.log.clone()),
            store: Arc::new(self.store.clone()),
            relay: Arc::clone(&self.relay),
            clock: Arc::new(self.clock.clone()),
            tracer: Tracer::off(),
        };
        let sequencer = Sequencer::new(ports, self.config, self.metrics.clone());
        let (status, shutdown) = (sequencer.status(), CancellationToken::new());
        let task = tokio::spawn(sequencer.run(shutdown.clone()));
        Running { engines: self.clone(), status, shutdown, task }
    }

    /// Appends a record as gateways do; a millisecond passes.
    pub(crate) async fn append(&self, record: &Record) -> Appended {
        self.append_raw(record.chat_id, record.encode()).await
    }

    /// Appends bytes under the key of a chat.
    pub(crate) async fn append_raw(&self, chat: ChatId, payload: bytes::Bytes) -> Appended {
        let partition = partition_of(chat, self.log.partitions(Topic::Messages));
        self.append_to(partition, chat, payload).await
    }

    /// Appends bytes to any partition.
    pub(crate) async fn append_to(&self, partition: u32, chat: ChatId, payload: bytes::Bytes) -> Appended {
        self.clock.advance_millis(1);
        let key = chat.to_string().into();
        let append = Append { topic: Topic::Messages, partition, key, payload, headers: Vec::new() };
        self.log.inner.append(append).await.unwrap()
    }

    /// Reads a whole topic.
    pub(crate) async fn entries(&self, topic: Topic) -> Vec<Entry> {
        let mut entries = Vec::new();
        for partition in 0..self.log.partitions(topic) {
            entries.extend(self.log.read(topic, partition, 0, usize::MAX).await.unwrap());
        }
        entries
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        self.decoded(Topic::Events).await
    }

    pub(crate) async fn pushes(&self) -> Vec<PushRecord> {
        self.decoded(Topic::Push).await
    }

    async fn decoded<T: DeserializeOwned>(&self, topic: Topic) -> Vec<T> {
        let entries = self.entries(topic).await;
        entries.iter().map(|entry| serde_json::from_slice(&entry.payload).unwrap()).collect()
    }

    /// Connects a gateway that holds these users.
    pub(crate) async fn connect(&self, pod: &str, users: &[&str]) -> Gateway {
        let id = GatewayId::new(pod, "boot");
        let inbox = self.relay.open(&id).await.unwrap();
        let users: Vec<_> = users.iter().map(|name| super::records::user(name)).collect();
        self.relay.register(&id, &users).await.unwrap();
        Gateway { id, inbox }
    }
}

/// A gateway's end of the relay.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    inbox: Box<dyn Inbox>,
}

impl Gateway {
    /// Returns what has arrived, until nothing comes for a while.
    pub(crate) async fn drain(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        while let Ok(arrived) = timeout(Duration::from_secs(8), self.inbox.next()).await {
            items.extend(arrived.unwrap().1.items);
        }
        items
    }
}

/// A sequencer that runs.
#[derive(Debug)]
pub(crate) struct Running {
    engines: Engines,
    status: SequencerStatus,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), chat_core::message_log::LogError>>,
}

impl Running {
    /// Waits until everything in the log is committed.
    pub(crate) async fn caught_up(&self) {
        let partitions = self.engines.log.partitions(Topic::Messages) as usize;
        until("everything is committed", async || {
            let status = self.status.partitions();
            let ends = status.iter().map(|partition| self.engines.log.end(Topic::Messages, partition.id));
            let ends = futures_util::future::join_all(ends).await;
            // The status is a second old: what was appended since shows only after the next look.
            sleep(Duration::from_millis(1_100)).await;
            ends.iter().all(Result::is_ok)
                && self.status.partitions().len() == partitions
                && self.status.partitions().iter().all(|partition| partition.lag == 0)
        })
        .await;
    }

    /// Returns one partition as the status shows it, no older than a second.
    pub(crate) async fn partition(&self, id: u32) -> PartitionStatus {
        sleep(Duration::from_millis(1_100)).await;
        self.status.partitions().into_iter().find(|partition| partition.id == id).unwrap()
    }

    /// Returns the committed offset of a partition.
    pub(crate) async fn committed(&self, id: u32) -> u64 {
        let lag = self.partition(id).await.lag;
        self.engines.log.end(Topic::Messages, id).await.unwrap() - lag
    }

    pub(crate) fn status(&self) -> Vec<PartitionStatus> {
        self.status.partitions()
    }

    /// Ends it at once: nothing more is committed.
    pub(crate) fn kill(self) {
        self.task.abort();
    }

    /// Shuts down in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        timeout(DEADLINE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Polls a condition; fails when it does not come true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let polled = timeout(DEADLINE, async {
        while !condition().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    polled.await.unwrap_or_else(|_| panic!("never came true: {what}"));
}
