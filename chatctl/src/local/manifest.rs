//! Reads a manifest and refuses what a cluster would refuse.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use operator::crd::ChatCluster;
use operator::manifest::{self, Problem};

use crate::failure::Refused;

/// Largest manifest: what an API server takes at most.
const MAX_BYTES: u64 = 3 * 1024 * 1024;

/// Reads and checks a manifest; every problem is in the error, each with its line and field.
pub(crate) fn load(path: &Path) -> anyhow::Result<ChatCluster> {
    let shown = path.display();
    let unreadable = || format!("cannot read the manifest {shown}; give the path of a ChatCluster with -f");
    let metadata = std::fs::metadata(path).with_context(unreadable)?;
    // Devices and pipes (`-f /dev/stdin`, `-f <(…)`) tell no size; only a file can be too long by mistake.
    if metadata.is_dir() || metadata.is_file() && metadata.len() > MAX_BYTES {
        return Err(
            Refused(format!("{shown} is a directory or over {MAX_BYTES} bytes; give one ChatCluster with -f")).into()
        );
    }
    let bytes = std::fs::read(path).with_context(unreadable)?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(Refused(format!("{shown} is not UTF-8 text; save it as UTF-8")).into());
    };
    manifest::parse(&text).map_err(|problems| Refused(refusal(path, &problems)).into())
}

/// Tells what is wrong with a manifest, a line for each problem.
fn refusal(path: &Path, problems: &[Problem]) -> String {
    let things = if problems.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", problems.len()) };
    let mut text = format!("{} is not a ChatCluster that a cluster would take; correct {things}:", path.display());
    for problem in problems {
        // Writing to a String cannot fail.
        write!(text, "\n  {problem}").unwrap_or_default();
    }
    text
}
