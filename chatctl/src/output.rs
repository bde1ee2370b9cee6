//! The only module that prints: results to standard output, what went wrong to standard error.
//!
//! Colour is used where the stream is a terminal and `NO_COLOR` is unset (anstream strips it elsewhere).

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

/// Style of what is most important in a line.
pub(crate) const STRONG: Style = Style::new().bold();

/// Style of the word before a warning.
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Style of the word before an error.
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Prints a line of a result. A reader that has gone away (`chatctl … | head`) is no error.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::AutoStream::auto(io::stdout()).lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Prints one JSON object on one line.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string(value).context("cannot write the result as JSON")?)
}

/// Prints rows under a header, each column as wide as its widest cell.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([header[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let format = |cells: [&str; N]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    line(&format!("{STRONG}{}{STRONG:#}", format(header)))?;
    rows.iter().try_for_each(|row| line(&format(std::array::from_fn(|column| row[column].as_str()))))
}

/// Prints a warning to standard error.
pub(crate) fn warning(text: &str) {
    complain(&format!("{WARNING}warning:{WARNING:#} {text}"));
}

/// Prints an error to standard error, its causes behind it in the same sentence.
pub(crate) fn error(error: &anyhow::Error) {
    complain(&format!("{ERROR}error:{ERROR:#} {error:#}"));
}

#[expect(clippy::let_underscore_must_use, reason = "there is nowhere left to tell that standard error is gone")]
fn complain(text: &str) {
    let _ = writeln!(anstream::AutoStream::auto(io::stderr()).lock(), "{text}");
}
