//! The hot path: from envelopes to queues.
//!
//! Items in a row that have the same recipients make a run; each session gets a run under one lock and is woken once.
//! The sequencer sends a chat's batch with one recipient list, so a lively group is one run an envelope.

use std::sync::Arc;
use std::time::Duration;

use chat_core::codes::ErrorCode;
use chat_core::event::{Event, Fact, Outcome, Verdict};
use chat_core::frame::{ChangeKind, Push, push_json};
use chat_core::id::{MessageId, OpId, UserId};
use chat_core::relay::{Envelope, Item};
use chat_core::trace::{Span, Stage};
use tokio::time::Instant;

use super::{encode, light};
use crate::registry::Directory;
use crate::session::Frame;
use crate::session::fill;
use crate::state::State;

/// A run: frames for the same recipients.
#[derive(Default)]
struct Run {
    frames: Vec<Frame>,
    recipients: Option<Arc<[UserId]>>,
}

/// Delivers envelopes in order; returns whether one says that others were given up.
pub(super) fn deliver(state: &Arc<State>, envelopes: impl Iterator<Item = Envelope>) -> bool {
    let begun = Instant::now();
    let mut followed = Vec::new();
    let directory = state.sessions.open();
    let mut run = Run::default();
    let mut delivered = 0;
    let mut is_gap = false;
    for item in envelopes.flat_map(|envelope| envelope.items) {
        match item {
            Item::Event { event, recipients } => {
                note_members(state, &event);
                followed.extend(follow(state, &event, &recipients));
                delivered += run.extend_or_flush(state, &directory, encode::event(&event), recipients);
            }
            Item::Frame { push, recipients } if matches!(*push, Push::Presence { .. } | Push::Typing { .. }) => {
                delivered += light::deliver(state, &directory, push, &recipients);
            }
            Item::Frame { push, recipients } => {
                delivered += run.extend_or_flush(state, &directory, encode::push(&push), recipients);
            }
            Item::Verdict(verdict) => {
                delivered += run.flush(state, &directory);
                tell_verdict(state, &directory, &verdict);
            }
            Item::Resync => is_gap = true,
        }
    }
    delivered += run.flush(state, &directory);
    state.metrics.deliveries.inc_by(delivered);
    for span in followed {
        state.tracer.record(Span { took: begun.elapsed(), ..span });
    }
    is_gap
}

impl Run {
    fn extend_or_flush(
        &mut self,
        state: &Arc<State>,
        directory: &Directory<'_>,
        frame: Frame,
        recipients: Arc<[UserId]>,
    ) -> u64 {
        let is_same = self.recipients.as_ref().is_some_and(|own| Arc::ptr_eq(own, &recipients) || **own == *recipients);
        let delivered = if is_same { 0 } else { self.flush(state, directory) };
        self.recipients = Some(recipients);
        self.frames.push(frame);
        delivered
    }

    fn flush(&mut self, state: &Arc<State>, directory: &Directory<'_>) -> u64 {
        let Some(recipients) = self.recipients.take() else { return 0 };
        let mut delivered = 0;
        for session in recipients.iter().flat_map(|user| directory.of(user)) {
            let done = session.deliver(&self.frames);
            delivered += done.frames;
            if done.start_filler {
                fill::start(state, session);
            }
        }
        self.frames.clear();
        delivered
    }
}

/// Returns the span of a message that is followed; how long it took is known when its batch is through.
fn follow(state: &State, event: &Event, recipients: &[UserId]) -> Option<Span> {
    let Fact::Message(message) = &event.fact else { return None };
    let of = message.message_id.0;
    state.tracer.follows(of).then_some(Span {
        of,
        chat_id: event.chat_id,
        stage: Stage::Deliver,
        took: Duration::ZERO,
        position: Some(event.position),
        outcome: "queued",
        recipients: Some(recipients.len()),
    })
}

/// Forgets what was remembered about members whose place in a chat changed.
fn note_members(state: &State, event: &Event) {
    if let Fact::Changed { change, .. } = &event.fact
        && matches!(change.kind, ChangeKind::MemberRemoved | ChangeKind::MemberLeft | ChangeKind::RoleChanged)
        && let Some(users) = &change.users
    {
        state.memberships.forget(event.chat_id, users);
    }
    if let Fact::Changed { change, members, .. } = &event.fact {
        state.typing.forget(event.chat_id);
        if matches!(change.kind, ChangeKind::MemberRemoved | ChangeKind::MemberLeft) {
            for user in change.users.iter().flatten() {
                state.presence.removed(user, members);
            }
        }
    }
}

/// Hands a verdict to the call that waits for it, or tells the sender's sessions of a refusal.
fn tell_verdict(state: &State, directory: &Directory<'_>, verdict: &Verdict) {
    if state.outcomes.settle(verdict) {
        return;
    }
    let Outcome::Refused { code } = verdict.outcome else { return };
    let push = push_json(&Push::MessageRejected {
        chat_id: verdict.chat_id,
        message_id: verdict.is_send.then_some(MessageId(verdict.id)),
        op_id: (!verdict.is_send).then_some(OpId(verdict.id)),
        code,
        message: refusal(code).to_owned(),
    });
    state.metrics.error(code);
    for session in directory.of(&verdict.actor) {
        session.push(push.clone());
    }
}

fn refusal(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Forbidden => "acknowledged, then refused: you were no longer allowed to when its turn came",
        _ => code.meaning(),
    }
}
