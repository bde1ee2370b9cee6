//! The front door: hands connections to the gateways in turn, and cuts them all when told to.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A door that is open until it is dropped.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    cuts: watch::Sender<u64>,
    _accepting: JoinSet<()>,
}

impl Door {
    /// Opens it in front of these gateways.
    pub(super) async fn open(gateways: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, cuts) = (listener.local_addr()?, watch::Sender::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, gateways, cuts.subscribe()));
        Ok(Self { address, cuts, _accepting: accepting })
    }

    /// Returns where clients connect.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Resets every connection.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(listener: TcpListener, gateways: Vec<SocketAddr>, cuts: watch::Receiver<u64>) {
    let mut connections = JoinSet::new();
    let mut turn = 0;
    while let Ok((client, _)) = listener.accept().await {
        turn += 1;
        connections.spawn(carry(client, gateways.clone(), turn, cuts.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Carries a connection to the gateway whose turn it is, or to the next one that is there.
async fn carry(mut client: TcpStream, gateways: Vec<SocketAddr>, turn: usize, mut cuts: watch::Receiver<u64>) {
    cuts.mark_unchanged();
    for n in 0..gateways.len() {
        let Ok(mut gateway) = TcpStream::connect(gateways[(turn + n) % gateways.len()]).await else { continue };
        tokio::select! {
            // Either end may go at any time: that is what the tests are about.
            _ = copy_bidirectional(&mut client, &mut gateway) => {}
            _ = cuts.changed() => {
                // A reset, not a goodbye: what is in the buffers is gone.
                for end in [&client, &gateway] {
                    if let Err(error) = end.set_zero_linger() {
                        eprintln!("a connection ends with a goodbye: {error}");
                    }
                }
            }
        }
        return;
    }
}
