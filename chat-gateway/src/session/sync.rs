//! `sync`: the client says what it has, the gateway sends what is missing. Works on any gateway.
//!
//! A reconnect costs the store the user's inbox, and the chats that were active since the client's last complete sync:
//! the others have nothing to send, and their first live message begins them. Where receipts are asked for, every named
//! chat is read, for those change without any activity.
//!
//! Chats go most recently active first. What does not fit, by count, by time or because the client reads slowly, is
//! told as `more`; what cannot be proven complete is told as `reload`.

use std::time::Duration;

use chat_core::frame::Fault;
use chat_core::frame::client::{Have, Sync};
use chat_core::frame::server::{More, SyncDone};
use chat_core::id::{ChatId, MAX_INTEGER, Seq};
use chat_core::message_store::{Order, SeqRange};
use rustc_hash::FxHashSet;
use tokio::time::Instant;

use super::{Session, changes};
use crate::dispatch::encode;
use crate::state::State;
use crate::view::{View, store_fault};

mod inbox;
mod judge;
mod receipts;
mod unlisted;

pub(crate) use inbox::may_be_active;
use judge::{Judgement, judge};

/// Chats a part may name.
const MAX_CHATS: usize = 1_000;

/// Messages a chat, at most.
const MAX_LIMIT: u64 = 200;

/// Frames a sync, at most.
const MAX_FRAMES: usize = 2_000;

/// Rows a read: small, so that the queue's lower half is enough for one whatever the size of its messages.
const ROWS: usize = 25;

/// After this what is left becomes `more`, so that the reply comes in time.
const SEND_WITHIN: Duration = Duration::from_secs(9);

/// Chats a store call.
const READ_CHATS: usize = 256;

/// One sync on its way.
struct Run<'a> {
    state: &'a State,
    session: &'a Session,
    limit: usize,
    with_receipts: bool,
    frames_left: usize,
    until: Instant,
    done: SyncDone,
}

/// One named chat.
struct Named {
    chat_id: ChatId,
    have: Have,
    view: Option<View>,
}

/// Answers a sync.
pub(crate) async fn run(state: &State, session: &Session, sync: Sync) -> Result<SyncDone, Fault> {
    check(&sync)?;
    state.metrics.syncs.inc();
    let mut run = Run {
        state,
        session,
        limit: usize::try_from(sync.limit).unwrap_or(usize::MAX),
        with_receipts: sync.receipts,
        frames_left: MAX_FRAMES,
        until: Instant::now() + SEND_WITHIN,
        done: SyncDone {
            recovered: false,
            more: Vec::new(),
            reload: Vec::new(),
            gone: Vec::new(),
            unlisted: Vec::new(),
            // Before any read: what happens during them is after it, and is told again next time.
            server_time: state.clock.now(),
        },
    };
    let listed = session.list(sync.have.keys().copied(), sync.partial);
    let quiet_since = sync.since.filter(|_| !sync.receipts);
    let inbox = if listed.is_some() || quiet_since.is_some() {
        state.store.inbox(&session.user).await.map_err(store_fault)?
    } else {
        Vec::new()
    };
    let quiet = quiet_since.map(|since| inbox::quiet(&inbox, since)).unwrap_or_default();
    let mut named = run.read_named(&sync, &quiet).await?;
    named.sort_by_key(|chat| std::cmp::Reverse(chat.view.as_ref().map(|view| view.head.head_at)));
    for chat in named {
        run.send_chat(chat).await?;
    }
    if let Some(listed) = listed {
        run.done.unlisted = unlisted::read(state, session, inbox, &listed, sync.since).await.map_err(store_fault)?;
    }
    run.done.recovered = run.done.reload.is_empty();
    Ok(run.done)
}

fn check(sync: &Sync) -> Result<(), Fault> {
    if sync.have.len() > MAX_CHATS {
        return Err(Fault::invalid("have", "a sync names at most 1000 chats; send the rest as further parts"));
    }
    if !(1..=MAX_LIMIT).contains(&sync.limit) {
        return Err(Fault::invalid("limit", "a limit is 1 to 200"));
    }
    if sync.have.values().any(|have| have.seq() > MAX_INTEGER || have.rev().is_some_and(|rev| rev > MAX_INTEGER)) {
        return Err(Fault::invalid("have", "a whole number is at most 2^53 - 1"));
    }
    Ok(())
}

impl Run<'_> {
    async fn read_named(&self, sync: &Sync, quiet: &FxHashSet<ChatId>) -> Result<Vec<Named>, Fault> {
        let named = sync.have.iter().filter(|(chat_id, _)| !quiet.contains(chat_id));
        let chats: Vec<(ChatId, Have)> = named.map(|(chat_id, have)| (*chat_id, *have)).collect();
        let mut named = Vec::with_capacity(chats.len());
        for batch in chats.chunks(READ_CHATS) {
            let ids: Vec<ChatId> = batch.iter().map(|(chat_id, _)| *chat_id).collect();
            let store = &self.state.store;
            let heads = store.states(&ids).await.map_err(store_fault)?;
            let members = store.memberships(&self.session.user, &ids).await.map_err(store_fault)?;
            for ((&(chat_id, have), head), member) in batch.iter().zip(heads).zip(members) {
                let view = head
                    .filter(chat_core::message_store::ChatState::exists)
                    .zip(member)
                    .map(|(head, member)| View { chat_id, head, member });
                named.push(Named { chat_id, have, view });
            }
        }
        Ok(named)
    }

    async fn send_chat(&mut self, Named { chat_id, have, view }: Named) -> Result<(), Fault> {
        let judgement = judge(have, view.as_ref());
        if matches!(judgement, Judgement::Gone { .. }) {
            self.done.gone.push(chat_id);
        }
        match (judgement, view) {
            (Judgement::Reload, Some(view)) => self.reload(&view),
            (Judgement::Send { after } | Judgement::Gone { after: Some(after) }, Some(view)) => {
                // By what the client has, not by what was sent: the filler passes over what has aged out.
                if self.has_aged(&view, after).await? {
                    self.reload(&view);
                    return Ok(());
                }
                let rev = have.rev();
                let (after, _) = self.session.with_machine(|machine| machine.name(chat_id, after, rev, view.head.rev));
                let mut is_whole = self.send_messages(&view, after).await?;
                if is_whole && rev.is_some() && view.member.is_present() {
                    is_whole = self.send_changes(&view).await?;
                }
                if !is_whole {
                    self.reload(&view);
                }
                if self.with_receipts && view.member.is_present() {
                    self.send_receipts(&view).await?;
                }
            }
            (Judgement::Gone { .. } | Judgement::Reload | Judgement::Send { .. }, _) => {}
        }
        Ok(())
    }

    /// Gives a chat up: the client reads its history anew, and live frames go on from the head.
    fn reload(&mut self, view: &View) {
        self.session.with_machine(|machine| machine.rebase(view.chat_id, view.head.seq, view.head.rev));
        self.done.more.retain(|more| more.chat_id != view.chat_id);
        self.done.reload.push(view.chat_id);
    }

    /// Returns whether a message after `after` has aged out that the user could have seen.
    async fn has_aged(&self, view: &View, after: Seq) -> Result<bool, Fault> {
        if after >= view.upto() {
            return Ok(false);
        }
        let first = self.state.store.first_seq(view.chat_id, view.head.seq).await.map_err(store_fault)?;
        Ok(first > after + 1)
    }

    /// Sends the messages after `after`; `false` when the oldest of them have aged out.
    async fn send_messages(&mut self, view: &View, mut after: Seq) -> Result<bool, Fault> {
        let upto = view.upto();
        let mut left = self.limit;
        while after < upto && left > 0 && self.has_budget().await {
            let rows = left.min(ROWS).min(self.frames_left);
            let range = SeqRange { after, upto };
            let rows_read =
                view.messages(&*self.state.store, range, Order::OldestFirst, rows).await.map_err(store_fault)?;
            let Some(first) = rows_read.first() else { return Ok(false) };
            if first.seq != after.max(view.after()) + 1 {
                return Ok(false);
            }
            let read_upto = rows_read.last().map_or(upto, |row| row.seq);
            let frames = rows_read.iter().map(|row| (row.seq, encode::message(row))).collect();
            let sent = self.session.cover(view.chat_id, after, read_upto, frames).unwrap_or(0);
            self.frames_left = self.frames_left.saturating_sub(sent);
            left = left.saturating_sub(rows_read.len());
            // Live frames may have moved the cursor further, and a full queue may have taken less.
            after = self.session.with_machine(|machine| machine.sent(view.chat_id)).unwrap_or(read_upto);
        }
        if after < upto {
            self.done.more.push(More { chat_id: view.chat_id, from: after + 1, to: upto });
        }
        Ok(true)
    }

    /// Sends the edits and deletes after the named rev; `false` when the oldest of them have aged out.
    async fn send_changes(&mut self, view: &View) -> Result<bool, Fault> {
        loop {
            let sent = self.session.with_machine(|machine| machine.sent_rev(view.chat_id));
            let Some(after) = sent.filter(|after| *after < view.head.rev) else { return Ok(true) };
            if self.done.more.iter().any(|more| more.chat_id == view.chat_id) {
                return Ok(true);
            }
            if !self.has_budget().await {
                // There is no range of revs in `more`: naming the newest message makes the client sync again.
                let seq = view.upto().max(1);
                self.done.more.push(More { chat_id: view.chat_id, from: seq, to: seq });
                return Ok(true);
            }
            let limit = ROWS.min(self.frames_left);
            let changes = changes::read(&*self.state.store, view, after, limit).await.map_err(store_fault)?;
            if !changes.is_whole {
                return Ok(false);
            }
            let sent = self.session.cover_changes(view.chat_id, after, changes.upto, changes.frames);
            self.frames_left = self.frames_left.saturating_sub(sent.unwrap_or(0));
        }
    }

    /// Tells how far others are. What does not fit is left out: it is told with the next sync, or live.
    async fn send_receipts(&mut self, view: &View) -> Result<(), Fault> {
        if self.has_budget().await
            && let Some(receipt) = receipts::newest(self.state, view).await.map_err(store_fault)?
        {
            self.session.push_frame(&receipt);
            self.frames_left -= 1;
        }
        Ok(())
    }

    /// Waits for the client to read, and returns whether anything more may be sent.
    async fn has_budget(&self) -> bool {
        let has_space = tokio::time::timeout_at(self.until, self.session.has_space()).await.unwrap_or(false);
        has_space && self.frames_left > 0 && Instant::now() < self.until
    }
}
