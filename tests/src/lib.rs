//! What the black-box suites share: a stack started as a user starts it, and clients that only know the protocol.

#[cfg(feature = "engines")]
pub mod cluster;
pub mod contract;
pub mod polling;
pub mod rest;
pub mod socket;
pub mod stack;
pub mod talk;

use std::path::PathBuf;

pub use contract::{Call, Contract};
pub use rest::{Answer, Rest};
pub use socket::Socket;
pub use stack::Stack;

/// Returns the top folder of the workspace.
pub fn workspace() -> PathBuf {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns the `chatctl` under test: `$CHATCTL`, which `tests/run.sh` sets to the release build it made.
///
/// # Errors
/// When it is not set, with the command that does all of it.
pub fn chatctl() -> anyhow::Result<PathBuf> {
    std::env::var_os("CHATCTL")
        .map(PathBuf::from)
        .ok_or_else(|| anyhow::anyhow!("CHATCTL names no chatctl binary; run these suites with `tests/run.sh local`"))
}
