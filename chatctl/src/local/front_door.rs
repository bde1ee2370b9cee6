//! The front door: one port for clients, behind it whichever gateways take connections just now.
//!
//! It stands for the load balancer of a cluster. A connection goes as it is, an open socket, to the gateway with the
//! fewest; no byte is copied and no protocol is known here.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::fleet::Fleet;

/// Connections that wait to be accepted; the kernel cuts it to its own maximum.
const BACKLOG: u32 = 4096;

/// Pause after an `accept` that failed for want of files or memory: others must let go first.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes the port; `flag` is the option that gives another.
pub(crate) fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A former process's closed connections must not keep the port for a minute.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error| refusal(address, flag, error))
}

fn refusal(address: SocketAddr, flag: &str, error: io::Error) -> anyhow::Error {
    let port = address.port();
    match error.kind() {
        ErrorKind::AddrInUse => {
            anyhow::anyhow!("port {port} of {} is in use; stop who uses it, or give another with {flag}", address.ip())
        }
        ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("this machine has no address {}; give one of its own with --listen", address.ip())
        }
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!("port {port} is reserved for root; give one from 1024 up with {flag}")
        }
        _ => {
            anyhow::Error::new(error).context(format!("cannot listen on {address}; give another with --listen, {flag}"))
        }
    }
}

/// Returns the address that a listener has.
pub(crate) fn address(listener: &TcpListener) -> anyhow::Result<SocketAddr> {
    listener.local_addr().context("cannot tell the address of the front door")
}

/// Hands out connections until it is dropped.
pub(crate) async fn run(listener: TcpListener, fleet: Arc<Fleet>) {
    loop {
        fleet.hand_over(accept(&listener).await);
    }
}

/// Waits for a connection, past whatever keeps one from being accepted.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client went away while it waited.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What the front door knows of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// Whether it takes connections.
    pub(crate) ready: bool,
    /// How many it has.
    pub(crate) connections: usize,
}

/// Chooses who gets the next connection: of those that are ready, the one with the fewest, of these the first at or
/// after `turn` in the circle. Where none is ready any will do, because a gateway itself says best why it takes none.
pub(crate) fn choose(loads: &[Load], turn: usize) -> Option<usize> {
    let count = loads.len();
    (0..count)
        .map(|step| turn.wrapping_add(step) % count)
        .min_by_key(|&index| (!loads[index].ready, loads[index].connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(ready: bool, connections: usize) -> Load {
        Load { ready, connections }
    }

    #[test]
    fn the_gateway_with_the_fewest_connections_is_chosen() {
        assert_eq!(choose(&[load(true, 3), load(true, 1), load(true, 2)], 0), Some(1));
    }

    #[test]
    fn a_gateway_that_drains_is_passed_over_however_empty() {
        assert_eq!(choose(&[load(false, 0), load(true, 9)], 0), Some(1));
    }

    #[test]
    fn equals_take_turns() {
        let equals = [load(true, 1); 3];
        let chosen: Vec<_> = (0..6).filter_map(|turn| choose(&equals, turn)).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn without_a_ready_gateway_one_still_answers_and_without_any_none() {
        assert_eq!(choose(&[load(false, 2), load(false, 1)], 0), Some(1));
        assert_eq!(choose(&[], 7), None);
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_the_way_out() {
        let taken = bind("127.0.0.1:0".parse().unwrap(), "--port").unwrap();
        let refusal = bind(address(&taken).unwrap(), "--port").unwrap_err().to_string();
        assert!(refusal.contains("is in use") && refusal.contains("--port"), "{refusal}");
    }
}
