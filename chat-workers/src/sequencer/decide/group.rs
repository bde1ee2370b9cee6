//! Beginning chats and changing who is in them. Every change of members takes a seq and a SYSTEM message.

use chat_core::codes::ErrorCode;
use chat_core::frame::{ChangeKind, ChatType, Role};
use chat_core::id::{Seq, UserId};
use chat_core::message_store::row::ACTIVE_SLOT_MS;
use chat_core::message_store::{ChatHeader, Roster, RosterMember, Row};

use super::Step;
use super::change::About;

impl Step<'_> {
    /// Begins the DIRECT chat of two users: no SYSTEM message, no seq.
    pub(super) fn begin_direct(&mut self, users: &[UserId; 2]) {
        self.begin(ChatType::Direct, None);
        let members = users.iter().map(|user| (user.clone(), Role::Member)).collect();
        self.bring_in(members, 0);
        self.tell(ChangeKind::Created, 0, About::default());
    }

    pub(super) fn open_direct(mut self, users: &[UserId; 2]) -> Self {
        if !self.state.exists() {
            self.begin_direct(users);
        }
        self
    }

    pub(super) fn create_group(mut self, name: &str, members: &[UserId], limit: u64) -> Result<Self, ErrorCode> {
        if self.state.exists() {
            return Err(ErrorCode::ChatExists);
        }
        let actor = &self.input.record.actor;
        let mut all: Vec<(UserId, Role)> = vec![(actor.clone(), Role::Admin)];
        all.extend(members.iter().filter(|user| *user != actor).map(|user| (user.clone(), Role::Member)));
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|later, earlier| later.0 == earlier.0);
        if all.len() as u64 > limit {
            return Err(ErrorCode::GroupFull);
        }
        self.begin(ChatType::Group, Some(name.to_owned()));
        let users = all.iter().map(|(user, _)| user.clone()).collect();
        self.bring_in(all, 0);
        let seq = self
            .system_message(ChangeKind::Created, About { users: Some(users), name: Some(name.to_owned()), role: None });
        debug_assert_eq!(seq, 1, "a group begins with its SYSTEM message");
        Ok(self)
    }

    pub(super) fn rename(mut self, name: &str) -> Result<Self, ErrorCode> {
        self.require_admin()?;
        self.applied.rows.push(Row::ChatName {
            chat_id: self.input.record.chat_id,
            ts: self.state.ts,
            name: name.to_owned(),
        });
        self.applied.header = self.input.header.map(|old| ChatHeader { name: Some(name.to_owned()), ..old.clone() });
        self.system_message(ChangeKind::Renamed, About { name: Some(name.to_owned()), ..About::default() });
        Ok(self)
    }

    pub(super) fn set_member(mut self, user: &UserId, role: Role, limit: u64) -> Result<Self, ErrorCode> {
        self.require_admin()?;
        let roster = self.roster().clone();
        let about = About { users: Some(vec![user.clone()]), role: Some(role), name: None };
        match roster.get(user) {
            Some(member) if member.role == role => {}
            Some(member) if member.role == Role::Admin && roster.admins() == 1 => return Err(ErrorCode::LastAdmin),
            Some(member) => {
                self.set_roster(roster.with(RosterMember { role, ..member.clone() }));
                self.member_row(user, role, None, None);
                self.system_message(ChangeKind::RoleChanged, about);
            }
            None if roster.len() as u64 >= limit => return Err(ErrorCode::GroupFull),
            None => {
                self.bring_in(vec![(user.clone(), role)], self.state.seq);
                self.system_message(ChangeKind::MemberAdded, about);
            }
        }
        Ok(self)
    }

    pub(super) fn remove_member(mut self, user: &UserId) -> Result<Self, ErrorCode> {
        let leaving = *user == self.input.record.actor;
        if leaving {
            self.require_group_member()?;
        } else {
            self.require_admin()?;
        }
        let roster = self.roster().clone();
        let role = roster.get(user).ok_or(ErrorCode::NotFound)?.role;
        let mut left = roster.without(user);
        if left.admins() == 0
            && let Some(heir) = left.longest_standing().cloned()
        {
            self.member_row(&heir.user, Role::Admin, None, None);
            left = left.with(RosterMember { role: Role::Admin, ..heir });
        }
        self.set_roster(left);
        let kind = if leaving { ChangeKind::MemberLeft } else { ChangeKind::MemberRemoved };
        let seq = self.system_message(kind, About { users: Some(vec![user.clone()]), ..About::default() });
        self.member_row(user, role, None, Some(seq));
        self.applied.rows.push(Row::Inbox {
            user: user.clone(),
            chat_id: self.input.record.chat_id,
            ts: self.state.ts,
            joined_at: None,
            left_at: Some(self.at),
        });
        self.active_row(user);
        Ok(self)
    }

    fn require_group_member(&self) -> Result<(), ErrorCode> {
        self.require_member()?;
        if self.input.record.chat_id.is_direct() { Err(ErrorCode::Forbidden) } else { Ok(()) }
    }

    fn require_admin(&self) -> Result<(), ErrorCode> {
        self.require_group_member()?;
        let role = self.roster().get(&self.input.record.actor).map(|member| member.role);
        if role == Some(Role::Admin) { Ok(()) } else { Err(ErrorCode::Forbidden) }
    }

    fn begin(&mut self, chat_type: ChatType, name: Option<String>) {
        let record = self.input.record;
        let header = ChatHeader { chat_type, name, created_at: self.at, created_by: record.actor.clone() };
        self.state.head_at = self.at;
        self.applied.rows.push(Row::Chat { chat_id: record.chat_id, ts: self.state.ts, header: header.clone() });
        self.applied.header = Some(header);
    }

    /// Adds members who see what comes after `join_seq`.
    fn bring_in(&mut self, members: Vec<(UserId, Role)>, join_seq: Seq) {
        let chat_id = self.input.record.chat_id;
        let mut roster: Vec<RosterMember> = self.roster().members().to_vec();
        for (user, role) in members {
            self.member_row(&user, role, Some(join_seq), None);
            self.applied.rows.push(Row::Inbox {
                user: user.clone(),
                chat_id,
                ts: self.state.ts,
                joined_at: Some(self.at),
                left_at: None,
            });
            self.active_row(&user);
            roster.push(RosterMember { user, role, join_seq });
        }
        self.set_roster(Roster::new(roster));
    }

    /// Who comes in or leaves is not in the roster of every batch of the slot, so their inbox is marked here.
    fn active_row(&mut self, user: &UserId) {
        self.applied.rows.push(Row::Active {
            user: user.clone(),
            chat_id: self.input.record.chat_id,
            slot: self.at.millis() / ACTIVE_SLOT_MS,
        });
    }

    fn member_row(&mut self, user: &UserId, role: Role, join_seq: Option<Seq>, left_seq: Option<Seq>) {
        self.applied.rows.push(Row::Member {
            chat_id: self.input.record.chat_id,
            user: user.clone(),
            ts: self.state.ts,
            role,
            joined: join_seq.map(|seq| (self.at, seq)),
            left_seq,
        });
    }
}
