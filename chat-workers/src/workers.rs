//! All roles in one place: which of them run, with what, and how they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat_core::clock::Clock;
pub use chat_core::config::WorkerRole as Role;
use chat_core::message_log::{LogError, MessageLog, Topic};
use chat_core::message_store::MessageStore;
use chat_core::presence::PresenceTable;
use chat_core::push::PushSender;
use chat_core::relay::Relay;
use chat_core::search::SearchIndex;
use chat_core::trace::Tracer;
use chat_core::user_store::UserStore;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::analytics::Analytics;
use crate::consume::{self, ConsumeConfig, Handler, Source};
use crate::index::{Indexer, IndexerPorts};
use crate::metrics::{PushMetrics, ReceiptsMetrics, RoleMetrics, SequencerMetrics};
use crate::notify::{Notify, NotifyConfig, NotifyPorts};
use crate::presence_sweep::{PresenceSweep, SweepPorts};
use crate::receipts::{Receipts, ReceiptsConfig, ReceiptsPorts};
use crate::sequencer::{Ports, Sequencer, SequencerConfig};
use crate::status::{PartitionStatus, Partitions};

/// What the workers work with.
#[derive(Debug, Clone)]
pub struct WorkersPorts {
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
    /// The search index; without one the indexer does not run.
    pub search: Option<Arc<dyn SearchIndex>>,
    /// The way to the vendors; without one the push worker does not run.
    pub push: Option<Arc<dyn PushSender>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Which records are followed.
    pub tracer: Tracer,
}

/// Which roles run, and how.
#[derive(Debug, Clone)]
pub struct WorkersConfig {
    /// The roles.
    pub roles: Vec<Role>,
    /// How the sequencer works.
    pub sequencer: SequencerConfig,
    /// How the others consume.
    pub consume: ConsumeConfig,
    /// How the receipts worker works.
    pub receipts: ReceiptsConfig,
    /// How the push worker works.
    pub push: NotifyConfig,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            roles: Role::ALL.to_vec(),
            sequencer: SequencerConfig::default(),
            consume: ConsumeConfig::default(),
            receipts: ReceiptsConfig::default(),
            push: NotifyConfig::default(),
        }
    }
}

impl WorkersConfig {
    /// Returns the settings of a single process whose log and stores share one journal: all roles, and commits without
    /// delay, because a commit cannot be more durable than the rows before it.
    pub fn embedded() -> Self {
        let mut config = Self::default();
        config.sequencer.commit_delay = std::time::Duration::ZERO;
        config.consume.commit_delay = std::time::Duration::ZERO;
        config
    }
}

/// One role as `/status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleStatus {
    /// Which.
    pub role: Role,
    /// The partitions it owns.
    pub partitions: Vec<PartitionStatus>,
}

/// The roles that run, as they are now. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct WorkersStatus(BTreeMap<Role, Partitions>);

impl WorkersStatus {
    /// Returns the roles, in the order of [`Role::ALL`].
    pub fn roles(&self) -> Vec<RoleStatus> {
        let status =
            |(role, partitions): (&Role, &Partitions)| RoleStatus { role: *role, partitions: partitions.partitions() };
        self.0.iter().map(status).collect()
    }

    /// Returns whether the sequencer owns `partitions` partitions and each is either decided to its end or blocked.
    pub fn has_sequenced(&self, partitions: usize) -> bool {
        let owned = self.0.get(&Role::Sequencer).map(Partitions::partitions).unwrap_or_default();
        owned.len() == partitions && owned.iter().all(|partition| partition.lag == 0 || partition.blocked.is_some())
    }
}

/// Why the workers stopped before they were told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// The log refuses a role for good.
    #[error("{role}: {error}")]
    Refused {
        /// The role.
        role: Role,
        /// What the log said.
        error: LogError,
    },
    /// A role ended by a defect.
    #[error("a role ended badly: {0}")]
    Defect(#[from] tokio::task::JoinError),
}

/// What one role counts, and shows of itself.
#[derive(Debug, Clone, Default)]
struct Gauges {
    status: Partitions,
    metrics: RoleMetrics,
}

/// The roles of one process.
#[derive(Debug)]
pub struct Workers {
    ports: WorkersPorts,
    config: WorkersConfig,
    gauges: BTreeMap<Role, Gauges>,
    sequencer: Option<Sequencer>,
    receipts_metrics: ReceiptsMetrics,
    push_metrics: PushMetrics,
}

impl Workers {
    /// Makes the roles and registers what they count. They do nothing until [`run`](Self::run).
    pub fn new(ports: WorkersPorts, config: WorkersConfig, registry: &mut Registry) -> Self {
        let is_possible = |role: &Role| match role {
            Role::Indexer => ports.search.is_some(),
            Role::Push => ports.push.is_some(),
            Role::Sequencer | Role::Receipts | Role::Analytics => true,
        };
        let (receipts_metrics, push_metrics) = (ReceiptsMetrics::default(), PushMetrics::default());
        let mut gauges: BTreeMap<Role, Gauges> = BTreeMap::new();
        let mut sequencer = None;
        for role in config.roles.iter().copied().filter(is_possible) {
            let gauges = gauges.entry(role).or_default();
            if role == Role::Sequencer {
                let metrics = SequencerMetrics::default();
                metrics.register(registry);
                let WorkersPorts { log, store, relay, clock, tracer, .. } = ports.clone();
                let made = Sequencer::new(Ports { log, store, relay, clock, tracer }, config.sequencer, metrics);
                gauges.status = made.status();
                sequencer = Some(made);
                continue;
            }
            let registry = registry.sub_registry_with_prefix(format!("chat_{role}"));
            gauges.metrics.register(registry);
            match role {
                Role::Receipts => receipts_metrics.register(registry),
                Role::Push => push_metrics.register(registry),
                Role::Sequencer | Role::Indexer | Role::Analytics => {}
            }
        }
        Self { ports, config, gauges, sequencer, receipts_metrics, push_metrics }
    }

    /// Returns a handle that shows the roles while they run.
    pub fn status(&self) -> WorkersStatus {
        WorkersStatus(self.gauges.iter().map(|(role, gauges)| (*role, gauges.status.clone())).collect())
    }

    /// Runs all roles until `shutdown`, then lets them finish what is in flight (at most 6 s) and commit. When one
    /// ends before that, so do all.
    ///
    /// # Errors
    /// When the log refuses a role for good, or a role ended by a defect.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), WorkersError> {
        let stop = shutdown.child_token();
        let mut roles: JoinSet<Result<(), WorkersError>> = JoinSet::new();
        for (role, gauges) in &std::mem::take(&mut self.gauges) {
            self.spawn(*role, gauges, &mut roles, &stop);
        }
        let mut outcome = Ok(());
        while let Some(ended) = roles.join_next().await {
            let ended = ended.map_err(WorkersError::from).flatten();
            if outcome.is_ok() {
                outcome = ended;
            }
            stop.cancel();
        }
        outcome
    }

    fn spawn(
        &mut self,
        role: Role,
        gauges: &Gauges,
        roles: &mut JoinSet<Result<(), WorkersError>>,
        stop: &CancellationToken,
    ) {
        info!(%role, "start a role");
        let WorkersPorts { log, store, users, relay, presence, search, push, clock, .. } = self.ports.clone();
        let source = |dead_letters: Option<Topic>| Source {
            log: Arc::clone(&self.ports.log),
            topic: role.topic(),
            group: role.name(),
            dead_letters,
            config: self.config.consume,
            clock: Arc::clone(&self.ports.clock),
            status: gauges.status.clone(),
            metrics: gauges.metrics.clone(),
        };
        match role {
            Role::Sequencer => {
                let Some(sequencer) = self.sequencer.take() else { return };
                let stop = stop.clone();
                roles.spawn(
                    async move { sequencer.run(stop).await.map_err(|error| WorkersError::Refused { role, error }) },
                );
            }
            Role::Receipts => {
                let sweep = SweepPorts { presence, users, relay: Arc::clone(&relay), clock: Arc::clone(&clock) };
                let sweep = PresenceSweep::new(sweep, self.receipts_metrics.clone());
                let until = stop.clone();
                roles.spawn(async move {
                    sweep.run(until).await;
                    Ok(())
                });
                let ports = ReceiptsPorts { log, store, relay, clock };
                let receipts = Receipts::new(ports, self.config.receipts, self.receipts_metrics.clone());
                start(receipts, role, source(None), roles, stop);
            }
            Role::Indexer => {
                let Some(search) = search else { return };
                let indexer = Indexer::new(IndexerPorts { store, search });
                start(indexer, role, source(None), roles, stop);
            }
            Role::Push => {
                let Some(push) = push else { return };
                let ports = NotifyPorts { log, store, users, push, clock };
                let notify = Notify::new(ports, self.config.push, self.push_metrics.clone());
                start(notify, role, source(Some(Topic::PushDlq)), roles, stop);
            }
            Role::Analytics => start(Analytics::new(users), role, source(None), roles, stop),
        }
    }
}

fn start<H: Handler + 'static>(
    handler: H,
    role: Role,
    source: Source,
    roles: &mut JoinSet<Result<(), WorkersError>>,
    stop: &CancellationToken,
) {
    let stop = stop.clone();
    roles.spawn(async move {
        consume::run(handler, source, stop).await.map_err(|error| WorkersError::Refused { role, error })
    });
}

#[cfg(test)]
mod tests;
