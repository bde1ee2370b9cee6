//! The async runtime of the commands that serve or drive connections.

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;

use crate::open_files;

/// How long threads that block may go on after the future has ended; after an orderly end there are none.
const BLOCKED_WITHIN: Duration = Duration::from_secs(1);

/// Runs a future on as many threads as there are cores, with as many open files as the system allows.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    open_files::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads; is the limit of processes reached?")?;
    let done = runtime.block_on(future);
    runtime.shutdown_timeout(BLOCKED_WITHIN);
    done
}
