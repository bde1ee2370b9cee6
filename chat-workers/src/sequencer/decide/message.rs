//! Sends, edits and deletes.

use chat_core::codes::ErrorCode;
use chat_core::event::Fact;
use chat_core::frame::{Attachment, ContentType, Message, Meta, Role};
use chat_core::id::{Seq, UserId};
use chat_core::message_store::Row;

use super::{Step, Target, message_id};

/// What a send carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) content_type: ContentType,
    pub(super) content: &'a str,
    pub(super) attachment: &'a Option<Attachment>,
    pub(super) meta: &'a Option<Meta>,
}

impl Step<'_> {
    pub(super) fn send(mut self, direct: Option<&[UserId; 2]>, body: Body<'_>) -> Result<Self, ErrorCode> {
        if let (Some(users), false) = (direct, self.state.exists()) {
            self.begin_direct(users);
        }
        self.require_member()?;
        let record = self.input.record;
        self.push_message(Message {
            chat_id: record.chat_id,
            seq: self.state.seq + 1,
            rev: None,
            message_id: message_id(record),
            sender: record.actor.clone(),
            content_type: body.content_type,
            content: body.content.to_owned(),
            attachment: body.attachment.clone(),
            meta: body.meta.clone(),
            system: None,
            created_at: self.at,
            edited_at: None,
            deleted_at: None,
        });
        Ok(self)
    }

    pub(super) fn edit(mut self, seq: Seq, content: &str, meta: Option<&Meta>) -> Result<Self, ErrorCode> {
        let target = self.visible_target(seq)?;
        if target.sender != self.input.record.actor {
            return Err(ErrorCode::Forbidden);
        }
        let chat_id = self.input.record.chat_id;
        let (ts, rev, edited_at) = self.take_rev(seq);
        self.applied.rows.push(Row::Edit {
            chat_id,
            seq,
            ts,
            rev,
            content: content.to_owned(),
            meta: meta.cloned(),
            edited_at,
        });
        self.applied.facts.push(Fact::Updated {
            seq,
            rev,
            content: content.to_owned(),
            meta: meta.cloned(),
            edited_at,
        });
        Ok(self)
    }

    pub(super) fn delete(mut self, seq: Seq) -> Result<Self, ErrorCode> {
        let record = self.input.record;
        let target = self.visible_target(seq)?;
        let is_admin = self.roster().get(&record.actor).is_some_and(|member| member.role == Role::Admin);
        if target.sender != record.actor && !is_admin {
            return Err(ErrorCode::Forbidden);
        }
        self.empty(seq);
        Ok(self)
    }

    /// Empties what is left of the actor's own messages among these.
    pub(super) fn erase(mut self, seqs: &[Seq]) -> Result<Self, ErrorCode> {
        if !self.state.exists() {
            return Err(ErrorCode::ChatNotFound);
        }
        let actor = &self.input.record.actor;
        let is_theirs = |target: &Target| target.sender == *actor && target.content_type != ContentType::System;
        let left: Vec<Seq> = seqs.iter().copied().filter(|seq| self.target(*seq).is_some_and(is_theirs)).collect();
        for seq in left {
            self.empty(seq);
        }
        Ok(self)
    }

    fn empty(&mut self, seq: Seq) {
        let (chat_id, position) = (self.input.record.chat_id, self.input.position);
        let (ts, rev, deleted_at) = self.take_rev(seq);
        self.applied.rows.push(Row::Delete { chat_id, seq, ts, rev, deleted_at, position });
        self.applied.facts.push(Fact::Deleted { seq, rev, deleted_at });
    }

    /// Returns the message that the actor asks to change, where they may see it and it can be changed.
    fn visible_target(&self, seq: Seq) -> Result<&Target, ErrorCode> {
        self.require_member()?;
        let member = self.roster().get(&self.input.record.actor).ok_or(ErrorCode::Forbidden)?;
        let target = self.target(seq).filter(|_| member.join_seq < seq).ok_or(ErrorCode::MessageNotFound)?;
        if target.content_type == ContentType::System { Err(ErrorCode::Forbidden) } else { Ok(target) }
    }

    fn take_rev(&mut self, seq: Seq) -> (u64, u64, chat_core::clock::Time) {
        self.state.rev += 1;
        let (ts, rev) = (self.state.ts, self.state.rev);
        self.applied.rows.push(Row::Change { chat_id: self.input.record.chat_id, rev, ts, seq });
        (ts, rev, self.at)
    }
}
