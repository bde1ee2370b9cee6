//! The control socket: answers `chatctl gateways` while the stack runs.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::fleet::Fleet;
use crate::control::{MAX_LINE_BYTES, Reply, Request};

/// How long a client may take to send its request and to take the reply.
const CLIENT_WITHIN: Duration = Duration::from_secs(5);

/// Takes the socket in place of one that a killed process left; the lock of the directory makes this the only taker.
pub(crate) fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    let shown = path.display();
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove the old control socket {shown}"));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| {
        format!("cannot make the control socket {shown}; name a shorter directory with --data-dir (sockets allow about 100 characters)")
    })?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict the control socket {shown}"))?;
    Ok(listener)
}

/// Answers one request after the other until it is dropped.
pub(crate) async fn run(listener: UnixListener, fleet: Arc<Fleet>) {
    loop {
        let answered = match listener.accept().await {
            Ok((stream, _)) => answer(stream, &fleet).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = answered {
            tracing::warn!(error = format!("{error:#}"), "a control request was not answered");
        }
    }
}

async fn answer(stream: UnixStream, fleet: &Arc<Fleet>) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut bounded = BufReader::new(read.take(MAX_LINE_BYTES));
    tokio::time::timeout(CLIENT_WITHIN, bounded.read_line(&mut line)).await.context("no request came")??;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => serve(request, fleet).await,
        Err(error) => Reply::Refused { message: format!("the request is not one this version knows: {error}") },
    };
    let mut text = serde_json::to_string(&reply)?;
    text.push('\n');
    tokio::time::timeout(CLIENT_WITHIN, write.write_all(text.as_bytes()))
        .await
        .context("the reply was not taken")??;
    Ok(())
}

async fn serve(request: Request, fleet: &Arc<Fleet>) -> Reply {
    let done = match request {
        Request::ListGateways => Ok(fleet.list()),
        Request::AddGateway => fleet.add().await.map(|gateway| vec![gateway]),
        Request::DrainGateway { name } => fleet.drain(&name).map(|gateway| vec![gateway]),
    };
    match done {
        Ok(gateways) => Reply::Gateways { gateways },
        Err(error) => Reply::Refused { message: format!("{error:#}") },
    }
}
