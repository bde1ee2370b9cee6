//! The sweeper: once a second it looks at every session. One timer for all of them costs an idle session nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use chat_core::clock::Time;
use chat_core::codes::CloseCode;
use chat_core::frame::Push;

use crate::rounds::Rounds;
use crate::session::Session;
use crate::state::State;

/// How often.
const EVERY: Duration = Duration::from_secs(1);

/// A session that was silent this long is sent a WebSocket ping.
const PING_AFTER_MS: u64 = 20_000;

/// A session that was silent this long is closed.
const CLOSE_AFTER_MS: u64 = 30_000;

/// A session that is heard of marks its user as online this often: with the mark's own 30 s and the two sweeps that
/// find it, a user is offline at most 35 s after the last frame.
const MARK_EVERY_MS: u64 = 3_000;

/// How long before its end a token is said to expire.
const WARN_BEFORE_MS: u64 = 60_000;

/// Sweeps between two looks at key files, and between two clearings of the rate tables.
const HOUSEKEEPING_EVERY: u32 = 5;

/// What a session needs. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Ping,
    Close(CloseCode),
}

/// Judges a session that was last heard `idle_ms` ago, `since_ms` after the sweep before.
fn need(idle_ms: u64, since_ms: u64, expires_at: Time, now: Time) -> Need {
    if expires_at <= now {
        Need::Close(CloseCode::TokenExpired)
    } else if idle_ms >= CLOSE_AFTER_MS {
        Need::Close(CloseCode::HeartbeatMissed)
    } else if idle_ms >= PING_AFTER_MS && idle_ms.saturating_sub(since_ms) < PING_AFTER_MS {
        // Once a silence: in the sweep that finds the line crossed.
        Need::Ping
    } else {
        Need::Nothing
    }
}

/// Sweeps until the gateway stops.
pub(crate) async fn run(state: Arc<State>) {
    let mut rounds = Rounds::every(EVERY, &state.shutdown);
    let mut last = state.uptime.millis();
    let mut counted = (0, 0);
    for round in 1_u32.. {
        if !rounds.next().await {
            return;
        }
        let now = state.uptime.millis();
        let since = now - last;
        last = now;
        sweep(&state, now, since);
        counted = count(&state, counted, since);
        if round % HOUSEKEEPING_EVERY == 0 {
            let nanos = state.uptime.nanos();
            state.rates.users.sweep(nanos);
            state.rates.chats.sweep(nanos);
            state.typing.rate.sweep(nanos);
            state.rates.frames.sweep(nanos);
            let state = Arc::clone(&state);
            // Key files are small, but a mounted volume may hang.
            tokio::task::spawn_blocking(move || state.verifiers.reload());
        }
    }
}

fn sweep(state: &State, now_ms: u64, since_ms: u64) {
    let now = state.clock.now();
    let mut queued = 0_u64;
    let mut here = Vec::new();
    state.sessions.open().for_each(|session: &Arc<Session>| {
        queued += session.queued_bytes() as u64;
        if session.is_to_be_marked(now_ms, MARK_EVERY_MS) {
            here.push(session.user.clone());
        }
        let expires_at = session.expires_at();
        match need(now_ms.saturating_sub(session.heard()), since_ms, expires_at, now) {
            Need::Nothing => {}
            Need::Ping => session.ping(),
            Need::Close(code) => session.close(code),
        }
        if expires_at <= now.plus_millis(WARN_BEFORE_MS) && session.is_to_be_warned() {
            session.push_frame(&Push::TokenExpiring { expires_at });
        }
    });
    state.presence.here(here);
    state.metrics.queue_bytes.set(i64::try_from(queued).unwrap_or(i64::MAX));
    state.metrics.connections.set(i64::try_from(state.admission.connections()).unwrap_or(i64::MAX));
}

/// Notes the rates of the last second; returns the counters they were made of.
fn count(state: &State, before: (u64, u64), since_ms: u64) -> (u64, u64) {
    let counters = (state.metrics.sends.get(), state.metrics.deliveries.get());
    let per_second = |now: u64, then: u64| (now - then) * 1_000 / since_ms.max(1);
    state.sends_per_s.store(per_second(counters.0, before.0), Relaxed);
    state.deliveries_per_s.store(per_second(counters.1, before.1), Relaxed);
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_session_is_pinged_once_then_closed() {
        let far = Time::from_millis(1_000_000);
        let judged: Vec<Need> =
            (18..=30).map(|seconds| need(seconds * 1_000, 1_000, far, Time::from_millis(0))).collect();
        assert_eq!(judged.iter().filter(|need| **need == Need::Ping).count(), 1);
        assert_eq!(judged[2], Need::Ping);
        assert_eq!(judged.last(), Some(&Need::Close(CloseCode::HeartbeatMissed)));
    }

    #[test]
    fn an_expired_token_closes_whatever_is_heard() {
        let at = Time::from_millis(5_000);
        assert_eq!(need(0, 1_000, at, Time::from_millis(4_999)), Need::Nothing);
        assert_eq!(need(0, 1_000, at, at), Need::Close(CloseCode::TokenExpired));
    }
}
