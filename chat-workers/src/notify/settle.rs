//! What becomes of one push record: its members now, its members later, one record of outcomes.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_core::event::PushRecord;
use chat_core::id::{ChatId, UserId};
use chat_core::message_log::{Append, Position, Topic, partition_of};
use chat_core::message_store::{MemberRow, Order, Roster, RosterMember, Row, SeqRange, StoreError};
use chat_core::push::outcome::{PushOutcome, PushOutcomes, PushResult};
use chat_core::push::{Device, Notification};
use chat_core::receipt::unread;
use chat_core::user_store::{DeviceRow, UserWrite};
use futures_util::future::join_all;
use lru::LruCache;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::audience::{Audience, needs_none};
use super::deliver::Courier;
use super::{NotifyConfig, NotifyPorts};
use crate::backoff::backoff;
use crate::metrics::{PushMetrics, ResultLabel};

/// Rosters kept in memory.
const ROSTERS: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Records that read from the stores at once.
const CONCURRENT_READS: usize = 64;

/// Settles push records. Shared by all tasks.
#[derive(Debug)]
pub(super) struct Settler {
    ports: NotifyPorts,
    config: NotifyConfig,
    metrics: PushMetrics,
    courier: Courier,
    reads: Semaphore,
    rosters: Mutex<LruCache<(ChatId, Position), Arc<Roster>>>,
}

/// A member who is pushed to.
#[derive(Debug)]
struct Target {
    user: UserId,
    unread: u64,
    devices: Vec<DeviceRow>,
}

/// What one device got.
struct Delivered {
    device: Device,
    result: PushResult,
    reason: Option<String>,
}

impl Settler {
    pub(super) fn new(ports: NotifyPorts, config: NotifyConfig, metrics: PushMetrics) -> Self {
        let push = Arc::clone(&ports.push);
        let courier = Courier::new(push, config.concurrent_pushes, config.attempts, metrics.clone());
        let rosters = Mutex::new(LruCache::new(ROSTERS));
        Self { ports, config, metrics, courier, reads: Semaphore::new(CONCURRENT_READS), rosters }
    }

    /// Settles a record; returns whether all of it is settled, which `hurry` may prevent. Stores that are away are
    /// waited for.
    pub(super) async fn settle(&self, record: PushRecord, hurry: &CancellationToken) -> bool {
        // The sleep below is where most records are; what runs before and after it is boxed to keep them small.
        let Audience { now, later } = Box::pin(self.audience(&record)).await;
        let mut outcomes = Vec::new();
        if !now.is_empty() {
            outcomes = Box::pin(self.push_to(&record, now)).await;
        }
        if !later.is_empty() {
            tokio::select! {
                () = sleep(self.patience_left(&record)) => {}
                () = hurry.cancelled() => return false,
            }
            outcomes.extend(Box::pin(self.push_to(&record, later)).await);
        }
        Box::pin(self.tell(&record, outcomes)).await;
        true
    }

    /// Returns how long the second half of a record has to wait. Our clock may differ from the log's: never longer
    /// than from now.
    fn patience_left(&self, record: &PushRecord) -> Duration {
        let passed = self.ports.clock.now().millis_since(record.created_at);
        self.config.patience.saturating_sub(Duration::from_millis(passed))
    }

    async fn audience(&self, record: &PushRecord) -> Audience {
        let roster = persist("read a roster", || self.roster(record)).await;
        Audience::new(&roster, &record.sender, &record.offline)
    }

    async fn roster(&self, record: &PushRecord) -> Result<Arc<Roster>, StoreError> {
        let key = (record.chat_id, record.roster_at);
        if let Some(roster) = self.rosters.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(roster));
        }
        let _permit = self.reads.acquire().await;
        let roster = match self.ports.store.roster(record.chat_id, record.roster_at).await? {
            Some(roster) => roster,
            // Superseded rosters are kept for a day. Whoever is a member now and may see the message was one then.
            None => Arc::new(as_of_now(&self.ports.store.members(record.chat_id).await?, record.seq)),
        };
        self.rosters.lock().unwrap_or_else(PoisonError::into_inner).put(key, Arc::clone(&roster));
        Ok(roster)
    }

    /// Pushes to some members of a record's audience; returns what became of it.
    async fn push_to(&self, record: &PushRecord, users: Vec<UserId>) -> Vec<PushOutcome> {
        let (targets, mut outcomes) = persist("read members", || self.targets(record, &users)).await;
        if targets.is_empty() {
            return outcomes;
        }
        let content = persist("read a message", || self.content(record)).await;
        let deliveries = targets.into_iter().flat_map(|Target { user, unread, devices }| {
            let notification = Arc::new(Notification {
                chat_id: record.chat_id,
                seq: record.seq,
                message_id: record.message_id,
                sender: record.sender.clone(),
                unread,
                content: content.clone(),
            });
            devices.into_iter().map(move |device| self.deliver(user.clone(), device, Arc::clone(&notification)))
        });
        let delivered = join_all(deliveries).await;
        self.note(record, &delivered).await;
        outcomes.extend(delivered.into_iter().map(|Delivered { device, result, reason }| PushOutcome {
            member: device.user,
            device: Some(device.device),
            outcome: result,
            reason,
        }));
        outcomes
    }

    /// Sorts out who needs no push, and finds the devices of the others. Cursors are read once.
    async fn targets(
        &self,
        record: &PushRecord,
        users: &[UserId],
    ) -> Result<(Vec<Target>, Vec<PushOutcome>), StoreError> {
        let _permit = self.reads.acquire().await;
        let rows = self.rows(record.chat_id, users).await?;
        let head = self.ports.store.states(&[record.chat_id]).await?.into_iter().flatten().next();
        let head = head.map_or(record.seq, |state| state.seq.max(record.seq));
        let first = self.ports.store.first_seq(record.chat_id, head).await?;
        let now = self.ports.clock.now();
        let (mut outcomes, mut awake) = (Vec::new(), Vec::new());
        for user in users {
            let row = rows.binary_search_by(|row| row.user.cmp(user)).ok().map(|at| &rows[at]);
            match (needs_none(row, record.seq, now), row) {
                (None, Some(row)) => awake.push((user, unread(head, row.join_seq, row.read, first))),
                (result, _) => outcomes.push(skipped(user, result.unwrap_or(PushResult::Left))),
            }
        }
        let pairs: Vec<_> = awake.iter().map(|(user, _)| ((*user).clone(), record.sender.clone())).collect();
        let blocked = self.ports.users.blocked(&pairs).await?;
        let names: Vec<UserId> = awake.iter().map(|(user, _)| (*user).clone()).collect();
        let devices = self.ports.users.devices(&names).await?;
        let mut targets = Vec::new();
        for (((user, unread), is_blocked), mut devices) in awake.into_iter().zip(blocked).zip(devices) {
            devices.retain(|device| device.invalid_at.is_none());
            if is_blocked {
                outcomes.push(skipped(user, PushResult::Blocked));
            } else if devices.is_empty() {
                outcomes.push(skipped(user, PushResult::NoDevice));
            } else {
                targets.push(Target { user: user.clone(), unread, devices });
            }
        }
        Ok((targets, outcomes))
    }

    /// Reads member rows, ascending by user id; of one user that row alone.
    async fn rows(&self, chat_id: ChatId, users: &[UserId]) -> Result<Vec<MemberRow>, StoreError> {
        if let [user] = users {
            let rows = self.ports.store.memberships(user, &[chat_id]).await?;
            return Ok(rows.into_iter().flatten().collect());
        }
        let mut rows = self.ports.store.members(chat_id).await?;
        rows.sort_by(|a, b| a.user.cmp(&b.user));
        Ok(rows)
    }

    /// Reads the message's content, where notifications carry it and there is any.
    async fn content(&self, record: &PushRecord) -> Result<Option<String>, StoreError> {
        if !self.config.send_content {
            return Ok(None);
        }
        let range = SeqRange { after: record.seq.saturating_sub(1), upto: record.seq };
        let found = self.ports.store.messages(record.chat_id, range, Order::OldestFirst, 1).await?;
        Ok(found.into_iter().next().map(|stored| stored.message.content).filter(|content| !content.is_empty()))
    }

    async fn deliver(&self, user: UserId, device: DeviceRow, notification: Arc<Notification>) -> Delivered {
        let DeviceRow { device, platform, push_token, updated_at, .. } = device;
        let device = Device { user, device, platform, token: push_token };
        let (result, reason) = self.courier.deliver(&device, updated_at, &notification).await;
        Delivered { device, result, reason }
    }

    /// Writes what was learnt: who was pushed to, and which tokens are dead.
    async fn note(&self, record: &PushRecord, delivered: &[Delivered]) {
        let (chat_id, pushed) = (record.chat_id, record.seq);
        let sent = delivered.iter().filter(|delivered| delivered.result == PushResult::Sent);
        let mut users: Vec<&UserId> = sent.map(|delivered| &delivered.device.user).collect();
        users.dedup();
        let rows = users.into_iter().map(|user| Row::PushCursor { chat_id, user: user.clone(), active: 0, pushed });
        let rows: Vec<Row> = rows.collect();
        if !rows.is_empty() {
            persist("write pushed cursors", || self.ports.store.write_rows(rows.clone())).await;
        }
        let at = self.ports.clock.now();
        let dead = delivered.iter().filter(|delivered| delivered.result == PushResult::InvalidToken);
        let invalid = dead.map(|Delivered { device, .. }| UserWrite::InvalidateDevice {
            user: device.user.clone(),
            device: device.device.clone(),
            push_token: device.token.clone(),
            at,
        });
        let invalid: Vec<UserWrite> = invalid.collect();
        if !invalid.is_empty() {
            persist("mark devices", || self.ports.users.write(invalid.clone())).await;
        }
    }

    /// Tells what became of a record, for people and the customer's own consumers.
    async fn tell(&self, record: &PushRecord, outcomes: Vec<PushOutcome>) {
        for outcome in &outcomes {
            self.metrics.outcomes.get_or_create(&ResultLabel { outcome: outcome.outcome.name() }).inc();
        }
        let told = PushOutcomes {
            v: 1,
            chat_id: record.chat_id,
            seq: record.seq,
            message_id: record.message_id,
            at: self.ports.clock.now(),
            outcomes,
        };
        let append = Append {
            topic: Topic::PushOutcomes,
            partition: partition_of(record.chat_id, self.ports.log.partitions(Topic::PushOutcomes)),
            key: record.chat_id.to_string().into(),
            payload: told.encode(),
            headers: Vec::new(),
        };
        persist("append outcomes", || async {
            match self.ports.log.append(append.clone()).await {
                Err(error) if !error.is_retryable() => {
                    error!(%error, "outcomes are lost");
                    Ok(())
                }
                appended => appended.map(drop),
            }
        })
        .await;
    }
}

fn skipped(user: &UserId, outcome: PushResult) -> PushOutcome {
    PushOutcome { member: user.clone(), device: None, outcome, reason: None }
}

fn as_of_now(members: &[MemberRow], seq: u64) -> Roster {
    let present = members.iter().filter(|row| row.is_present() && row.join_seq < seq);
    let member = |row: &MemberRow| RosterMember { user: row.user.clone(), role: row.role, join_seq: row.join_seq };
    Roster::new(present.map(member).collect())
}

/// Repeats a call until it succeeds: a record is never skipped because a store or the log is away.
async fn persist<T, E, F>(what: &str, mut call: impl FnMut() -> F) -> T
where
    E: std::error::Error,
    F: Future<Output = Result<T, E>>,
{
    let mut failures = 0;
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) => {
                failures += 1;
                let pause = backoff(failures);
                warn!(%error, ?pause, "{what}");
                sleep(pause).await;
            }
        }
    }
}
