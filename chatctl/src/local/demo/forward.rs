//! Passes what the page asks of a gateway on to the front door: each request by a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Demo;
use crate::local::serve::Place;

/// How long a gateway may take to begin its answer.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// Answers as a gateway does.
pub(super) async fn forward(
    State(demo): State<Demo>,
    Extension(place): Extension<Place>,
    mut request: Request,
) -> Response {
    if is_own_origin(request.headers()) {
        request.headers_mut().remove(ORIGIN);
    }
    let failure = match tokio::time::timeout(ANSWER_WITHIN, exchange(demo.front_door, request, place)).await {
        Ok(Ok(response)) => return response,
        Ok(Err(error)) => {
            tracing::debug!(error = format!("{error:#}"), "a request of the demo page was not passed on");
            StatusCode::BAD_GATEWAY
        }
        Err(_) => StatusCode::GATEWAY_TIMEOUT,
    };
    failure.into_response()
}

/// Tells whether a request comes from the page itself. To the gateways it then is no page of another origin, whatever
/// origins the manifest allows.
fn is_own_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(ORIGIN).and_then(|origin| origin.strip_prefix("http://")).is_some_and(|origin| Some(origin) == text(HOST))
}

async fn exchange(front_door: SocketAddr, mut request: Request, place: Place) -> anyhow::Result<Response> {
    let stream = TcpStream::connect(front_door).await.context("connect to the front door")?;
    stream.set_nodelay(true).context("connect to the front door")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("speak with the front door")?;
    // Ends with its one exchange, or as soon as the other side does.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection of the demo page to the front door ended");
        }
    });
    let client = hyper::upgrade::on(&mut request);
    let mut response = sender.send_request(request).await.context("pass the request on")?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let gateway = hyper::upgrade::on(&mut response);
        tokio::spawn(tunnel(client, gateway, place));
    }
    Ok(response.map(Body::new))
}

/// Copies both ways until both sides are done. A gateway ends a session that says nothing, so none stays for ever.
async fn tunnel(client: OnUpgrade, gateway: OnUpgrade, _place: Place) {
    let copied = async {
        let (client, gateway) = tokio::try_join!(client, gateway).context("upgrade")?;
        let (mut client, mut gateway) = (TokioIo::new(client), TokioIo::new(gateway));
        tokio::io::copy_bidirectional(&mut client, &mut gateway).await.context("copy")
    };
    if let Err(error) = copied.await {
        tracing::debug!(error = format!("{error:#}"), "a WebSocket of the demo page ended");
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_page_itself_is_of_its_own_origin() {
        for (origin, expected) in [
            (Some("http://127.0.0.1:8081"), true),
            (Some("http://127.0.0.1:8080"), false),
            (Some("https://127.0.0.1:8081"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("127.0.0.1:8081"))]);
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            assert_eq!(is_own_origin(&headers), expected, "{origin:?}");
        }
    }
}
