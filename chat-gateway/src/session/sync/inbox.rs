//! What a user's inbox tells before any chat is read. Pure.

use chat_core::clock::Time;
use chat_core::id::ChatId;
use chat_core::message_store::InboxRow;
use chat_core::message_store::row::ACTIVE_SLOT_MS;
use rustc_hash::FxHashSet;

/// How far the log's clock, which message times come from, may be behind the gateway's, which `since` comes from.
const CLOCK_MARGIN_MS: u64 = 60_000;

/// Returns the earliest time in the log that something after `since` may bear.
pub(super) fn with_margin(since: Time) -> Time {
    Time::from_millis(since.millis().saturating_sub(CLOCK_MARGIN_MS))
}

/// Returns whether the chat may have been active since a time: slots are 6 hours long.
pub(crate) fn may_be_active(row: &InboxRow, since: Time) -> bool {
    row.active_slot >= since.millis() / ACTIVE_SLOT_MS
}

/// Returns the chats that the user is in and that have nothing the client, which was complete at `since`, lacks.
pub(super) fn quiet(rows: &[InboxRow], since: Time) -> FxHashSet<ChatId> {
    let since = with_margin(since);
    rows.iter().filter(|row| row.is_present() && !may_be_active(row, since)).map(|row| row.chat_id).collect()
}
