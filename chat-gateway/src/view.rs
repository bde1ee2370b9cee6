//! What one user may see of one chat: (`join_seq`, `left_seq`], never above the state cell.

use chat_core::codes::ErrorCode;
use chat_core::frame::{Fault, Message};
use chat_core::id::{ChatId, Rev, Seq, UserId};
use chat_core::message_store::{ChatState, MemberRow, MessageStore, Order, SeqRange, StoreError};

use crate::state::State;

/// A chat as of one reading of its state cell, as one member (present or former) sees it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) chat_id: ChatId,
    pub(crate) head: ChatState,
    pub(crate) member: MemberRow,
}

impl View {
    /// Reads it. `None` where there is no such chat or the user was never in it, which nobody can tell apart.
    pub(crate) async fn read(
        store: &dyn MessageStore,
        user: &UserId,
        chat_id: ChatId,
    ) -> Result<Option<Self>, StoreError> {
        // The cell first: rows above it are not there yet for anybody.
        let Some(head) = store.states(&[chat_id]).await?.pop().flatten().filter(ChatState::exists) else {
            return Ok(None);
        };
        let member = store.memberships(user, &[chat_id]).await?.pop().flatten();
        Ok(member.map(|member| Self { chat_id, head, member }))
    }

    /// Reads it for a request.
    pub(crate) async fn open(state: &State, user: &UserId, chat_id: ChatId) -> Result<Self, Fault> {
        let view = Self::read(&*state.store, user, chat_id).await.map_err(store_fault)?;
        view.ok_or_else(|| Fault::of(ErrorCode::ChatNotFound))
    }

    /// Requires that the user is a member now.
    pub(crate) fn present(self) -> Result<Self, Fault> {
        if self.member.is_present() {
            Ok(self)
        } else {
            Err(Fault::new(ErrorCode::Forbidden, "you are no longer a member of this chat"))
        }
    }

    /// Returns the seq after which the user sees messages.
    pub(crate) fn after(&self) -> Seq {
        self.member.join_seq
    }

    /// Returns the last seq the user may see.
    pub(crate) fn upto(&self) -> Seq {
        self.member.visible_upto(self.head.seq)
    }

    /// Returns the rev up to which the user is told of changes: 0 for a former member, who is told of none.
    pub(crate) fn head_rev(&self) -> Rev {
        if self.member.is_present() { self.head.rev } else { 0 }
    }

    /// Returns whether the user may see this message.
    pub(crate) fn shows(&self, seq: Seq) -> bool {
        self.after() < seq && seq <= self.upto()
    }

    /// Reads messages of `after < seq <= upto`, cut to what the user may see, at most `limit`.
    pub(crate) async fn messages(
        &self,
        store: &dyn MessageStore,
        range: SeqRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let range = SeqRange { after: range.after.max(self.after()), upto: range.upto.min(self.upto()) };
        if range.after >= range.upto || limit == 0 {
            return Ok(Vec::new());
        }
        let rows = store.messages(self.chat_id, range, order, limit).await?;
        Ok(rows.into_iter().map(|row| row.message).collect())
    }

    /// Reads one message, with the view it was read through.
    pub(crate) async fn message(self, state: &State, seq: Seq) -> Result<(Self, Message), Fault> {
        let range = SeqRange { after: seq.saturating_sub(1), upto: seq };
        let rows = self.messages(&*state.store, range, Order::OldestFirst, 1).await.map_err(store_fault)?;
        let message = rows.into_iter().next().ok_or_else(|| Fault::of(ErrorCode::MessageNotFound))?;
        Ok((self, message))
    }
}

/// Turns a store's failure into what a client is told.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(crate) fn store_fault(error: StoreError) -> Fault {
    match error {
        StoreError::Unavailable(_) => {
            tracing::warn!(%error, "failed to read the store");
            Fault::of(ErrorCode::Unavailable).retry_after(1_000)
        }
        StoreError::Corrupt(_) => {
            tracing::error!(%error, "failed to read the store");
            Fault::of(ErrorCode::Internal)
        }
    }
}
