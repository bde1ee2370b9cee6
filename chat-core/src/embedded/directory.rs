//! What is done to a directory while the database is not open.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read};
use std::path::Path;

use super::EmbeddedError;

/// Written last when the storage engine makes a database: with it the directory is a database, without it never one
/// that acknowledged anything.
const MARKER: &str = "version";

/// What the storage engine makes before the marker.
const UNFINISHED: [&str; 3] = ["lock", "0.jnl", "keyspaces"];

/// Refuses a directory that holds something else, and clears one whose making was cut short.
pub(super) fn prepare(dir: &Path) -> Result<(), EmbeddedError> {
    let io = |error: std::io::Error| EmbeddedError::Storage { dir: dir.to_owned(), reason: error.to_string() };
    match std::fs::metadata(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
        Ok(found) if !found.is_dir() => return Err(EmbeddedError::Foreign { dir: dir.to_owned() }),
        Ok(_) => {}
    }
    let names = std::fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>());
    let names = names.map_err(io)?;
    if names.iter().any(|name| name == MARKER) {
        return Ok(());
    }
    if names.iter().any(|name| UNFINISHED.iter().all(|made| name != made)) {
        return Err(EmbeddedError::Foreign { dir: dir.to_owned() });
    }
    for name in names {
        let path = dir.join(name);
        // The lock stays: another process may be making the database at this moment.
        match path.file_name().and_then(|name| name.to_str()) {
            Some("lock") => Ok(()),
            Some("keyspaces") => std::fs::remove_dir_all(&path),
            _ => std::fs::remove_file(&path),
        }
        .map_err(io)?;
    }
    Ok(())
}

/// What a disk writes whole.
const SECTOR: usize = 512;

/// Cuts the newest journal at its first sector of zeros; returns whether there was one.
///
/// A power cut in the middle of a sync may leave a later sector written and an earlier one not. The storage engine
/// drops a batch that ends too early, but takes a hole inside one for damage and refuses to open. What follows a hole
/// was never synced, for a sync covers all that was written before, so nothing acknowledged is lost. A hole reads as
/// zeros; records, which are text, hold no sector of them. Other damage is left as it is.
pub(super) fn cut_torn_journal(dir: &Path) -> std::io::Result<bool> {
    let mut newest = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let (true, Some(number)) = (is_journal, number) {
            newest = newest.max(Some((number, path)));
        }
    }
    let Some((_, path)) = newest else { return Ok(false) };
    let mut sectors = BufReader::with_capacity(1 << 20, File::open(&path)?);
    let mut sector = [0; SECTOR];
    let mut length = 0;
    loop {
        match sectors.read_exact(&mut sector) {
            Ok(()) if sector == [0; SECTOR] => break,
            Ok(()) => length += SECTOR as u64,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    tracing::warn!(journal = %path.display(), length, "a power cut tore the journal: dropped what was never synced");
    let journal = OpenOptions::new().write(true).open(&path)?;
    journal.set_len(length)?;
    journal.sync_all()?;
    Ok(true)
}
