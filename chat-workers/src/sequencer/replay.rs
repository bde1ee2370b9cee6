//! Replay: records at or below the state cell were decided before. They are told of again, never decided again.

use std::sync::Arc;

use chat_core::codes::ErrorCode;
use chat_core::event::{Fact, Outcome};
use chat_core::frame::{Change, ChangeKind, ContentType};
use chat_core::id::Seq;
use chat_core::message_store::{IdRow, Roster};
use chat_core::record::{Op, Record};

use super::batch::{Known, Positioned, RostersAt, Settled, key, union};
use super::chat_state::CachedChat;
use super::decide::{chat_info, moment};

/// Finds the result of a record that was decided before: the row of its id tells the outcome. The same position means
/// applied; a lower one, a duplicate; none or a higher one, refused (why is no longer known).
pub(super) fn find_again(chat: &mut CachedChat, positioned: &Positioned, known: &Known) -> Settled {
    let Positioned { position, time, record } = positioned;
    let row = known.ids.get(&key(record));
    let outcome = match row {
        Some(row) if row.position == *position => Outcome::Applied { seq: row.seq, rev: row.rev },
        Some(row) if row.position < *position => Outcome::Duplicate { seq: row.seq, rev: row.rev },
        _ => Outcome::Refused { code: ErrorCode::Forbidden },
    };
    let RostersAt { before, written } = known.rosters.get(&(record.chat_id, *position)).cloned().unwrap_or_default();
    let audience = written.as_ref().map_or_else(|| Arc::clone(&before), |after| union(&before, Arc::clone(after)));
    // Which roster held then is not kept where a later one holds now. The record's own position names none: who looks
    // it up takes the members of now who may see the message, and nobody who came later.
    let is_superseded = chat.state.roster_at >= *position;
    let roster_at = if is_superseded { *position } else { chat.state.roster_at };
    let settled = Settled::new(positioned, outcome, chat.state.ts, audience);
    let settled = Settled { roster_at, is_replay: true, ..settled };
    let (Outcome::Applied { seq, rev }, Some(row)) = (&settled.verdict.outcome, row) else { return settled };
    chat.ids.insert(record.id, &record.actor, *position, (*seq, *rev), *time);
    let facts = facts_again(chat, record, row, (&before, written.as_deref()), known);
    Settled { ts: row.ts, facts, ..settled }
}

/// Makes the facts of an applied record again, from the record and from what its rows keep. A message that has aged
/// out of the store is not told of again.
fn facts_again(
    chat: &CachedChat,
    record: &Record,
    row: &IdRow,
    (before, written): (&Roster, Option<&Roster>),
    known: &Known,
) -> Vec<Fact> {
    match &record.op {
        Op::Edit { seq, content, meta } => vec![Fact::Updated {
            seq: *seq,
            rev: row.rev,
            content: content.clone(),
            meta: meta.clone(),
            edited_at: moment(row.ts),
        }],
        // What the record emptied names it.
        Op::Erase { seqs } => {
            let emptied = |seq: &Seq| {
                let stored = known.messages.get(&(record.chat_id, *seq))?;
                let rev = stored.message.rev.filter(|_| stored.deleted_position == Some(row.position))?;
                Some(Fact::Deleted { seq: *seq, rev, deleted_at: moment(row.ts) })
            };
            seqs.iter().filter_map(emptied).collect()
        }
        Op::Delete { seq } => vec![Fact::Deleted { seq: *seq, rev: row.rev, deleted_at: moment(row.ts) }],
        Op::Send { .. } | Op::OpenDirect { .. } => {
            let begun = written.and_then(|roster| began(chat, record, roster));
            begun.into_iter().chain(message_again(record, row, known)).collect()
        }
        Op::CreateGroup { .. } | Op::Rename { .. } | Op::SetMember { .. } | Op::RemoveMember { .. } => {
            let Some(Fact::Message(message)) = message_again(record, row, known) else { return Vec::new() };
            let change = message.system.clone();
            let changed = change.and_then(|change| changed(chat, record, change, written.unwrap_or(before)));
            std::iter::once(Fact::Message(message)).chain(changed).collect()
        }
    }
}

/// Returns the message as the record made it, whatever was edited since.
fn message_again(record: &Record, row: &IdRow, known: &Known) -> Option<Fact> {
    let mut message = known.messages.get(&(record.chat_id, row.seq))?.message.clone();
    if let Op::Send { content_type, content, attachment, meta, .. } = &record.op {
        debug_assert!(*content_type != ContentType::System, "clients do not send SYSTEM messages");
        message.content.clone_from(content);
        message.attachment.clone_from(attachment);
        message.meta.clone_from(meta);
    }
    (message.rev, message.edited_at, message.deleted_at) = (None, None, None);
    Some(Fact::Message(message))
}

fn began(chat: &CachedChat, record: &Record, roster: &Roster) -> Option<Fact> {
    let change =
        Change { kind: ChangeKind::Created, actor: record.actor.clone(), seq: 0, users: None, name: None, role: None };
    changed(chat, record, change, roster)
}

fn changed(chat: &CachedChat, record: &Record, change: Change, roster: &Roster) -> Option<Fact> {
    let header = chat.header.as_ref()?;
    let info = chat_info(record.chat_id, header, &chat.state, roster);
    Some(Fact::Changed { chat: info, change, members: roster.users().cloned().collect() })
}
