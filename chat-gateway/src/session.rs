//! A session: one connected device of one user, from `hello` to the close code.
//!
//! ```text
//!  dispatcher, filler, sync ──► Session { queue, machine } ──wakes──► pump (the session's only task) ◄──► socket
//! ```
//! Everything others may do to a session goes through [`Session`] under one short lock; the pump alone touches the
//! socket. An idle session is this struct, the pump's small future and the socket's buffers, and no timer: the
//! gateway's sweeper looks after all of them once a second.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use axum::extract::ws::Utf8Bytes;
use chat_core::clock::Time;
use chat_core::codes::CloseCode;
use chat_core::frame::{Push, push_json};
use chat_core::id::{ChatId, Rev, Seq, UserId};
use rustc_hash::FxHashSet;
use tokio::sync::Notify;

use crate::auth::{Identity, Scopes};
use crate::rate::{Gcra, TooSoon};

pub(crate) mod changes;
pub(crate) mod command;
pub(crate) mod fill;
pub(crate) mod lobby;
pub(crate) mod machine;
pub(crate) mod outbound;
pub(crate) mod pump;
pub(crate) mod reader;
pub(crate) mod serve;
pub(crate) mod sync;

use machine::{Due, Machine, Step};
use outbound::{Batch, Outbound};
use reader::Reader;

/// Chats that the parts of one sync may name together; as many as a user may have. Beyond it they show as unlisted.
const MAX_LISTED: usize = 10_000;

/// A frame serialized once for all who get it.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) text: Utf8Bytes,
    pub(crate) place: Place,
}

/// Where a frame belongs, which decides whether a session still needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Message `seq` of a chat.
    Message { chat_id: ChatId, seq: Seq },
    /// Change `rev` of a chat, about message `seq`.
    Change { chat_id: ChatId, seq: Seq, rev: Rev },
    /// No order; must arrive.
    Firm,
    /// No order; the first to be dropped.
    Light,
}

/// What a delivery did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Frames queued.
    pub(crate) frames: u64,
    /// A chat is behind and nobody fills it yet: the caller starts the filler.
    pub(crate) start_filler: bool,
}

/// What the pump is to do next.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Work {
    /// Close with this code.
    pub(crate) close: Option<CloseCode>,
    /// Send a WebSocket ping.
    pub(crate) ping: bool,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) user: UserId,
    /// By the gateway's clock.
    pub(crate) opened_at: Time,
    scopes: AtomicU8,
    expires_at: AtomicU64,
    /// Milliseconds since 1970, 0 where the token does not say.
    issued_at: AtomicU64,
    warned: AtomicBool,
    heard: AtomicU64,
    marked: AtomicU64,
    /// The last `ping` said that the user is there.
    pub(crate) is_active: AtomicBool,
    inner: Mutex<Inner>,
    space: Notify,
}

#[derive(Debug)]
struct Inner {
    reader: Reader,
    outbound: Outbound,
    machine: Machine,
    waker: Option<Waker>,
    close: Option<CloseCode>,
    ping: bool,
    is_filling: bool,
    has_ended: bool,
    /// Chats named by the parts of a sync whose last part has not come.
    listed: FxHashSet<ChatId>,
    receipt_tat: u64,
}

impl Inner {
    fn push(&mut self, frame: Utf8Bytes) -> bool {
        if self.close.is_some() || self.has_ended {
            return false;
        }
        let fits = self.outbound.push(frame).is_ok();
        if !fits && self.reader == Reader::Socket {
            self.close = Some(CloseCode::SlowConsumer);
        }
        fits
    }
}

impl Session {
    /// Makes a session whose queue holds `limit` bytes. `uptime_ms` is the gateway's.
    pub(crate) fn new(number: u64, identity: &Identity, limit: usize, opened_at: Time, uptime_ms: u64) -> Self {
        Self {
            number,
            user: identity.user.clone(),
            opened_at,
            scopes: AtomicU8::new(identity.scopes.bits()),
            expires_at: AtomicU64::new(identity.expires_at.millis()),
            issued_at: AtomicU64::new(identity.issued_at.unwrap_or_default().millis()),
            warned: AtomicBool::new(false),
            heard: AtomicU64::new(uptime_ms),
            marked: AtomicU64::new(uptime_ms),
            is_active: AtomicBool::new(true),
            inner: Mutex::new(Inner {
                reader: Reader::Socket,
                outbound: Outbound::new(limit),
                machine: Machine::default(),
                waker: None,
                close: None,
                ping: false,
                is_filling: false,
                has_ended: false,
                listed: FxHashSet::default(),
                receipt_tat: 0,
            }),
            space: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the session under its lock, then wakes the pump once if there is news for it.
    fn change<R>(&self, change: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let is_told = !inner.outbound.is_empty() || inner.close.is_some();
        let result = change(&mut inner);
        let is_to_be_told = !inner.outbound.is_empty() || inner.close.is_some();
        // While there is old news the pump has been woken already, or waits for the socket and looks again itself. A
        // close is the exception: the pump of a stuck socket must hear of it.
        let waker = if (is_to_be_told && !is_told) || inner.close.is_some() { inner.waker.take() } else { None };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Delivers frames in order: at most one lock and one wake for all of them.
    pub(crate) fn deliver(&self, frames: &[Frame]) -> Delivered {
        self.change(|inner| {
            let mut delivered = Delivered::default();
            let mut is_behind = false;
            for frame in frames {
                let step = match frame.place {
                    place if inner.leaves(&frame.text) => inner.leave(place),
                    Place::Message { chat_id, seq } => inner.machine.message(chat_id, seq),
                    Place::Change { chat_id, seq, rev } => inner.machine.change(chat_id, seq, rev),
                    Place::Firm => Step::Deliver,
                    Place::Light => {
                        let is_open = inner.close.is_none() && !inner.has_ended;
                        delivered.frames += u64::from(is_open && inner.outbound.push_light(frame.text.clone()));
                        continue;
                    }
                };
                match step {
                    Step::Deliver => delivered.frames += u64::from(inner.push(frame.text.clone())),
                    Step::Drop => {}
                    Step::Behind => is_behind = true,
                }
            }
            delivered.start_filler = is_behind && !std::mem::replace(&mut inner.is_filling, true);
            delivered
        })
    }

    /// Queues a frame that has no place in a chat.
    pub(crate) fn push(&self, frame: impl Into<Utf8Bytes>) {
        let frame = frame.into();
        self.change(|inner| inner.push(frame));
    }

    /// Queues a push.
    pub(crate) fn push_frame(&self, push: &Push) {
        self.push(push_json(push));
    }

    /// Runs a change of the machine that queues nothing.
    pub(crate) fn with_machine<R>(&self, change: impl FnOnce(&mut Machine) -> R) -> R {
        change(&mut self.lock().machine)
    }

    /// Notes the chats that one part of a sync names; returns those of all its parts with the last one.
    pub(crate) fn list(&self, chats: impl Iterator<Item = ChatId>, is_partial: bool) -> Option<FxHashSet<ChatId>> {
        let mut inner = self.lock();
        if inner.listed.len() < MAX_LISTED {
            inner.listed.extend(chats);
        }
        (!is_partial).then(|| std::mem::take(&mut inner.listed))
    }

    /// Notes the head of a chat; returns whether the caller is to start the filler.
    pub(crate) fn see_head(&self, chat_id: ChatId, seq: Seq, rev: Rev) -> bool {
        let mut inner = self.lock();
        inner.machine.head(chat_id, seq, rev) && !std::mem::replace(&mut inner.is_filling, true)
    }

    /// Returns the next chat to fill. `None` ends the filler: a later one will be started.
    pub(crate) fn next_due(&self) -> Option<Due> {
        let mut inner = self.lock();
        let due = if inner.has_ended || inner.close.is_some() { None } else { inner.machine.due() };
        inner.is_filling = due.is_some();
        // A poll may be waiting for the end of it.
        let waker = if due.is_none() && inner.reader == Reader::Poll { inner.waker.take() } else { None };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        due
    }

    /// Asks the pump to close with `code`. The first code stays.
    pub(crate) fn close(&self, code: CloseCode) {
        self.change(|inner| {
            inner.close.get_or_insert(code);
        });
        self.space.notify_waiters();
    }

    /// Returns whether the session is over or about to be.
    pub(crate) fn is_closing(&self) -> bool {
        let inner = self.lock();
        inner.close.is_some() || inner.has_ended
    }

    /// Asks the pump for a WebSocket ping, and gives back memory of a busy time: this is the moment of an idle one.
    pub(crate) fn ping(&self) {
        let mut inner = self.lock();
        inner.ping = true;
        if inner.outbound.is_empty() {
            inner.outbound.shrink();
        }
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Hands the pump its work, and remembers how to wake it. With a batch, which must be empty, everything queued
    /// goes into it.
    pub(crate) fn take(&self, cx: &Context<'_>, batch: Option<&mut Batch>) -> Work {
        let mut inner = self.lock();
        match &mut inner.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        if let Some(batch) = batch {
            inner.outbound.take(batch);
        }
        Work { close: inner.close, ping: std::mem::take(&mut inner.ping) }
    }

    /// Takes everything still queued, to be written before a close.
    pub(crate) fn take_rest(&self, batch: &mut Batch) {
        self.lock().outbound.take(batch);
    }

    /// Notes that what the pump took is flushed.
    pub(crate) fn flushed(&self) {
        self.lock().outbound.flushed();
        self.space.notify_waiters();
    }

    /// Marks the session as over: nothing is queued any more.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.has_ended = true;
        inner.waker = None;
        drop(inner);
        self.space.notify_waiters();
    }

    /// Waits until less than half of the queue is used, so that catching up never closes a session as slow. Returns
    /// whether the session still lives. Cancel-safe.
    pub(crate) async fn has_space(&self) -> bool {
        loop {
            let notified = self.space.notified();
            tokio::pin!(notified);
            // Registered before the look, so that a flush in between is not missed.
            notified.as_mut().enable();
            {
                let inner = self.lock();
                if inner.close.is_some() || inner.has_ended {
                    return false;
                }
                if inner.outbound.has_space() {
                    return true;
                }
                if inner.reader == Reader::Call {
                    return false;
                }
            }
            notified.await;
        }
    }

    /// Returns the bytes in the outbound queue.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.lock().outbound.bytes()
    }

    /// Notes a sign of life.
    pub(crate) fn hear(&self, now_ms: u64) {
        self.heard.store(now_ms, Relaxed);
    }

    /// Returns when the last sign of life came.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// Returns whether the session was heard of since its user was marked as online, and notes that they are now; not
    /// more often than `every_ms`.
    pub(crate) fn is_to_be_marked(&self, now_ms: u64, every_ms: u64) -> bool {
        let marked = self.marked.load(Relaxed);
        let is_due = self.heard() > marked && now_ms.saturating_sub(marked) >= every_ms;
        if is_due {
            self.marked.store(now_ms, Relaxed);
        }
        is_due
    }

    /// Takes one receipt from the session's rate. `now` is the gateway's uptime in nanoseconds.
    pub(crate) fn take_receipt(&self, rate: Gcra, now: u64) -> Result<(), TooSoon> {
        rate.take(&mut self.lock().receipt_tat, now)
    }

    /// Returns whether the token allows this.
    pub(crate) fn allows(&self, wanted: Scopes) -> bool {
        Scopes::from_bits(self.scopes.load(Relaxed)).allow(wanted)
    }

    /// Takes a renewed token of the same user.
    pub(crate) fn renew(&self, identity: &Identity) {
        self.scopes.store(identity.scopes.bits(), Relaxed);
        self.expires_at.store(identity.expires_at.millis(), Relaxed);
        self.issued_at.store(identity.issued_at.unwrap_or_default().millis(), Relaxed);
        self.warned.store(false, Relaxed);
    }

    /// Returns when the token was issued, where it says so.
    pub(crate) fn issued_at(&self) -> Option<Time> {
        Some(self.issued_at.load(Relaxed)).filter(|millis| *millis > 0).map(Time::from_millis)
    }

    /// Returns when the token expires.
    pub(crate) fn expires_at(&self) -> Time {
        Time::from_millis(self.expires_at.load(Relaxed))
    }

    /// Returns whether the client is still to be told that the token expires, and notes that it is.
    pub(crate) fn is_to_be_warned(&self) -> bool {
        !self.warned.swap(true, Relaxed)
    }
}
