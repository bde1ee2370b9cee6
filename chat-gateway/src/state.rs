//! What all parts of one gateway share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use chat_core::clock::Clock;
use chat_core::codes::ErrorCode;
use chat_core::config::GatewayConfig;
use chat_core::frame::Fault;
use chat_core::health::Health;
use chat_core::id::{ChatId, GatewayId, UserId};
use chat_core::message_log::MessageLog;
use chat_core::message_store::MessageStore;
use chat_core::poll_positions::PollPositions;
use chat_core::presence::PresenceTable;
use chat_core::push::PushSender;
use chat_core::relay::Relay;
use chat_core::search::SearchIndex;
use chat_core::trace::Tracer;
use chat_core::user_store::UserStore;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::{NoContext, Timestamp, Uuid};

use crate::admission::Admission;
use crate::auth::Verifiers;
use crate::blocks::Blocks;
use crate::drain::Drains;
use crate::erasure::Erasures;
use crate::membership::Memberships;
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;
use crate::presence::Presences;
use crate::rate::{Gcra, KeyedRate};
use crate::receipts::Receipts;
use crate::registry::Registry;
use crate::revocation::Revocations;
use crate::routes::Routes;
use crate::typing::Typing;

/// Chats that are read for sessions that are behind, at the same time.
const FILLS_AT_ONCE: usize = 64;

/// The engines a gateway stands on.
#[derive(Debug, Clone)]
pub struct Ports {
    /// The log of sends and changes.
    pub log: Arc<dyn MessageLog>,
    /// The store the sequencer writes.
    pub store: Arc<dyn MessageStore>,
    /// The store of users: last seen, devices, blocks, revocation.
    pub users: Arc<dyn UserStore>,
    /// The way from the workers to this gateway.
    pub relay: Arc<dyn Relay>,
    /// Who is there.
    pub presence: Arc<dyn PresenceTable>,
    /// Where clients without a socket stand.
    pub positions: Arc<dyn PollPositions>,
    /// The search index; without one search answers `not_enabled`.
    pub search: Option<Arc<dyn SearchIndex>>,
    /// The way to the push vendors, for test pushes; without one whatever is about push answers `not_enabled`.
    pub push: Option<Arc<dyn PushSender>>,
    /// Which records are followed.
    pub tracer: Tracer,
}

/// Measures spans since the gateway began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uptime(Instant);

impl Uptime {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns milliseconds since the start, never 0.
    pub(crate) fn millis(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Returns nanoseconds since the start.
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The rates that hold across sessions.
#[derive(Debug)]
pub(crate) struct Rates {
    pub(crate) users: KeyedRate<UserId>,
    pub(crate) chats: KeyedRate<ChatId>,
    /// Frames that users post; those of a socket have a rate of their own.
    pub(crate) frames: KeyedRate<UserId>,
}

/// One gateway.
pub(crate) struct State {
    pub(crate) id: GatewayId,
    pub(crate) boot: String,
    pub(crate) epoch: String,
    pub(crate) config: GatewayConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) uptime: Uptime,
    pub(crate) partitions: u32,
    pub(crate) health: Health,
    pub(crate) log: Arc<dyn MessageLog>,
    pub(crate) store: Arc<dyn MessageStore>,
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) search: Option<Arc<dyn SearchIndex>>,
    push: Option<Arc<dyn PushSender>>,
    pub(crate) tracer: Tracer,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) positions: Arc<dyn PollPositions>,
    pub(crate) verifiers: Verifiers,
    pub(crate) admission: Admission,
    pub(crate) sessions: Registry,
    pub(crate) routes: Routes,
    pub(crate) outcomes: Outcomes,
    pub(crate) memberships: Memberships,
    pub(crate) receipts: Receipts,
    pub(crate) presence: Presences,
    pub(crate) typing: Typing,
    pub(crate) blocks: Blocks,
    pub(crate) revocations: Revocations,
    pub(crate) erasures: Erasures,
    pub(crate) rates: Rates,
    pub(crate) fills: Semaphore,
    pub(crate) gap: Notify,
    pub(crate) is_subscribed: AtomicBool,
    pub(crate) drains: Drains,
    pub(crate) metrics: Metrics,
    /// The last write timestamp that was given out.
    stamp: AtomicU64,
    pub(crate) sends_per_s: AtomicU64,
    pub(crate) deliveries_per_s: AtomicU64,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// What is known before the shared state can be made.
pub(crate) struct Parts {
    pub(crate) id: GatewayId,
    pub(crate) boot: String,
    pub(crate) epoch: String,
    pub(crate) config: GatewayConfig,
    pub(crate) ports: Ports,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) verifiers: Verifiers,
    pub(crate) partitions: u32,
    pub(crate) health: Health,
}

impl State {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { id, boot, epoch, config, ports, clock, verifiers, partitions, health } = parts;
        let limits = &config.limits;
        Self {
            health,
            partitions,
            admission: Admission::new(config.max_connections),
            sessions: Registry::new(limits.sessions_per_user),
            routes: Routes::default(),
            outcomes: Outcomes::default(),
            memberships: Memberships::default(),
            receipts: Receipts::default(),
            presence: Presences::new(ports.presence),
            typing: Typing::new(limits.typing_per_minute),
            blocks: Blocks::default(),
            revocations: Revocations::default(),
            erasures: Erasures::default(),
            rates: Rates {
                users: KeyedRate::new(Gcra::new(limits.sends_per_user)),
                chats: KeyedRate::new(Gcra::new(limits.sends_per_chat)),
                frames: KeyedRate::new(Gcra::new(limits.frames_per_session)),
            },
            fills: Semaphore::new(FILLS_AT_ONCE),
            gap: Notify::new(),
            is_subscribed: AtomicBool::new(false),
            drains: Drains::default(),
            metrics: Metrics::new(),
            stamp: AtomicU64::new(0),
            sends_per_s: AtomicU64::new(0),
            deliveries_per_s: AtomicU64::new(0),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            uptime: Uptime::start(),
            log: ports.log,
            store: ports.store,
            users: ports.users,
            search: ports.search,
            push: ports.push,
            tracer: ports.tracer,
            relay: ports.relay,
            positions: ports.positions,
            id,
            boot,
            epoch,
            config,
            clock,
            verifiers,
        }
    }

    /// Returns the way to the push vendors; refuses what is about push where there is none.
    pub(crate) fn push(&self) -> Result<&dyn PushSender, Fault> {
        self.push.as_deref().ok_or_else(|| Fault::of(ErrorCode::NotEnabled))
    }

    /// Makes an id of version 7, for whoever did not bring one.
    pub(crate) fn new_id(&self) -> Uuid {
        let millis = self.clock.now().millis();
        let nanos = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
        Uuid::new_v7(Timestamp::from_unix(NoContext, millis / 1_000, nanos))
    }

    /// Makes a write timestamp: the clock in microseconds, above all that were made here before, so that of two writes
    /// one after the other the later holds.
    pub(crate) fn new_stamp(&self) -> u64 {
        let now = self.clock.now().millis().saturating_mul(1_000);
        let next = |last: u64| Some(now.max(last + 1));
        let last = self.stamp.fetch_update(Relaxed, Relaxed, next).unwrap_or_default();
        now.max(last + 1)
    }

    /// Returns whether new clients should be sent here.
    pub(crate) fn is_ready(&self) -> bool {
        let can_serve = self.is_subscribed.load(Relaxed) && self.verifiers.have_keys();
        can_serve && !self.drains.is_draining() && !self.shutdown.is_cancelled()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("id", &self.id).finish_non_exhaustive()
    }
}
