//! What the tests of the roles share: engines in memory, a clock that follows tokio's, chats made by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chat_core::clock::{Clock, Time};
use chat_core::event::{Event, Fact, PushRecord};
use chat_core::frame::{ChatType, ContentType, Message, Push, Role};
use chat_core::id::{ChatId, GatewayId, MessageId, UserId};
use chat_core::message_log::memory::MemoryLog;
use chat_core::message_log::{Append, MessageLog, Position, Topic, partition_of};
use chat_core::message_store::{ChatHeader, ChatState, MemberRow, MessageStore, Roster, RosterMember, Row};
use chat_core::presence::in_process::InProcessPresence;
use chat_core::relay::in_process::InProcessRelay;
use chat_core::relay::{Inbox, Item, Relay};
use chat_core::user_store::memory::MemoryUserStore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::consume::{self, ConsumeConfig, Handler, Source};
use crate::metrics::RoleMetrics;
use crate::status::Partitions;

mod flaky_store;

pub(crate) use flaky_store::FlakyStore;

/// When every test begins: on the hour.
pub(crate) const T0: Time = Time::from_millis(1_764_000_000_000);

const PARTITIONS: u32 = 2;

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| user(name)).collect()
}

/// Shows tokio's time, paused or not.
#[derive(Debug)]
pub(crate) struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Time {
        T0.plus_millis(u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

/// All engines of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) store: Arc<FlakyStore>,
    pub(crate) users: Arc<MemoryUserStore>,
    pub(crate) relay: Arc<InProcessRelay>,
    pub(crate) presence: Arc<InProcessPresence>,
    pub(crate) clock: Arc<TokioClock>,
    offsets: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(TokioClock(Instant::now()));
        Self {
            log: Arc::new(MemoryLog::new(Arc::clone(&clock) as Arc<dyn Clock>, PARTITIONS)),
            store: Arc::default(),
            users: Arc::default(),
            relay: Arc::new(InProcessRelay::new()),
            presence: Arc::new(InProcessPresence::new()),
            clock,
            offsets: Arc::default(),
        }
    }

    pub(crate) async fn direct(&self, a: &str, b: &str) -> ChatId {
        let chat_id = ChatId::direct(&user(a), &user(b));
        self.begin(chat_id, ChatType::Direct, &[a, b]).await;
        chat_id
    }

    pub(crate) async fn group(&self, number: u128, members: &[&str]) -> ChatId {
        let chat_id = ChatId(Uuid::from_u128((7 << 76) | (0b10 << 62) | number));
        self.begin(chat_id, ChatType::Group, members).await;
        chat_id
    }

    async fn begin(&self, chat_id: ChatId, chat_type: ChatType, members: &[&str]) {
        let created_at = self.clock.now();
        let header = ChatHeader { chat_type, name: None, created_at, created_by: user(members[0]) };
        self.store.write_rows(vec![Row::Chat { chat_id, ts: 1, header }]).await.unwrap();
        self.change_members(chat_id, members, &[]).await;
    }

    /// Adds and removes members, with a SYSTEM message that takes the next seq of a chat that has messages.
    pub(crate) async fn change_members(&self, chat_id: ChatId, add: &[&str], remove: &[&str]) {
        let before = self.state(chat_id).await;
        let seq = if before.exists() { before.seq + 1 } else { 0 };
        let at = self.next_position(chat_id);
        let mut roster = match self.store.roster(chat_id, before.roster_at).await.unwrap() {
            Some(roster) => (*roster).clone(),
            None => Roster::default(),
        };
        let mut rows = Vec::new();
        let join_seq = seq.saturating_sub(1);
        let ts = before.ts + 1_000;
        for name in add {
            roster = roster.with(RosterMember { user: user(name), role: Role::Member, join_seq });
            let joined = Some((self.clock.now(), join_seq));
            rows.push(Row::Member { chat_id, user: user(name), ts, role: Role::Member, joined, left_seq: None });
        }
        for name in remove {
            roster = roster.without(&user(name));
            let left_seq = Some(seq);
            rows.push(Row::Member { chat_id, user: user(name), ts, role: Role::Member, joined: None, left_seq });
        }
        rows.push(Row::Roster { chat_id, at, roster: Arc::new(roster) });
        self.store.write_rows(rows).await.unwrap();
        let state = ChatState { position: at, seq, ts, roster_at: at, head_at: self.clock.now(), ..before };
        self.store.write_states(vec![(chat_id, state)]).await.unwrap();
    }

    pub(crate) async fn state(&self, chat_id: ChatId) -> ChatState {
        self.store.inner.states(&[chat_id]).await.unwrap()[0].unwrap_or_default()
    }

    /// Returns a position above all others, with room for some records between.
    fn next_position(&self, chat_id: ChatId) -> Position {
        let partition = partition_of(chat_id, self.log.partitions(Topic::Messages));
        Position { epoch: 1, partition, offset: self.offsets.fetch_add(10, Ordering::SeqCst) + 10 }
    }

    /// Puts a message into the store as the sequencer does, and returns its event.
    pub(crate) async fn say(&self, chat_id: ChatId, sender: &str, content: &str) -> Event {
        let before = self.state(chat_id).await;
        let (seq, position) = (before.seq + 1, self.next_position(chat_id));
        let now = self.clock.now();
        let ts = (before.ts + 1).max(now.millis() * 1_000);
        let message = Message {
            chat_id,
            seq,
            rev: None,
            message_id: MessageId(Uuid::from_u128(u128::from(seq))),
            sender: user(sender),
            content_type: ContentType::Text,
            content: content.to_owned(),
            attachment: None,
            meta: None,
            system: None,
            created_at: now,
            edited_at: None,
            deleted_at: None,
        };
        let rows = vec![
            Row::Message { ts, position, message: Arc::new(message.clone()) },
            Row::Cursor { chat_id, user: user(sender), delivered: seq, read: seq },
        ];
        self.store.write_rows(rows).await.unwrap();
        let state = ChatState { position, seq, ts, head_at: now, ..before };
        self.store.write_states(vec![(chat_id, state)]).await.unwrap();
        Event { v: Event::FORMAT, chat_id, position, ts, fact: Fact::Message(message) }
    }

    pub(crate) async fn say_times(&self, chat_id: ChatId, sender: &str, times: usize) {
        for _ in 0..times {
            self.say(chat_id, sender, "hi").await;
        }
    }

    /// Makes the push record of a message, as the sequencer does.
    pub(crate) async fn push_record(&self, event: &Event, offline: &[&str]) -> PushRecord {
        let Fact::Message(message) = &event.fact else { panic!("{event:?} is no message") };
        PushRecord {
            v: PushRecord::FORMAT,
            chat_id: event.chat_id,
            seq: message.seq,
            message_id: message.message_id,
            sender: message.sender.clone(),
            created_at: message.created_at,
            roster_at: self.state(event.chat_id).await.roster_at,
            offline: users(offline),
        }
    }

    pub(crate) async fn append(&self, topic: Topic, chat_id: ChatId, payload: Bytes) {
        let partition = partition_of(chat_id, self.log.partitions(topic));
        let append = Append { topic, partition, key: chat_id.to_string().into(), payload, headers: Vec::new() };
        self.log.append(append).await.unwrap();
    }

    pub(crate) async fn member(&self, chat_id: ChatId, name: &str) -> MemberRow {
        self.store.inner.memberships(&user(name), &[chat_id]).await.unwrap().remove(0).unwrap()
    }

    /// Opens a gateway that holds these users.
    pub(crate) async fn gateway(&self, names: &[&str]) -> Gateway {
        let id = GatewayId::new(&names.join("-"), "boot");
        let inbox = self.relay.open(&id).await.unwrap();
        let gateway = Gateway { id, users: users(names), inbox, relay: Arc::clone(&self.relay) };
        gateway.stay().await;
        gateway
    }

    /// Runs a role on all partitions.
    pub(crate) fn run(&self, handler: impl Handler + 'static, topic: Topic) -> Running {
        self.run_with(handler, topic, ConsumeConfig { commit_delay: Duration::ZERO, ..ConsumeConfig::default() })
    }

    pub(crate) fn run_with(&self, handler: impl Handler + 'static, topic: Topic, config: ConsumeConfig) -> Running {
        self.run_on(Arc::clone(&self.log) as Arc<dyn MessageLog>, handler, topic, config)
    }

    /// Runs a role on another way to the log.
    pub(crate) fn run_on(
        &self,
        log: Arc<dyn MessageLog>,
        handler: impl Handler + 'static,
        topic: Topic,
        config: ConsumeConfig,
    ) -> Running {
        let (status, shutdown) = (Partitions::default(), CancellationToken::new());
        let source = Source {
            log,
            topic,
            group: "role",
            dead_letters: Some(Topic::PushDlq),
            config,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            status: status.clone(),
            metrics: RoleMetrics::default(),
        };
        let until = shutdown.clone();
        let task = tokio::spawn(async move { consume::run(handler, source, until).await.unwrap() });
        Running { status, shutdown, task }
    }
}

/// A role that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) status: Partitions,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends it as a crash does: nothing more is committed.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Lets it finish and commit.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// Returns how many records are not committed, as it saw them last.
    pub(crate) fn lag(&self) -> u64 {
        self.status.partitions().iter().map(|partition| partition.lag).sum()
    }

    /// Waits until all is committed.
    pub(crate) async fn caught_up(&self, topic: Topic, world: &World) {
        // One look at the lag that began after this call.
        sleep(Duration::from_millis(1_001)).await;
        poll("all is committed", || async { self.lag() == 0 && self.status.partitions().len() == PARTITIONS as usize })
            .await;
        assert!(world.log.end(topic, 0).await.is_ok());
    }
}

/// Waits for a condition.
pub(crate) async fn poll<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let waited = timeout(Duration::from_mins(2), async {
        while !condition().await {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain until {what}");
}

/// A gateway's end of the relay.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    users: Vec<UserId>,
    inbox: Box<dyn Inbox>,
    relay: Arc<InProcessRelay>,
}

impl Gateway {
    /// Refreshes its routes.
    pub(crate) async fn stay(&self) {
        self.relay.register(&self.id, &self.users).await.unwrap();
    }

    /// Returns the frames that come within some time, with their recipients.
    pub(crate) async fn frames_within(&mut self, time: Duration) -> Vec<(Push, Vec<UserId>)> {
        let mut frames = Vec::new();
        let until = Instant::now() + time;
        while let Ok(next) = tokio::time::timeout_at(until, self.inbox.next()).await {
            for item in next.unwrap().1.items {
                let Item::Frame { push, recipients } = item else { panic!("{item:?} is no frame") };
                frames.push(((*push).clone(), recipients.to_vec()));
            }
        }
        frames
    }

    /// Waits for the next envelope's frames.
    pub(crate) async fn next_frames(&mut self) -> Vec<(Push, Vec<UserId>)> {
        let (_, envelope) = timeout(Duration::from_mins(1), self.inbox.next()).await.expect("a frame").unwrap();
        let frame = |item| match item {
            Item::Frame { push, recipients } => ((*push).clone(), recipients.to_vec()),
            other => panic!("{other:?} is no frame"),
        };
        envelope.items.into_iter().map(frame).collect()
    }
}
