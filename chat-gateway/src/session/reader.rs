//! Who empties a session's queue, and what a full one means to them. A socket's pump takes what comes as fast as the
//! client reads. A poll or an event stream takes now and then, and what does not fit waits in the store. A call takes
//! once, when its command is done.

use std::task::{Context, Poll};

use axum::extract::ws::Utf8Bytes;
use chat_core::id::{Rev, Seq};
use chat_core::poll_positions::ChatPosition;

use super::machine::{Machine, Step};
use super::outbound::{Batch, Outbound};
use super::{ChatId, Inner, Place, Session};

/// Frames that wait for one answer of a poll: with the presence of 100 users they are the 500 it may hold.
const MAX_POLL_FRAMES: usize = 400;

/// Bytes that one answer of a poll, or of a call, holds.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Who empties the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// A socket: a full queue closes it as slow.
    Socket,
    /// A poll or an event stream: what does not fit stays in the store.
    Poll,
    /// A call: what does not fit becomes `more`.
    Call,
}

/// What the reader of a poll finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Frames, or the session is to end.
    Come,
    /// Nothing, and nothing is being read for it either.
    Idle,
}

impl Inner {
    /// Returns whether this frame must wait in the store.
    pub(super) fn leaves(&self, frame: &Utf8Bytes) -> bool {
        self.reader != Reader::Socket && !self.outbound.fits(frame)
    }

    /// Notes a frame that waits in the store.
    pub(super) fn leave(&mut self, place: Place) -> Step {
        match place {
            Place::Message { chat_id, seq } => self.machine.leave_message(chat_id, seq),
            Place::Change { chat_id, rev, .. } => self.machine.leave_change(chat_id, rev),
            Place::Firm | Place::Light => Step::Drop,
        }
    }

    /// Cuts rows that were read up to `upto` to those that are to be sent and fit; returns up to where they reach
    /// then. `None`: none does, or nothing is sent any more.
    fn cut(&self, sent: u64, upto: u64, rows: &mut Vec<(u64, Utf8Bytes)>) -> Option<u64> {
        if self.close.is_some() || self.has_ended {
            return None;
        }
        rows.retain(|(number, _)| *number > sent);
        let fitting = self.outbound.fitting(rows.iter().map(|(_, row)| row));
        if fitting == rows.len() {
            return Some(upto);
        }
        rows.truncate(fitting);
        rows.last().map(|(number, _)| *number)
    }

    fn push_rows(&mut self, rows: Vec<(u64, Utf8Bytes)>) -> usize {
        rows.into_iter().filter(|(_, row)| self.push(row.clone())).count()
    }
}

impl Session {
    /// Makes it the session of a poll or event stream, which goes on from these positions.
    pub(crate) fn for_poll(mut self, positions: &[ChatPosition]) -> Self {
        // A poll brings its token with each request, so there is nothing to warn of.
        self.is_to_be_warned();
        let inner = self.inner.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.reader = Reader::Poll;
        inner.machine = Machine::restore(positions);
        inner.outbound = Outbound::with_frames(MAX_ANSWER_BYTES, MAX_POLL_FRAMES);
        self
    }

    /// Makes it the session of one call.
    pub(crate) fn for_call(mut self) -> Self {
        let inner = self.inner.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.reader = Reader::Call;
        // Catching up fills the lower half.
        inner.outbound = Outbound::new(2 * MAX_ANSWER_BYTES);
        self
    }

    /// Sends what the caller read of a chat: messages of `after < seq <= upto`, each with its seq, ascending, all
    /// that the user may see; as many of them as fit. Returns how many went out, `None` if the chat needs another
    /// read.
    pub(crate) fn cover(
        &self,
        chat_id: ChatId,
        after: Seq,
        upto: Seq,
        mut rows: Vec<(Seq, Utf8Bytes)>,
    ) -> Option<usize> {
        self.change(|inner| {
            let upto = inner.cut(inner.machine.sent(chat_id)?, upto, &mut rows)?;
            inner.machine.cover(chat_id, after, upto)?;
            Some(inner.push_rows(rows))
        })
    }

    /// Sends what the caller read of a chat's changes, like [`cover`](Self::cover).
    pub(crate) fn cover_changes(
        &self,
        chat_id: ChatId,
        after: Rev,
        upto: Rev,
        mut rows: Vec<(Rev, Utf8Bytes)>,
    ) -> Option<usize> {
        self.change(|inner| {
            let sent = inner.machine.sent_rev(chat_id).unwrap_or(after);
            let upto = inner.cut(sent, upto, &mut rows)?;
            inner.machine.cover_changes(chat_id, after, upto)?;
            Some(inner.push_rows(rows))
        })
    }

    /// Looks for what a poll may answer with, and remembers how to wake it.
    pub(crate) fn poll_news(&self, cx: &Context<'_>, wants_idle: bool) -> Poll<News> {
        let mut inner = self.lock();
        if !inner.outbound.is_empty() || inner.close.is_some() || inner.has_ended {
            return Poll::Ready(News::Come);
        }
        if wants_idle && !inner.is_filling {
            return Poll::Ready(News::Idle);
        }
        match &mut inner.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes everything queued with the positions it leads to. The batch must be empty.
    pub(crate) fn take_with_positions(&self, batch: &mut Batch) -> Vec<ChatPosition> {
        let mut inner = self.lock();
        inner.outbound.take(batch);
        inner.machine.positions().collect()
    }

    /// Ends the session, and takes like [`take_with_positions`](Self::take_with_positions).
    pub(crate) fn finish(&self, batch: &mut Batch) -> Vec<ChatPosition> {
        let positions = {
            let mut inner = self.lock();
            inner.has_ended = true;
            inner.outbound.take(batch);
            inner.machine.positions().collect()
        };
        self.end();
        positions
    }
}
