//! What belongs to one connection of a session: its timers, and whether it may send.

use std::time::Duration;

use tokio::time::Instant;

/// Sends kept unanswered at most; the server reads no further at 64, and `ping` must get through.
const MAX_IN_FLIGHT: usize = 32;

/// Ids of requests that are no sends begin here; those have the index of their message.
pub(super) const CONTROL: u64 = 1 << 40;

/// Wait for `hello`, and for a frame after an own `ping` (protocol v1, section 1).
const HEAR_WITHIN: Duration = Duration::from_secs(10);

/// Heartbeat until `hello` tells it.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// What the timer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::load) enum Tick {
    /// Go on.
    Continue,
    /// Nothing came for too long: reconnect.
    Dead,
    /// The server asked to move: open the next connection, then close this one.
    Move,
}

/// What is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub tick: Tick,
    pub sync: bool,
    pub ping: bool,
}

/// What belongs to one connection.
#[derive(Debug)]
pub(super) struct Link {
    /// How many there were, this one included.
    pub connections: u64,
    /// When `hello` came.
    pub greeted_at: Option<Instant>,
    /// Whether the first `sync` is over.
    pub synced: bool,
    /// The `sync` in flight.
    pub sync: Option<u64>,
    /// When to `sync` again, after it was refused for a while.
    pub sync_at: Option<Instant>,
    /// Sends without a reply.
    pub in_flight: usize,
    next_id: u64,
    heartbeat: Duration,
    ping_at: Instant,
    silent_until: Option<Instant>,
    /// Nothing is sent before, as the server asked.
    pub hold_until: Option<Instant>,
    /// When to move to another gateway.
    pub move_at: Option<Instant>,
    blocked: bool,
    /// Since when nothing but the generator keeps it from sending.
    pub ready_since: Instant,
}

impl Link {
    /// Begins connection number `connections`.
    pub(super) fn new(now: Instant, connections: u64) -> Self {
        Self {
            connections,
            greeted_at: None,
            synced: false,
            sync: None,
            sync_at: None,
            in_flight: 0,
            next_id: CONTROL,
            heartbeat: HEARTBEAT,
            ping_at: now + HEARTBEAT,
            silent_until: Some(now + HEAR_WITHIN),
            hold_until: None,
            move_at: None,
            blocked: true,
            ready_since: now,
        }
    }

    /// Returns an id for a request that is no send.
    pub(super) fn request_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes `hello`; the first `ping` comes after a random part of the heartbeat.
    pub(super) fn greet(&mut self, heartbeat_ms: u64, now: Instant) {
        self.greeted_at = Some(now);
        self.silent_until = None;
        self.heartbeat = Duration::from_millis(heartbeat_ms.clamp(100, 60_000));
        self.ping_at = now + self.heartbeat.mul_f64(rand::random_range(0.0..1.0));
    }

    /// Takes note that a frame came.
    pub(super) fn hear(&mut self) {
        self.silent_until = self.silent_until.filter(|_| self.greeted_at.is_none());
    }

    /// Returns whether sends have to wait.
    pub(super) fn is_blocked(&self) -> bool {
        !self.synced || self.in_flight >= MAX_IN_FLIGHT || self.hold_until.is_some()
    }

    /// Takes note of when the way became free.
    pub(super) fn note_blocked(&mut self, now: Instant) {
        let blocked = self.is_blocked();
        if std::mem::replace(&mut self.blocked, blocked) && !blocked {
            self.ready_since = now;
        }
    }

    /// Returns when [`Link::tick`] is to be called next.
    pub(super) fn deadline(&self) -> Instant {
        let others = [self.silent_until, self.hold_until, self.sync_at, self.move_at];
        others.into_iter().flatten().fold(self.ping_at, Instant::min)
    }

    /// Takes what is due off the timers.
    pub(super) fn tick(&mut self, now: Instant) -> Due {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let tick = match (is_due(self.silent_until), is_due(self.move_at)) {
            (true, _) => Tick::Dead,
            (_, true) => Tick::Move,
            _ => Tick::Continue,
        };
        self.hold_until = self.hold_until.filter(|&at| at > now);
        let sync = is_due(self.sync_at);
        let beat = self.ping_at <= now;
        if beat {
            self.ping_at = now + self.heartbeat;
        }
        let ping = beat && self.greeted_at.is_some();
        if ping {
            self.silent_until = Some(now + HEAR_WITHIN);
        }
        Due { tick, sync, ping }
    }
}
