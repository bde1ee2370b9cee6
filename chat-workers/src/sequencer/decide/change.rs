//! Telling of changes: the SYSTEM message and the `chat` push.

use chat_core::event::Fact;
use chat_core::frame::{Change, ChangeKind, ChatInfo, ContentType, Message, Role};
use chat_core::id::{Seq, UserId};
use chat_core::message_store::{ChatHeader, ChatState, Roster};

use super::{Step, message_id};

/// What a change is about.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) users: Option<Vec<UserId>>,
    pub(super) name: Option<String>,
    pub(super) role: Option<Role>,
}

impl Step<'_> {
    /// Appends the SYSTEM message of a change and tells members of it; returns its seq.
    pub(super) fn system_message(&mut self, kind: ChangeKind, about: About) -> Seq {
        let record = self.input.record;
        let seq = self.state.seq + 1;
        self.push_message(Message {
            chat_id: record.chat_id,
            seq,
            rev: None,
            message_id: message_id(record),
            sender: record.actor.clone(),
            content_type: ContentType::System,
            content: String::new(),
            attachment: None,
            meta: None,
            system: Some(change(record.actor.clone(), kind, seq, about.clone())),
            created_at: self.at,
            edited_at: None,
            deleted_at: None,
        });
        self.tell(kind, seq, about);
        seq
    }

    /// Tells members of a change.
    pub(super) fn tell(&mut self, kind: ChangeKind, seq: Seq, about: About) {
        let record = self.input.record;
        let Some(header) = self.applied.header.as_ref().or(self.input.header) else { return };
        let chat = chat_info(record.chat_id, header, &self.state, self.roster());
        let change = change(record.actor.clone(), kind, seq, about);
        let members = self.roster().users().cloned().collect();
        self.applied.facts.push(Fact::Changed { chat, change, members });
    }
}

fn change(actor: UserId, kind: ChangeKind, seq: Seq, about: About) -> Change {
    Change { kind, actor, seq, users: about.users, name: about.name, role: about.role }
}

/// Dresses a chat for everyone in it.
pub(in crate::sequencer) fn chat_info(
    chat_id: chat_core::id::ChatId,
    header: &ChatHeader,
    state: &ChatState,
    roster: &Roster,
) -> ChatInfo {
    ChatInfo {
        chat_id,
        chat_type: header.chat_type,
        name: header.name.clone(),
        created_at: header.created_at,
        created_by: header.created_by.clone(),
        member_count: roster.len() as u64,
        head_seq: state.seq,
        head_rev: state.rev,
        head_at: state.head_at,
        first_seq: 1,
    }
}
