//! One write to the store, as it lands.

use chat_core::id::ChatId;
use chat_core::message_store::memory::MemoryStore;
use chat_core::message_store::{ChatState, MessageStore, Row};
use futures_util::FutureExt;

/// One write, as it lands in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    Row(Row),
    State(ChatId, ChatState),
}

impl Write {
    pub(crate) fn land(&self, store: &MemoryStore) {
        let landed = match self {
            Self::Row(row) => store.write_rows(vec![row.clone()]).now_or_never(),
            Self::State(chat, state) => store.write_states(vec![(*chat, *state)]).now_or_never(),
        };
        landed.expect("memory never waits").unwrap();
    }
}
