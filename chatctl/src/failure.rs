//! How a command fails: the sentence on standard error and the exit code.

use std::fmt;
use std::process::ExitCode;

/// Exit code of a command that could not do it.
const FAILED: u8 = 1;

/// Exit code of a command that was given something wrong; clap's own for a bad command line.
const REFUSED: u8 = 2;

/// Says that what was given is wrong, as opposed to something that could not be done with it.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Returns the exit code that an error asks for.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if error.is::<Refused>() { REFUSED } else { FAILED })
}
