//! Frames on the generator's side: made once, and counted without being read.
//!
//! The generator has one core as the server has, and a library that hands out every message costs more than the
//! server's part; so it looks at the headers alone (RFC 6455, section 5.2).

use anyhow::Context as _;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// Makes `count` client frames of `size` bytes of text each.
pub(crate) fn client_frames(count: usize, size: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        let mut frame = Frame::message(vec![b'x'; size], OpCode::Data(Data::Text), true);
        frame.header_mut().mask = Some([1, 2, 3, 4]);
        frame.format(&mut bytes).context("cannot make a frame")?;
    }
    Ok(bytes)
}

/// Longest header of a server frame: two bytes, and a length of eight.
const HEADER: usize = 10;

/// Counts the frames in what a server sends, wherever the pieces are cut.
#[derive(Debug, Default)]
pub(crate) struct FrameCounter {
    header: [u8; HEADER],
    /// Bytes of the next header so far.
    have: usize,
    /// Bytes of payload still to come.
    skip: usize,
}

impl FrameCounter {
    /// Takes a piece; returns how many frames end in it.
    pub(crate) fn count(&mut self, mut piece: &[u8]) -> usize {
        let mut frames = 0;
        loop {
            let skipped = self.skip.min(piece.len());
            self.skip -= skipped;
            piece = &piece[skipped..];
            if self.skip == 0 && self.is_whole() {
                frames += 1;
                self.have = 0;
            }
            if self.skip > 0 || piece.is_empty() {
                return frames;
            }
            self.header[self.have] = piece[0];
            self.have += 1;
            piece = &piece[1..];
            if self.is_whole() {
                self.skip = self.payload();
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.have >= 2 && self.have == self.header_len()
    }

    fn header_len(&self) -> usize {
        match self.header[1] & 0x7f {
            126 => 4,
            127 => HEADER,
            _ => 2,
        }
    }

    fn payload(&self) -> usize {
        let length = match self.header[1] & 0x7f {
            126 | 127 => self.header[2..self.have].iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
            short => u64::from(short),
        };
        usize::try_from(length).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frames(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &size in sizes {
            let frame = Frame::message(vec![b'x'; size], OpCode::Data(Data::Text), true);
            frame.format(&mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn frames_are_counted_wherever_the_pieces_are_cut() {
        let bytes = server_frames(&[0, 1, 125, 126, 330, 65_535, 65_536, 0]);
        for piece in [1, 2, 3, 7, 100, 4096, bytes.len()] {
            let mut counter = FrameCounter::default();
            let count: usize = bytes.chunks(piece).map(|piece| counter.count(piece)).sum();
            assert_eq!(count, 8, "in pieces of {piece}");
        }
    }

    #[test]
    fn an_unfinished_frame_does_not_count() {
        let bytes = server_frames(&[330]);
        assert_eq!(FrameCounter::default().count(&bytes[..bytes.len() - 1]), 0);
    }
}
