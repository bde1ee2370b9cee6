//! What the disk takes to make a write durable.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

/// Writes that are measured.
const WRITES: usize = 400;

/// Bytes of a write: a small batch of messages.
const BLOCK: [u8; 4096] = [b'x'; 4096];

/// Milliseconds of an append with its fdatasync.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct SyncTimes {
    /// Median.
    pub p50: f64,
    /// 99 of 100 take at most this.
    pub p99: f64,
}

/// Measures fdatasync in `dir`.
pub(crate) fn measure(dir: &Path) -> anyhow::Result<SyncTimes> {
    let mut file = tempfile::tempfile_in(dir).with_context(|| format!("cannot write in {}", dir.display()))?;
    let mut micros = Histogram::<u64>::new(3)?;
    for _ in 0..WRITES {
        micros.record(append(&mut file).context("cannot write and sync")?)?;
    }
    let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(SyncTimes { p50: at(0.5), p99: at(0.99) })
}

fn append(file: &mut File) -> std::io::Result<u64> {
    let begun = Instant::now();
    file.write_all(&BLOCK)?;
    file.sync_data()?;
    Ok(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX))
}
