//! Connections: accepted here, or handed over by a front door, and served by hyper.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use super::problem;
use crate::state::State;

/// A request's head must arrive within this time; it is also how long an idle connection is kept.
const HEAD_WITHIN: Duration = Duration::from_secs(20);

/// hyper's read buffer may grow to this; the largest head (a 4 KiB token and a browser's headers) fits well.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Pause after a failed accept, which is mostly a lack of file descriptors.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Connections finish their requests within this time when the gateway stops.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// Accepts connections until the gateway stops.
pub(crate) async fn accept(state: Arc<State>, router: Router, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = state.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => serve(&state, &router, stream),
            Err(error) => {
                tracing::warn!(%error, "failed to accept");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// Serves a connection in a task of its own.
pub(crate) fn serve(state: &Arc<State>, router: &Router, stream: TcpStream) {
    // Frames are gathered by the session; what is flushed is to leave at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the connection was gone at once");
        return;
    }
    let place = state.admission.socket();
    let (state, router) = (Arc::clone(state), router.clone());
    let tasks = state.tasks.clone();
    tasks.spawn(async move {
        let Some(_place) = place else {
            return refuse(stream).await;
        };
        let service = TowerToHyperService::new(router);
        let connection = builder().serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = state.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(FINISH_WITHIN, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        }
    });
}

/// Answers the first request of a connection that is over the bound, and closes it.
async fn refuse(stream: TcpStream) {
    let connection = builder().keep_alive(false).serve_connection(TokioIo::new(stream), service_fn(over_capacity));
    // The bound is about memory: whoever does not send a request at once is dropped.
    if !matches!(tokio::time::timeout(Duration::from_secs(2), connection).await, Ok(Ok(()))) {
        tracing::debug!("a connection over the bound was dropped");
    }
}

async fn over_capacity(_: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    Ok(problem::answer(Fault::of(ErrorCode::OverCapacity).retry_after(1_000)))
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(MAX_HEAD_BYTES);
    builder
}
