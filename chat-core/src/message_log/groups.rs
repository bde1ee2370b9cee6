//! Consumer groups of the single-process engines: committed offsets, and who follows for each group.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Topic;

/// The groups of one log.
#[derive(Debug)]
pub(super) struct Groups {
    partitions: usize,
    groups: Mutex<BTreeMap<(Topic, Arc<str>), Group>>,
}

#[derive(Debug, Clone)]
struct Group {
    /// Grows with each subscription: the follower of an older one has been taken over.
    generation: u64,
    committed: Vec<u64>,
}

impl Groups {
    pub(super) fn new(partitions: u32) -> Self {
        Self { partitions: partitions as usize, groups: Mutex::default() }
    }

    /// Begins the next generation of a group. Returns it, and whether the group was unknown until now.
    pub(super) fn join(&self, topic: Topic, group: &Arc<str>) -> (u64, bool) {
        let mut groups = self.lock();
        let is_new = !groups.contains_key(&(topic, Arc::clone(group)));
        let group = groups.entry((topic, Arc::clone(group))).or_insert_with(|| self.unread());
        group.generation += 1;
        (group.generation, is_new)
    }

    /// Returns whether this generation still follows for the group.
    pub(super) fn is_current(&self, topic: Topic, group: &Arc<str>, generation: u64) -> bool {
        self.lock().get(&(topic, Arc::clone(group))).is_some_and(|group| group.generation == generation)
    }

    /// Returns the next offset that a group reads of a partition.
    pub(super) fn committed(&self, topic: Topic, group: &Arc<str>, partition: u32) -> u64 {
        let groups = self.lock();
        groups.get(&(topic, Arc::clone(group))).map_or(0, |group| group.committed[partition as usize])
    }

    /// Raises the committed offset; a lower one changes nothing.
    pub(super) fn commit(&self, topic: Topic, group: &Arc<str>, partition: u32, next_offset: u64) {
        let mut groups = self.lock();
        let group = groups.entry((topic, Arc::clone(group))).or_insert_with(|| self.unread());
        let committed = &mut group.committed[partition as usize];
        *committed = next_offset.max(*committed);
    }

    /// Returns the lowest committed offset of a partition, `None` where no group has read the topic.
    pub(super) fn floor(&self, topic: Topic, partition: u32) -> Option<u64> {
        let groups = self.lock();
        let of_topic = groups.iter().filter(|((other, _), _)| *other == topic);
        of_topic.map(|(_, group)| group.committed[partition as usize]).min()
    }

    fn unread(&self) -> Group {
        Group { generation: 0, committed: vec![0; self.partitions] }
    }

    // A poisoned lock is taken over: no change above can stop half-way.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Topic, Arc<str>), Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
