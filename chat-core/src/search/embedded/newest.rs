//! Collects the newest matches inside the scopes.
//!
//! Scope, time and page are checked here, on the columns of each match, not by queries: exact for any number of
//! partial scopes, and nothing that gets past the query can get past this.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::ColumnValues;
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader};
use uuid::Uuid;

use super::fields::{CHAT_HIGH, CHAT_LOW, CREATED_AT, SEQ};
use crate::clock::Time;
use crate::id::{ChatId, Seq};
use crate::search::{After, Query, Scope};

/// A place in the order of results; higher is newer.
type Place = (Time, ChatId, Seq);

/// What is collected.
pub(super) struct Newest(Arc<Wanted>);

struct Wanted {
    /// Ascending by chat; a chat may have several.
    scopes: Vec<Scope>,
    from: Option<Time>,
    to: Option<Time>,
    after: Option<Place>,
    limit: usize,
}

impl Newest {
    /// Makes the collector of a query.
    pub(super) fn new(query: &Query) -> Self {
        let mut scopes = query.scopes.clone();
        scopes.sort_unstable_by_key(|scope| scope.chat_id);
        let after = query.after.map(|after| (after.created_at, after.chat_id, after.seq));
        Self(Arc::new(Wanted { scopes, from: query.from, to: query.to, after, limit: query.limit }))
    }
}

impl Wanted {
    /// Returns whether the time alone rules a match out.
    fn excludes(&self, time: Time) -> bool {
        self.from.is_some_and(|from| time < from)
            || self.to.is_some_and(|to| time >= to)
            || self.after.is_some_and(|(after, ..)| time > after)
    }

    fn admits(&self, (time, chat, seq): Place) -> bool {
        let of_chat = self.scopes.partition_point(|scope| scope.chat_id < chat)..;
        self.after.is_none_or(|after| (time, chat, seq) < after)
            && self.scopes[of_chat]
                .iter()
                .take_while(|scope| scope.chat_id == chat)
                .any(|scope| scope.after < seq && scope.upto.is_none_or(|upto| seq <= upto))
    }
}

impl Collector for Newest {
    type Fruit = Vec<(After, DocAddress)>;
    type Child = InSegment;

    fn for_segment(&self, segment: SegmentOrdinal, reader: &SegmentReader) -> tantivy::Result<InSegment> {
        let column = |name| Ok::<_, tantivy::TantivyError>(reader.fast_fields().u64(name)?.first_or_default_col(0));
        Ok(InSegment {
            wanted: Arc::clone(&self.0),
            segment,
            times: column(CREATED_AT)?,
            chats: (column(CHAT_HIGH)?, column(CHAT_LOW)?),
            seqs: column(SEQ)?,
            newest: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<Vec<(Place, DocAddress)>>) -> tantivy::Result<Self::Fruit> {
        let mut newest = segments.concat();
        newest.sort_unstable_by_key(|(place, _)| Reverse(*place));
        newest.truncate(self.0.limit);
        let named = |((created_at, chat_id, seq), address)| (After { created_at, chat_id, seq }, address);
        Ok(newest.into_iter().map(named).collect())
    }
}

/// The newest matches of one segment.
pub(super) struct InSegment {
    wanted: Arc<Wanted>,
    segment: SegmentOrdinal,
    times: Numbers,
    chats: (Numbers, Numbers),
    seqs: Numbers,
    /// At most `limit`, the oldest on top.
    newest: BinaryHeap<Reverse<(Place, DocId)>>,
}

type Numbers = Arc<dyn ColumnValues<u64>>;

impl SegmentCollector for InSegment {
    type Fruit = Vec<(Place, DocAddress)>;

    fn collect(&mut self, doc: DocId, _: Score) {
        let time = Time::from_millis(self.times.get_val(doc));
        let is_full = self.newest.len() == self.wanted.limit;
        let is_too_old = is_full && self.newest.peek().is_none_or(|Reverse((oldest, _))| time < oldest.0);
        if is_too_old || self.wanted.excludes(time) {
            return;
        }
        let chat = ChatId(Uuid::from_u64_pair(self.chats.0.get_val(doc), self.chats.1.get_val(doc)));
        let place = (time, chat, self.seqs.get_val(doc));
        if self.wanted.admits(place) {
            self.newest.push(Reverse((place, doc)));
            if self.newest.len() > self.wanted.limit {
                self.newest.pop();
            }
        }
    }

    fn harvest(self) -> Self::Fruit {
        let addressed = |Reverse((place, doc))| (place, DocAddress::new(self.segment, doc));
        self.newest.into_iter().map(addressed).collect()
    }
}
