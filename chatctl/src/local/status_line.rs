//! The live view on a terminal: some lines below everything else, updated in place.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::tcgetwinsize;

use super::snapshot::Snapshot;
use super::view;

/// How often it is updated; what gateways count, they count by the second.
pub(crate) const UPDATE_EVERY: Duration = Duration::from_secs(1);

/// Width where a terminal does not tell its own.
const WIDTH: usize = 80;

/// The lines. Clones are the same lines. As a writer it is standard error, for lines that go above them.
#[derive(Debug, Clone)]
pub(crate) struct StatusLine(ProgressBar);

impl StatusLine {
    /// Makes a view that is not shown yet.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg}");
        Self(style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)))
    }

    /// Shows the view from now on. Without a terminal on standard error nothing is shown.
    pub(crate) fn open(&self) {
        self.0.set_draw_target(ProgressDrawTarget::stderr());
    }

    /// Shows how the stack is.
    pub(crate) fn show(&self, snapshot: &Snapshot) {
        let size = tcgetwinsize(io::stderr()).ok();
        let width = size.map(|size| usize::from(size.ws_col)).filter(|&width| width > 0).unwrap_or(WIDTH);
        self.0.set_message(view::lines(snapshot, width - 1, is_coloured()).join("\n"));
    }

    /// Takes the view away for good.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }

    /// Takes the view away while something is printed.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Write for StatusLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.aside(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Tells whether standard error takes colour: it is a terminal, and `NO_COLOR` is unset or empty.
pub(crate) fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
