//! The wire of a stand-in: TLS, HTTP, and the faults that requests meet.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::tls::Authority;
use crate::push::vendors::Endpoint;

/// Largest request that is read, in bytes.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// What a request meets in place of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The stream is reset before the vendor sees the request.
    Reset,
    /// The connection is given up in good order; this request was not taken.
    GoAway,
    /// The connection is cut after the vendor took the notification.
    Cut,
    /// Nothing comes.
    Silence,
}

/// What a vendor answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// The body, JSON.
    pub body: String,
}

impl Reply {
    /// Makes a reply.
    pub fn new(status: u16, body: &(impl ToString + ?Sized)) -> Self {
        Self { status, retry_after: None, body: body.to_string() }
    }
}

/// A vendor behind a server.
pub(super) trait Vendor: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, head: &Parts, body: &[u8]) -> Reply;
}

/// A server on loopback. Dropping it ends it and its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    authority: Vec<u8>,
    wire: Arc<Wire>,
    _accepting: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Wire {
    faults: Mutex<VecDeque<Fault>>,
    connections: Mutex<usize>,
}

/// What a request does to its connection.
#[derive(Debug, Default)]
struct Line {
    leave: Notify,
    cut: Notify,
}

impl Server {
    /// Starts a server that speaks these protocols (names of ALPN) and no other.
    pub(super) fn start(authority: &Authority, protocols: &[&str], vendor: Arc<dyn Vendor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let listener = TcpListener::from_std(listener).expect("a runtime");
        let address = listener.local_addr().expect("an address");
        let (wire, tls) = (Arc::new(Wire::default()), authority.acceptor(protocols));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, vendor, Arc::clone(&wire)));
        Self { address, authority: authority.certificate().to_vec(), wire, _accepting: accepting }
    }

    /// Returns where it is and whose certificate it has.
    pub fn endpoint(&self) -> Endpoint {
        let base = format!("https://localhost:{}", self.address.port());
        Endpoint { base, authority: self.authority.clone() }
    }

    /// Makes the next requests meet these faults, one each.
    pub fn fail_next(&self, faults: &[Fault]) {
        lock(&self.wire.faults).extend(faults);
    }

    /// Returns how many connections there were.
    pub fn connections(&self) -> usize {
        *lock(&self.wire.connections)
    }
}

pub(super) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, vendor: Arc<dyn Vendor>, wire: Arc<Wire>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, tls.clone(), Arc::clone(&vendor), Arc::clone(&wire)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, vendor: Arc<dyn Vendor>, wire: Arc<Wire>) {
    // A client that does not trust us, or speaks no protocol of ours, ends here.
    let Ok(stream) = tls.accept(stream).await else { return };
    *lock(&wire.connections) += 1;
    let line = Arc::new(Line::default());
    let service = service_fn(|request| respond(request, Arc::clone(&vendor), Arc::clone(&wire), Arc::clone(&line)));
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    loop {
        tokio::select! {
            // However it ended, the client sees it.
            _ended = connection.as_mut() => return,
            () = line.leave.notified() => connection.as_mut().graceful_shutdown(),
            () = line.cut.notified() => return,
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    vendor: Arc<dyn Vendor>,
    wire: Arc<Wire>,
    line: Arc<Line>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_REQUEST_BYTES).collect().await.map_err(io::Error::other)?.to_bytes();
    let fault = lock(&wire.faults).pop_front();
    match fault {
        None => {}
        Some(Fault::Reset) => return Err(reset(h2::Reason::INTERNAL_ERROR)),
        Some(Fault::GoAway) => {
            line.leave.notify_one();
            return Err(reset(h2::Reason::REFUSED_STREAM));
        }
        Some(Fault::Cut) => {
            vendor.answer(&head, &body);
            line.cut.notify_one();
            std::future::pending::<()>().await;
        }
        Some(Fault::Silence) => std::future::pending::<()>().await,
    }
    let reply = vendor.answer(&head, &body);
    let mut response = Response::builder().status(reply.status).header("content-type", "application/json");
    if let Some(retry_after) = reply.retry_after {
        response = response.header("retry-after", retry_after);
    }
    response.body(Full::from(reply.body)).map_err(io::Error::other)
}

/// Makes the error that ends a stream of HTTP/2 with this reason.
fn reset(reason: h2::Reason) -> io::Error {
    io::Error::other(h2::Error::from(reason))
}
