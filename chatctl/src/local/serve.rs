//! Serves a router to this machine: a bounded number of connections, a deadline for every request's head.
//!
//! For the small servers beside the gateways, which have their own.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::front_door;

/// Connections at a time; more wait in the kernel.
const MAX_CONNECTIONS: usize = 256;

/// A request's head must arrive within this time; it is also how long an idle connection is kept.
const HEAD_WITHIN: Duration = Duration::from_secs(20);

/// Requests under way are finished within this time at the end.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// The place of a connection among those there may be. Who goes on with a connection after its request, as a WebSocket
/// does, keeps it meanwhile; handlers find it among the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Place(
    #[expect(dead_code, reason = "it is held for its end, when the next connection may come")]
    Arc<OwnedSemaphorePermit>,
);

/// Serves connections until it is dropped; then requests under way are still finished.
pub(crate) async fn run(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let ending = CancellationToken::new();
    let _end = ending.clone().drop_guard();
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let stream = front_door::accept(&listener).await;
        let router = router.clone().layer(Extension(Place(Arc::new(place))));
        tokio::spawn(connection(stream, router, ending.clone()));
    }
}

async fn connection(stream: TcpStream, router: Router, ending: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FINISH_WITHIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}
