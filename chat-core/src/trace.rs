//! Port: where spans go, and which records are followed from send to delivery.
//!
//! A trace needs no room in a record: its trace id is the record's own id (`message_id` of a send), and the ids of its
//! spans follow from that. So every process finds the same trace by itself, and whoever has a message id has its trace.
//!
//! Which records are followed is decided from the trace id too, so all processes of one ratio follow the same records.
//! The id is hashed first: those who make `UUIDv7`s may count in the bits that look random.
//!
//! # Contract of a sink
//! - `record` never waits. What does not fit is dropped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::id::ChatId;
use crate::message_log::Position;

#[cfg(feature = "otlp")]
pub mod otlp;

/// Seed of the hash: any number but the one that places chats on partitions.
const SEED: u32 = 0x7472_6163;

/// What a span measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A gateway appends a record to the log, until it is durable.
    Append,
    /// The sequencer decides, persists and relays the record's batch.
    Sequence,
    /// A gateway hands the message to the queues of its sessions.
    Deliver,
}

impl Stage {
    /// Returns the name of its spans.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Sequence => "sequence",
            Self::Deliver => "deliver",
        }
    }
}

/// A stage that a followed record has gone through, told when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The record's id.
    pub of: Uuid,
    /// Its chat.
    pub chat_id: ChatId,
    /// The stage.
    pub stage: Stage,
    /// How long it took.
    pub took: Duration,
    /// Where the record stands; absent when the log did not take it, which is the only failure.
    pub position: Option<Position>,
    /// What came of it: the sequencer's outcome, or the code of a failure.
    pub outcome: &'static str,
    /// Users that it was for, on this gateway.
    pub recipients: Option<usize>,
}

impl Span {
    /// Returns the id of the span, the same whenever a record goes through the stage; none where several processes do
    /// it for the same record.
    pub fn id(&self) -> Option<u64> {
        match self.stage {
            Stage::Append => Some(span_id(self.of, 0)),
            Stage::Sequence => Some(span_id(self.of, 1)),
            Stage::Deliver => None,
        }
    }

    /// Returns the id of the span that this one follows.
    pub fn parent(&self) -> Option<u64> {
        match self.stage {
            Stage::Append => None,
            Stage::Sequence => Some(span_id(self.of, 0)),
            Stage::Deliver => Some(span_id(self.of, 1)),
        }
    }
}

/// The low half of a UUID begins with its variant, so it is never the zero that stands for no span.
fn span_id(of: Uuid, step: u64) -> u64 {
    of.as_u64_pair().1 ^ step
}

/// Where spans go.
pub trait SpanSink: Send + Sync + fmt::Debug {
    /// Takes a span.
    fn record(&self, span: Span);
}

/// Follows a share of the records, or none.
#[derive(Debug, Clone, Default)]
pub struct Tracer {
    following: Option<Following>,
}

#[derive(Debug, Clone)]
struct Following {
    sink: Arc<dyn SpanSink>,
    /// Share of the records that are followed, 0 to 1.
    ratio: f64,
}

impl Tracer {
    /// Follows no record.
    pub fn off() -> Self {
        Self::default()
    }

    /// Follows a share of the records, 0 to 1.
    pub fn new(sink: Arc<dyn SpanSink>, sample_ratio: f64) -> Self {
        Self { following: Some(Following { sink, ratio: sample_ratio }) }
    }

    /// Returns whether a record is followed.
    pub fn follows(&self, id: Uuid) -> bool {
        const VALUES: f64 = 4_294_967_296.0;
        let Some(following) = &self.following else { return false };
        f64::from(murmur2::murmur2(id.as_bytes(), SEED)) < following.ratio * VALUES
    }

    /// Tells of a stage of a record that is followed.
    pub fn record(&self, span: Span) {
        if let Some(following) = &self.following {
            following.sink.record(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Shelf(Mutex<Vec<Span>>);

    impl SpanSink for Shelf {
        fn record(&self, span: Span) {
            self.0.lock().unwrap().push(span);
        }
    }

    fn followed(ratio: f64) -> usize {
        let tracer = Tracer::new(Arc::new(Shelf::default()), ratio);
        (0..10_000).filter(|_| tracer.follows(Uuid::now_v7())).count()
    }

    #[test]
    fn the_share_is_what_was_asked_for() {
        assert_eq!((followed(0.0), followed(1.0)), (0, 10_000));
        let tenth = followed(0.1);
        // Six standard deviations of a binomial distribution around 1 000.
        assert!((820..=1_180).contains(&tenth), "{tenth}");
        assert!(!Tracer::off().follows(Uuid::now_v7()));
    }

    #[test]
    fn who_follows_more_follows_what_others_follow() {
        let [less, more] = [0.2, 0.5].map(|ratio| Tracer::new(Arc::new(Shelf::default()), ratio));
        let ids: Vec<Uuid> = (0..1_000).map(|_| Uuid::now_v7()).collect();
        assert!(ids.iter().any(|id| less.follows(*id)));
        assert!(ids.iter().filter(|id| less.follows(**id)).all(|id| more.follows(*id)));
    }

    #[test]
    fn the_stages_of_a_record_are_one_chain() {
        let span = |stage| Span {
            of: Uuid::now_v7(),
            chat_id: ChatId(Uuid::nil()),
            stage,
            took: Duration::ZERO,
            position: None,
            outcome: "applied",
            recipients: None,
        };
        let append = span(Stage::Append);
        let sequence = Span { stage: Stage::Sequence, ..append };
        let deliver = Span { stage: Stage::Deliver, ..append };
        assert_eq!((append.parent(), sequence.parent()), (None, append.id()));
        assert_eq!((deliver.parent(), deliver.id()), (sequence.id(), None));
        assert_ne!(append.id(), sequence.id());
    }
}
