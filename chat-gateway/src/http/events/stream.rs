//! The event stream (server-sent events, WHATWG HTML 9.2): one session for as long as the client listens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use chat_core::frame::Fault;
use chat_core::id::UserId;
use chat_core::poll_positions::Positions;
use futures_util::Stream;
use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::Identity;
use crate::poll::{self, Held};
use crate::session::outbound::Batch;
use crate::state::State;

/// How often a silent stream says that it lives.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// How often positions are stored while frames come; a client that comes back gets the frames since again.
const STORE_EVERY: Duration = Duration::from_secs(1);

/// How long a silent stream waits between two signs of life of its session.
const WAIT: Duration = Duration::from_secs(10);

/// How the frame begins after which a stream ends.
const RECONNECT: &str = r#"{"type":"reconnect""#;

/// A stream on its way.
struct Streaming {
    state: Arc<State>,
    held: Held,
    batch: Batch,
    /// Goes out with the last frame of the batch.
    cursor: Option<Uuid>,
    /// Where the frames sent so far lead to, not stored yet.
    unstored: Option<Positions>,
    stored_at: Option<Instant>,
    is_over: bool,
}

/// Opens a stream that goes on from these positions; without any it begins with `hello`.
pub(super) async fn open(
    state: Arc<State>,
    identity: Identity,
    positions: Option<Positions>,
    users: Vec<UserId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Fault> {
    let (hello, positions) = if let Some(positions) = positions {
        (None, positions)
    } else {
        let (hello, positions) = poll::begin(&state, &identity);
        (Some(hello), positions)
    };
    let held = Box::pin(Held::open(&state, &identity, &positions)).await?;
    let presence = held.follow(users).await?;
    let mut streaming = Streaming {
        state,
        held,
        batch: Batch::default(),
        cursor: None,
        unstored: None,
        stored_at: None,
        is_over: false,
    };
    if hello.is_some() {
        streaming.store(positions).await;
    }
    streaming.batch = hello.into_iter().chain(presence).collect();
    let events = futures_util::stream::unfold(Box::new(streaming), |mut streaming| async move {
        let event = streaming.next().await?;
        Some((Ok(event), streaming))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(COMMENT_EVERY)))
}

impl Streaming {
    /// Waits for the next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(frame) = self.batch.pop() {
                return Some(self.event(&frame));
            }
            if let Some(cursor) = self.cursor.take() {
                return Some(with_cursor(cursor));
            }
            if self.is_over {
                return None;
            }
            self.held.session().flushed();
            self.wait().await;
        }
    }

    /// Makes the event of a frame; the last one of a batch carries the cursor.
    fn event(&mut self, frame: &Utf8Bytes) -> Event {
        self.is_over |= frame.starts_with(RECONNECT);
        let event = Event::default().data(frame.as_str());
        match self.cursor.take_if(|_| self.batch.is_empty()) {
            Some(cursor) => event.id(cursor.simple().to_string()),
            None => event,
        }
    }

    /// Waits for frames, or for the time to store positions that are not stored yet.
    async fn wait(&mut self) {
        let now = Instant::now();
        let store_at = self.stored_at.map_or(now, |at| at + STORE_EVERY);
        let until = if self.unstored.is_some() { store_at } else { now + WAIT };
        if self.held.wait_until(until).await {
            let positions = self.held.take(&mut self.batch).await;
            self.is_over |= self.held.session().is_closing();
            self.unstored = Some(positions);
        }
        if (self.is_over || store_at <= Instant::now())
            && let Some(positions) = self.unstored.take()
        {
            self.store(positions).await;
        }
    }

    /// Stores positions under a new cursor. Without it the client would be told the frames since the last one again.
    async fn store(&mut self, positions: Positions) {
        let cursor = poll::new_cursor();
        if poll::store(&self.state, cursor, positions).await.is_ok() {
            self.cursor = Some(cursor);
            self.stored_at = Some(Instant::now());
        }
    }
}

/// Makes an event that only moves the client's `Last-Event-ID`.
fn with_cursor(cursor: Uuid) -> Event {
    Event::default().id(cursor.simple().to_string())
}

#[cfg(test)]
mod tests {
    use chat_core::frame::server::ReconnectReason;
    use chat_core::frame::{Push, push_json};

    use super::*;

    #[test]
    fn the_last_frame_of_a_stream_is_known_by_its_beginning() {
        let push = push_json(&Push::Reconnect { after_ms: 3, reason: ReconnectReason::Drain });
        assert!(push.starts_with(RECONNECT), "{push}");
    }
}
