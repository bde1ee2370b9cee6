//! Counts of a manifest beside lengths in memory.

/// Returns a count as a length: the crate runs on machines where a `usize` holds any `u32`.
pub(crate) fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
