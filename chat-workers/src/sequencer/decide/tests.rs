use std::sync::Arc;

use chat_core::clock::Time;
use chat_core::codes::ErrorCode;
use chat_core::event::{Fact, Outcome};
use chat_core::frame::{ChangeKind, ContentType, Role};
use chat_core::id::{ChatId, UserId};
use chat_core::message_log::Position;
use chat_core::message_store::{ChatHeader, ChatState, Roster, Row};
use chat_core::record::{Op, Record};
use uuid::Uuid;

use super::{Decision, Input, Target, decide, write_timestamp};

const T0: u64 = 1_764_000_000_000;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// One chat that decides record after record.
struct Chat {
    id: ChatId,
    state: ChatState,
    roster: Arc<Roster>,
    header: Option<ChatHeader>,
    time: u64,
}

impl Chat {
    fn none() -> Self {
        let id = ChatId(Uuid::from_u128((u128::from(T0) << 80) | (7 << 76) | (0b10 << 62)));
        Self { id, state: ChatState::default(), roster: Arc::default(), header: None, time: T0 }
    }

    fn group(members: &[&str]) -> Self {
        let mut chat = Self::none();
        let members = members.iter().map(|name| user(name)).collect();
        chat.run("ann", Op::CreateGroup { name: "club".into(), members, limit: 500 });
        chat
    }

    fn decide(&mut self, actor: &str, op: Op, duplicate: Option<(u64, u64)>, target: Option<&Target>) -> Decision {
        let targets: Vec<_> = target.map(|target| (op.subjects()[0], target.clone())).into_iter().collect();
        self.decide_on(actor, op, duplicate, &targets)
    }

    fn decide_on(&mut self, actor: &str, op: Op, duplicate: Option<(u64, u64)>, targets: &[(u64, Target)]) -> Decision {
        let record = Record::new(self.id, user(actor), Uuid::from_u128(u128::from(self.state.position.offset)), op);
        let decision = decide(&Input {
            state: &self.state,
            roster: &self.roster,
            header: self.header.as_ref(),
            position: Position { epoch: 1, partition: 0, offset: self.state.position.offset + 1 },
            time: Time::from_millis(self.time),
            record: &record,
            duplicate,
            targets,
        });
        self.state = decision.state;
        self.roster = decision.applied.roster.clone().unwrap_or_else(|| Arc::clone(&self.roster));
        self.header = decision.applied.header.clone().or_else(|| self.header.take());
        self.time += 1;
        decision
    }

    fn run(&mut self, actor: &str, op: Op) -> Decision {
        self.decide(actor, op, None, None)
    }

    fn refused(&mut self, actor: &str, op: Op) -> ErrorCode {
        let before = self.state;
        let decision = self.run(actor, op);
        assert_eq!(decision.applied, super::Applied::default(), "a refused record changes nothing");
        assert_eq!((before.seq, before.rev, before.roster_at), (self.state.seq, self.state.rev, self.state.roster_at));
        assert!(self.state.position > before.position && self.state.ts > before.ts, "but it is decided");
        match decision.outcome {
            Outcome::Refused { code } => code,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }
}

fn text(content: &str) -> Op {
    Op::Send { direct: None, content_type: ContentType::Text, content: content.into(), attachment: None, meta: None }
}

fn seq_of(decision: &Decision) -> u64 {
    match decision.outcome {
        Outcome::Applied { seq, .. } => seq,
        ref other => panic!("expected applied, got {other:?}"),
    }
}

fn system(decision: &Decision) -> ChangeKind {
    decision
        .applied
        .facts
        .iter()
        .find_map(|fact| match fact {
            Fact::Message(message) => message.system.as_ref().map(|change| change.kind),
            _ => None,
        })
        .expect("a SYSTEM message")
}

fn by(sender: &str) -> Target {
    Target { sender: user(sender), content_type: ContentType::Text, deleted: false }
}

#[test]
fn messages_take_gapless_seqs_and_never_go_back_in_time() {
    let mut chat = Chat::group(&["bob"]);
    let mut last = chat.state.head_at;
    for (n, time) in [5, 3, 9, 1].into_iter().enumerate() {
        chat.time = T0 + time;
        let decision = chat.run("bob", text("hi"));
        assert_eq!(seq_of(&decision), n as u64 + 2);
        let Some(Fact::Message(message)) = decision.applied.facts.first() else { panic!("a message") };
        assert!(message.created_at >= last);
        last = message.created_at;
    }
}

#[test]
fn the_first_message_of_a_pair_begins_their_chat() {
    let pair = [user("ann"), user("bob")];
    let mut chat = Chat { id: ChatId::direct(&pair[0], &pair[1]), ..Chat::none() };
    let op = Op::Send {
        direct: Some(pair),
        content_type: ContentType::Text,
        content: "hi".into(),
        attachment: None,
        meta: None,
    };
    let decision = chat.run("ann", op.clone());
    assert_eq!(seq_of(&decision), 1);
    let Some(Fact::Changed { change, members, .. }) = decision.applied.facts.first() else { panic!("created") };
    assert_eq!((change.kind, change.seq, members.len()), (ChangeKind::Created, 0, 2));
    let decision = chat.run("bob", op);
    assert_eq!((seq_of(&decision), decision.applied.facts.len()), (2, 1), "it begins once");
}

#[test]
fn a_duplicate_is_told_before_membership_is_asked() {
    let mut chat = Chat::group(&["bob"]);
    chat.run("bob", text("hi"));
    chat.run("bob", Op::RemoveMember { user: user("bob") });
    let retry = chat.decide("bob", text("hi"), Some((2, 0)), None);
    assert_eq!(retry.outcome, Outcome::Duplicate { seq: 2, rev: 0 });
    assert_eq!(chat.refused("bob", text("new")), ErrorCode::Forbidden);
}

#[test]
fn strangers_are_refused_and_unknown_chats_stay_unknown() {
    let mut chat = Chat::none();
    assert_eq!(chat.refused("ann", text("hi")), ErrorCode::ChatNotFound);
    assert!(!chat.state.exists());
    assert_eq!(Chat::group(&["bob"]).refused("eve", text("hi")), ErrorCode::Forbidden);
}

#[test]
fn a_group_has_its_limit() {
    let names: Vec<UserId> = (0..500).map(|n| user(&format!("u{n}"))).collect();
    let create = |limit| Op::CreateGroup { name: "club".into(), members: names.clone(), limit };
    assert_eq!(Chat::none().refused("ann", create(500)), ErrorCode::GroupFull);
    let mut chat = Chat::none();
    chat.run("ann", create(501));
    assert_eq!(chat.roster.len(), 501);
    let add = Op::SetMember { user: user("late"), role: Role::Member, limit: 501 };
    assert_eq!(chat.refused("ann", add), ErrorCode::GroupFull);
    assert_eq!(chat.refused("ann", create(501)), ErrorCode::ChatExists);
}

#[test]
fn only_admins_change_a_group_and_one_of_them_stays() {
    let mut chat = Chat::group(&["bob"]);
    let role = |name: &str, role| Op::SetMember { user: user(name), role, limit: 500 };
    assert_eq!(chat.refused("bob", Op::Rename { name: "x".into() }), ErrorCode::Forbidden);
    assert_eq!(chat.refused("bob", role("eve", Role::Member)), ErrorCode::Forbidden);
    assert_eq!(chat.refused("bob", Op::RemoveMember { user: user("ann") }), ErrorCode::Forbidden);
    assert_eq!(chat.refused("ann", role("ann", Role::Member)), ErrorCode::LastAdmin);
    assert_eq!(chat.refused("ann", Op::RemoveMember { user: user("eve") }), ErrorCode::NotFound);
    assert_eq!(system(&chat.run("ann", role("eve", Role::Member))), ChangeKind::MemberAdded);
    assert_eq!(system(&chat.run("ann", role("bob", Role::Admin))), ChangeKind::RoleChanged);
    let nothing = chat.run("ann", role("bob", Role::Admin));
    assert_eq!((seq_of(&nothing), nothing.applied.facts.len()), (0, 0), "a PUT that changes nothing takes no seq");
    assert_eq!(system(&chat.run("bob", Op::RemoveMember { user: user("ann") })), ChangeKind::MemberRemoved);
}

#[test]
fn the_longest_standing_member_inherits_the_group() {
    let mut chat = Chat::group(&["zoe"]);
    chat.run("ann", Op::SetMember { user: user("bob"), role: Role::Member, limit: 500 });
    let left = chat.run("ann", Op::RemoveMember { user: user("ann") });
    assert_eq!(system(&left), ChangeKind::MemberLeft);
    assert_eq!(chat.roster.get(&user("zoe")).unwrap().role, Role::Admin);
    assert_eq!(chat.roster.get(&user("bob")).unwrap().role, Role::Member);
}

#[test]
fn who_joins_sees_the_own_join_message_and_what_follows() {
    let mut chat = Chat::group(&["bob"]);
    chat.run("bob", text("before"));
    let joined = chat.run("ann", Op::SetMember { user: user("eve"), role: Role::Member, limit: 500 });
    assert_eq!(chat.roster.get(&user("eve")).unwrap().join_seq, seq_of(&joined) - 1);
    let left = chat.run("eve", Op::RemoveMember { user: user("eve") });
    let row = left.applied.rows.iter().find_map(|row| match row {
        Row::Member { left_seq, .. } => *left_seq,
        _ => None,
    });
    assert_eq!(row, Some(seq_of(&left)));
}

#[test]
fn edits_are_the_authors_and_deletes_also_an_admins() {
    let mut chat = Chat::group(&["bob", "eve"]);
    chat.run("bob", text("hi"));
    let edit = Op::Edit { seq: 2, content: "ho".into(), meta: None };
    let with =
        |chat: &mut Chat, actor: &str, op: Op, target: &Target| chat.decide(actor, op, None, Some(target)).outcome;
    let refused = |code| Outcome::Refused { code };
    assert_eq!(with(&mut chat, "eve", edit.clone(), &by("bob")), refused(ErrorCode::Forbidden));
    assert_eq!(with(&mut chat, "bob", edit.clone(), &by("bob")), Outcome::Applied { seq: 2, rev: 1 });
    assert_eq!(with(&mut chat, "eve", Op::Delete { seq: 2 }, &by("bob")), refused(ErrorCode::Forbidden));
    assert_eq!(with(&mut chat, "ann", Op::Delete { seq: 2 }, &by("bob")), Outcome::Applied { seq: 2, rev: 2 });
    let gone = Target { deleted: true, ..by("bob") };
    assert_eq!(with(&mut chat, "bob", edit.clone(), &gone), refused(ErrorCode::MessageNotFound));
    let system = Target { content_type: ContentType::System, ..by("ann") };
    assert_eq!(with(&mut chat, "ann", Op::Delete { seq: 1 }, &system), refused(ErrorCode::Forbidden));
    assert_eq!(chat.refused("bob", edit), ErrorCode::MessageNotFound);
}

#[test]
fn an_erasure_empties_what_is_left_of_one_s_own_messages_member_or_not() {
    let mut chat = Chat::group(&["bob"]);
    for _ in 0..5 {
        chat.run("bob", text("hi"));
    }
    chat.run("bob", Op::RemoveMember { user: user("bob") });
    let system = Target { content_type: ContentType::System, ..by("bob") };
    let gone = Target { deleted: true, ..by("bob") };
    let targets = [(2, by("bob")), (3, gone), (4, by("ann")), (6, by("bob")), (7, system), (9, by("bob"))];
    let decision = chat.decide_on("bob", Op::Erase { seqs: vec![2, 3, 4, 5, 6, 7, 9] }, None, &targets);
    assert_eq!(decision.outcome, Outcome::Applied { seq: 6, rev: 2 });
    let emptied = |fact: &Fact| match fact {
        Fact::Deleted { seq, rev, .. } => (*seq, *rev),
        other => panic!("{other:?}"),
    };
    assert_eq!(decision.applied.facts.iter().map(emptied).collect::<Vec<_>>(), [(2, 1), (6, 2)]);
    let none = chat.decide_on("bob", Op::Erase { seqs: vec![2, 6] }, None, &[]);
    assert_eq!(none.outcome, Outcome::Applied { seq: 0, rev: 0 }, "a second erasure finds nothing left");
    assert_eq!(Chat::none().refused("bob", Op::Erase { seqs: vec![1] }), ErrorCode::ChatNotFound);
}

#[test]
fn messages_from_before_one_joined_cannot_be_changed() {
    let mut chat = Chat::group(&["bob"]);
    chat.run("bob", text("hi"));
    chat.run("bob", Op::RemoveMember { user: user("bob") });
    chat.run("ann", Op::SetMember { user: user("bob"), role: Role::Admin, limit: 500 });
    let outcome = chat.decide("bob", Op::Delete { seq: 2 }, None, Some(&by("bob"))).outcome;
    assert_eq!(outcome, Outcome::Refused { code: ErrorCode::MessageNotFound });
}

#[test]
fn a_direct_chat_is_for_two_for_ever() {
    let pair = [user("ann"), user("bob")];
    let mut chat = Chat { id: ChatId::direct(&pair[0], &pair[1]), ..Chat::none() };
    chat.run("ann", Op::OpenDirect { users: pair });
    for op in [
        Op::Rename { name: "x".into() },
        Op::SetMember { user: user("eve"), role: Role::Member, limit: 500 },
        Op::RemoveMember { user: user("ann") },
    ] {
        assert_eq!(chat.refused("ann", op), ErrorCode::Forbidden);
    }
}

#[test]
fn write_timestamps_grow_whatever_the_log_s_clock_does() {
    assert_eq!(write_timestamp(Time::from_millis(7), 1_003, 0), 7_003);
    assert_eq!(write_timestamp(Time::from_millis(7), 1_003, 7_003), 7_004);
    assert_eq!(write_timestamp(Time::from_millis(1), 0, 9_000), 9_001);
}
