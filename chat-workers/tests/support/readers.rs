//! What readers get from the tables, and what must hold of it at every moment.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chat_core::id::{ChatId, Rev, Seq, UserId};
use chat_core::message_store::tables::Scan;
use chat_core::message_store::{ChatHeader, ChatState, InboxRow, MemberRow, Order, Roster, SeqRange, StoredMessage};

use super::reference::Reference;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that anyone can read of one chat, up to its state cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChatView {
    pub(crate) state: Option<ChatState>,
    pub(crate) header: Option<ChatHeader>,
    pub(crate) roster: Option<Arc<Roster>>,
    pub(crate) messages: Vec<StoredMessage>,
    pub(crate) changes: Vec<(Rev, Seq)>,
    pub(crate) members: Vec<MemberRow>,
    pub(crate) inbox: Vec<(UserId, InboxRow)>,
}

/// Reads a chat as readers do: the state cell first, then what it bounds.
pub(crate) fn view(tables: &impl Scan, chat: ChatId, users: &BTreeSet<UserId>) -> ChatView {
    let state = tables.state(chat).unwrap();
    let head = state.unwrap_or_default();
    let range = SeqRange { after: 0, upto: head.seq };
    let in_inbox = |user: &UserId| {
        let rows = tables.inbox(user).unwrap();
        rows.into_iter().find(|row| row.chat_id == chat).map(|row| (user.clone(), row))
    };
    ChatView {
        state,
        header: tables.header(chat).unwrap(),
        roster: tables.roster(chat, head.roster_at).unwrap(),
        messages: tables.messages(chat, range, Order::OldestFirst, usize::MAX).unwrap(),
        changes: tables.changes(chat, 0, head.rev, usize::MAX).unwrap(),
        members: tables.members(chat).unwrap(),
        inbox: users.iter().filter_map(in_inbox).collect(),
    }
}

/// Checks what holds at every moment, also in the middle of a batch: the state cell is that of the reference after
/// the same record, and every row below it is there and is the right one. Contents may run ahead.
pub(crate) fn check_moment(tables: &impl Scan, reference: &Reference) -> Result<(), Violation> {
    for chat in reference.chats() {
        let ChatView { state, roster, messages, changes, .. } = view(tables, chat, &BTreeSet::new());
        let Some(state) = state else { continue };
        let violated = |what: &str| Err(Violation(format!("chat {chat}, state {state:?}: {what}")));
        if reference.states.get(&(chat, state.position)) != Some(&state) {
            return violated("the state cell is not what the log says");
        }
        if state.exists() && roster != reference.tables.roster(chat, state.roster_at).unwrap() {
            return violated("the state cell names a roster that is not there");
        }
        if !messages.iter().map(|stored| stored.message.seq).eq(1..=state.seq) {
            return violated("the messages below the head have gaps");
        }
        let range = SeqRange { after: 0, upto: state.seq };
        let wanted = reference.tables.messages(chat, range, Order::OldestFirst, usize::MAX).unwrap();
        if !messages.iter().map(created).eq(wanted.iter().map(created)) {
            return violated("a seq holds another message");
        }
        if changes != reference.tables.changes(chat, 0, state.rev, usize::MAX).unwrap() {
            return violated("the changes below the head have gaps");
        }
    }
    Ok(())
}

/// Checks what holds when every record is decided and acknowledged: readers get what the reference shows them.
pub(crate) fn check_end(tables: &impl Scan, reference: &Reference) -> Result<(), Violation> {
    check_moment(tables, reference)?;
    for chat in reference.chats() {
        let (found, wanted) = (view(tables, chat, &reference.users), view(&reference.tables, chat, &reference.users));
        if found != wanted {
            return Err(Violation(format!("chat {chat} ends as\n{found:#?}\nnot as\n{wanted:#?}")));
        }
    }
    Ok(())
}

/// What of a message never changes.
fn created(stored: &StoredMessage) -> impl PartialEq + use<> {
    let message = &stored.message;
    let who = (message.message_id, message.sender.clone(), message.content_type, message.system.clone());
    (message.seq, stored.position, stored.ts, message.created_at, who)
}
