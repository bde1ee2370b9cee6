//! The chats in memory, bounded by their members.

use chat_core::id::ChatId;
use chat_core::message_log::partition_of;
use lru::LruCache;

use super::chat::HotChat;

/// Chats by last use.
#[derive(Debug)]
pub(super) struct ChatCache {
    chats: LruCache<ChatId, HotChat>,
    /// Members of all chats, and one for each chat.
    weight: usize,
    max_weight: usize,
}

impl ChatCache {
    pub(super) fn new(max_weight: usize) -> Self {
        Self { chats: LruCache::unbounded(), weight: 0, max_weight }
    }

    /// Takes a chat out, to be put back.
    pub(super) fn pop(&mut self, chat_id: ChatId) -> Option<HotChat> {
        let chat = self.chats.pop(&chat_id)?;
        self.weight -= chat.weight();
        Some(chat)
    }

    /// Puts a chat in; those not used for longest make room.
    pub(super) fn put(&mut self, chat_id: ChatId, chat: HotChat) {
        self.pop(chat_id);
        self.weight += chat.weight();
        self.chats.put(chat_id, chat);
        while self.weight > self.max_weight
            && let Some((_, evicted)) = self.chats.pop_lru()
        {
            self.weight -= evicted.weight();
        }
    }

    /// Forgets the chats of one of `count` partitions.
    pub(super) fn drop_partition(&mut self, partition: u32, count: u32) {
        let ids: Vec<ChatId> = self.chats.iter().map(|(chat_id, _)| *chat_id).collect();
        for chat_id in ids.into_iter().filter(|chat_id| partition_of(*chat_id, count) == partition) {
            self.pop(chat_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_core::message_store::ChatState;
    use uuid::Uuid;

    use super::*;

    fn chat() -> HotChat {
        HotChat::new(ChatId(Uuid::nil()), &ChatState::default(), Vec::new())
    }

    #[test]
    fn the_chat_not_used_for_longest_makes_room() {
        let mut cache = ChatCache::new(2);
        let [a, b, c] = [1, 2, 3].map(|n| ChatId(Uuid::from_u128(n)));
        cache.put(a, chat());
        cache.put(b, chat());
        let used = cache.pop(a).unwrap();
        cache.put(a, used);
        cache.put(c, chat());
        assert_eq!([a, b, c].map(|id| cache.pop(id).is_some()), [true, false, true]);
        assert_eq!(cache.weight, 0);
    }

    #[test]
    fn a_partition_takes_its_chats_along() {
        let mut cache = ChatCache::new(1_000);
        let ids: Vec<ChatId> = (0..64).map(|n| ChatId(Uuid::from_u128(n))).collect();
        for id in &ids {
            cache.put(*id, chat());
        }
        cache.drop_partition(1, 4);
        let left: Vec<ChatId> = ids.iter().copied().filter(|id| cache.pop(*id).is_some()).collect();
        let expected: Vec<ChatId> = ids.into_iter().filter(|id| partition_of(*id, 4) != 1).collect();
        assert_eq!((left, cache.weight), (expected, 0));
    }
}
