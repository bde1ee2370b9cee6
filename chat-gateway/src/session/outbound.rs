//! The outbound queue of a session: bounded in bytes, light frames dropped first.
//!
//! Pure. What the writer has taken counts until it is flushed, so that a slow client holds at most the limit, not the
//! limit twice.

use std::collections::VecDeque;

use axum::extract::ws::Utf8Bytes;

/// What a queued frame costs beside its text: the queue's entry and the frame header.
const OVERHEAD: usize = 40;

/// Entries that an emptied queue may keep room for.
const KEPT_ENTRIES: usize = 64;

/// The queue is full of frames that must not be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

/// Frames that wait for the writer.
#[derive(Debug)]
pub(crate) struct Outbound {
    firm: VecDeque<Utf8Bytes>,
    light: VecDeque<Utf8Bytes>,
    firm_bytes: usize,
    light_bytes: usize,
    taken_bytes: usize,
    limit: usize,
    max_frames: usize,
}

/// Frames the writer took, to be flushed at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    frames: VecDeque<Utf8Bytes>,
}

impl Batch {
    /// Takes the next frame to feed.
    pub(crate) fn pop(&mut self) -> Option<Utf8Bytes> {
        self.frames.pop_front()
    }

    /// Returns whether all frames are fed.
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Gives back the memory of a busy time.
    pub(crate) fn shrink(&mut self) {
        self.frames.shrink_to_fit();
    }
}

impl FromIterator<Utf8Bytes> for Batch {
    fn from_iter<I: IntoIterator<Item = Utf8Bytes>>(frames: I) -> Self {
        Self { frames: frames.into_iter().collect() }
    }
}

fn cost(frame: &Utf8Bytes) -> usize {
    frame.len() + OVERHEAD
}

impl Outbound {
    /// Makes an empty queue of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self::with_frames(limit, usize::MAX)
    }

    /// Makes an empty queue of at most `limit` bytes and `max_frames` frames.
    pub(crate) fn with_frames(limit: usize, max_frames: usize) -> Self {
        let (firm, light) = (VecDeque::new(), VecDeque::new());
        Self { firm, light, firm_bytes: 0, light_bytes: 0, taken_bytes: 0, limit, max_frames }
    }

    /// Returns whether a frame that must arrive would fit; light ones make room for it.
    pub(crate) fn fits(&self, frame: &Utf8Bytes) -> bool {
        self.fitting(std::iter::once(frame)) == 1
    }

    /// Returns how many of these, from the first on, would fit.
    pub(crate) fn fitting<'a>(&self, frames: impl Iterator<Item = &'a Utf8Bytes>) -> usize {
        let mut bytes = self.firm_bytes + self.taken_bytes;
        let fits = |frame: &&Utf8Bytes| {
            bytes += cost(frame);
            bytes <= self.limit
        };
        frames.take(self.max_frames.saturating_sub(self.firm.len())).take_while(fits).count()
    }

    /// Queues a frame that must arrive. Light frames make room for it.
    pub(crate) fn push(&mut self, frame: Utf8Bytes) -> Result<(), Overflow> {
        let cost = cost(&frame);
        if self.bytes() + cost > self.limit || self.frames() >= self.max_frames {
            self.light.clear();
            self.light_bytes = 0;
            if self.bytes() + cost > self.limit || self.frames() >= self.max_frames {
                return Err(Overflow);
            }
        }
        self.firm_bytes += cost;
        self.firm.push_back(frame);
        Ok(())
    }

    /// Queues a frame that may be dropped; returns whether it was queued. It gets no room in the upper half.
    pub(crate) fn push_light(&mut self, frame: Utf8Bytes) -> bool {
        let cost = cost(&frame);
        let has_room = self.bytes() + cost <= self.limit / 2 && self.frames() < self.max_frames / 2;
        if has_room {
            self.light_bytes += cost;
            self.light.push_back(frame);
        }
        has_room
    }

    /// Moves everything queued to the writer's empty batch, firm frames first.
    pub(crate) fn take(&mut self, batch: &mut Batch) {
        debug_assert!(batch.is_empty(), "the writer takes when it has written all");
        if self.is_empty() {
            return;
        }
        // The two buffers change places, so that a busy session does not allocate.
        std::mem::swap(&mut self.firm, &mut batch.frames);
        batch.frames.append(&mut self.light);
        self.taken_bytes = self.firm_bytes + self.light_bytes;
        (self.firm_bytes, self.light_bytes) = (0, 0);
        if self.firm.capacity() > KEPT_ENTRIES && batch.frames.len() * 8 < self.firm.capacity() {
            self.firm.shrink_to(KEPT_ENTRIES);
        }
    }

    /// Forgets what the writer took, once it is flushed.
    pub(crate) fn flushed(&mut self) {
        self.taken_bytes = 0;
    }

    /// Gives back the memory of a busy time.
    pub(crate) fn shrink(&mut self) {
        self.firm.shrink_to_fit();
        self.light.shrink_to_fit();
    }

    /// Returns whether nothing waits for the writer.
    pub(crate) fn is_empty(&self) -> bool {
        self.firm.is_empty() && self.light.is_empty()
    }

    /// Returns the bytes queued and being written.
    pub(crate) fn bytes(&self) -> usize {
        self.firm_bytes + self.light_bytes + self.taken_bytes
    }

    /// Returns whether catching up may queue more: it leaves the upper half to what is live.
    pub(crate) fn has_space(&self) -> bool {
        self.bytes() < self.limit / 2 && self.frames() < self.max_frames / 2
    }

    fn frames(&self) -> usize {
        self.firm.len() + self.light.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Utf8Bytes {
        "x".repeat(bytes - OVERHEAD).into()
    }

    #[test]
    fn light_frames_make_room_for_firm_ones() {
        let mut queue = Outbound::new(1_000);
        assert!(queue.push_light(frame(300)));
        assert_eq!(queue.push(frame(600)), Ok(()));
        assert!(!queue.push_light(frame(50)));
        assert_eq!(queue.push(frame(400)), Ok(()));
        assert_eq!(queue.bytes(), 1_000);
        assert_eq!(queue.push(frame(41)), Err(Overflow));
    }

    #[test]
    fn what_is_being_written_counts_until_it_is_flushed() {
        let mut queue = Outbound::new(1_000);
        let mut batch = Batch::default();
        queue.push(frame(900)).unwrap();
        queue.take(&mut batch);
        assert_eq!(queue.push(frame(200)), Err(Overflow));
        assert!(batch.pop().is_some() && batch.is_empty());
        queue.flushed();
        assert_eq!(queue.push(frame(200)), Ok(()));
    }

    #[test]
    fn what_would_fit_is_counted_by_bytes_and_frames() {
        let mut queue = Outbound::with_frames(1_000, 3);
        let rows = [frame(400), frame(400), frame(400)];
        assert_eq!(queue.fitting(rows.iter()), 2);
        assert!(queue.push_light(frame(300)));
        assert_eq!(queue.fitting(rows.iter()), 2, "light frames make room");
        for text in ["a", "b", "c"] {
            assert_eq!(queue.push(text.into()), Ok(()));
        }
        assert!(!queue.fits(&"d".into()) && !queue.has_space());
        assert_eq!(queue.push("d".into()), Err(Overflow));
    }

    #[test]
    fn everything_is_taken_at_once_in_order() {
        let mut queue = Outbound::new(1_000);
        let mut batch = Batch::default();
        for text in ["a", "b", "c"] {
            queue.push(text.into()).unwrap();
        }
        queue.push_light("d".into());
        queue.take(&mut batch);
        assert!(queue.is_empty());
        let taken: Vec<String> = std::iter::from_fn(|| batch.pop()).map(|frame| frame.to_string()).collect();
        assert_eq!(taken, ["a", "b", "c", "d"]);
        queue.take(&mut batch);
        assert!(batch.is_empty());
    }
}
