//! Decoding of what carries a format number: a newer format is told from garbage, because a reader stops at the one
//! and goes on past the other.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A type that is written with a format number, in a field named `v`.
pub trait Versioned: DeserializeOwned {
    /// The newest format this version reads, and the one it writes.
    const NEWEST: u16;

    /// Returns the format it was written in.
    fn format(&self) -> u16;
}

/// Why bytes could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes are of no format that ever was.
    #[error("{0}")]
    Malformed(String),
    /// The bytes are of a newer format than this version reads.
    #[error("format {found}, this version reads up to {newest}")]
    Unknown {
        /// Their format number.
        found: u16,
        /// The newest this version reads.
        newest: u16,
    },
}

/// Decodes JSON that carries a format number.
pub fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, FormatError> {
    #[derive(Deserialize)]
    struct Format {
        v: u16,
    }
    let unknown = |found| FormatError::Unknown { found, newest: T::NEWEST };
    match serde_json::from_slice::<T>(bytes) {
        Ok(decoded) if decoded.format() > T::NEWEST => Err(unknown(decoded.format())),
        Ok(decoded) => Ok(decoded),
        // A newer format need not have the fields of this one, so its number is looked for by itself.
        Err(error) => Err(match serde_json::from_slice::<Format>(bytes) {
            Ok(Format { v }) if v > T::NEWEST => unknown(v),
            _ => FormatError::Malformed(error.to_string()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Thing {
        v: u16,
        name: String,
    }

    impl Versioned for Thing {
        const NEWEST: u16 = 2;

        fn format(&self) -> u16 {
            self.v
        }
    }

    #[test]
    fn a_newer_format_is_told_from_garbage() {
        let unknown = |found| Err(FormatError::Unknown { found, newest: 2 });
        assert_eq!(decode::<Thing>(br#"{"v":1,"name":"a"}"#), Ok(Thing { v: 1, name: "a".into() }));
        assert_eq!(decode::<Thing>(br#"{"v":3,"name":"a"}"#), unknown(3), "it may mean something else");
        assert_eq!(decode::<Thing>(br#"{"v":4}"#), unknown(4));
        for garbage in [&br#"{"v":2}"#[..], br#"{"name":"a"}"#, b"\xff", b""] {
            assert!(matches!(decode::<Thing>(garbage), Err(FormatError::Malformed(_))));
        }
    }
}
