//! Cursors of lists: where a page ended, and when it was made. Opaque to clients, good for 24 hours.
//!
//! Hexadecimal, because a cursor goes into a URL and some clients forget to encode what they put there.

use std::fmt::Write as _;

use chat_core::clock::Time;
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How long a cursor is good.
const LIVES_MS: u64 = 24 * 3600 * 1000;

/// Longest cursor taken.
const MAX_CHARS: usize = 1_024;

#[derive(Serialize, Deserialize)]
struct Made<T> {
    at: Time,
    place: T,
}

/// Makes a cursor.
pub(super) fn render(place: &impl Serialize, now: Time) -> String {
    let json = serde_json::to_vec(&Made { at: now, place }).unwrap_or_else(|_| unreachable!("places are plain values"));
    json.iter().fold(String::with_capacity(json.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// Reads a cursor.
pub(super) fn parse<T: DeserializeOwned>(text: &str, now: Time) -> Result<T, Fault> {
    let invalid = || Fault::of(ErrorCode::InvalidCursor);
    let is_hex = text.len() <= MAX_CHARS && text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex {
        return Err(invalid());
    }
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().map_err(|_| invalid())?;
    let made: Made<T> = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    if now.millis_since(made.at) > LIVES_MS { Err(invalid()) } else { Ok(made.place) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_lives_a_day_and_garbage_is_refused() {
        let now = Time::from_millis(1_764_000_000_000);
        let text = render(&("ann", 7), now);
        assert_eq!(parse::<(String, u64)>(&text, now.plus_millis(LIVES_MS)), Ok(("ann".to_owned(), 7)));
        assert!(parse::<(String, u64)>(&text, now.plus_millis(LIVES_MS + 1)).is_err());
        for bad in ["", "7", "zz", "7b7d", "\u{e4}\u{e4}", &text[2..]] {
            assert_eq!(parse::<(String, u64)>(bad, now).unwrap_err().code, ErrorCode::InvalidCursor, "{bad}");
        }
        let longest = render(&"\"".repeat(128), now);
        assert!(longest.len() <= MAX_CHARS, "{}", longest.len());
    }
}
