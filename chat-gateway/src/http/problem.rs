//! Failed requests: `application/problem+json` (RFC 9457) with the protocol's fault in it.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use serde::Serialize;

/// A failed request. As a response it is empty until the router's outermost layer renders it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) fault: Fault,
    status: StatusCode,
}

/// What a handler returns.
pub(crate) type Answer<T> = Result<T, Problem>;

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    request_id: &'a str,
    #[serde(flatten)]
    fault: &'a Fault,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let status = StatusCode::from_u16(fault.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { fault, status }
    }
}

impl Problem {
    /// Answers with another status than the code's own.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Makes the response. Headers that lead the client on (`Allow`, `Upgrade`) stay.
    pub(crate) fn render(self, before: &Response, request_id: &str) -> Response {
        let document = Document {
            kind: format!("urn:chatcluster:error:{}", self.fault.code),
            title: self.fault.code.meaning(),
            status: self.status.as_u16(),
            request_id,
            fault: &self.fault,
        };
        if self.status.is_server_error() {
            tracing::warn!(request_id, fault = %self.fault, "request failed");
        }
        let body = serde_json::to_vec(&document).unwrap_or_else(|_| unreachable!("a problem has string keys only"));
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        for (name, value) in before.headers() {
            if *name == ALLOW || name.as_str().starts_with("sec-websocket") || name.as_str() == "upgrade" {
                response.headers_mut().insert(name, value.clone());
            }
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            // Whole seconds, and not 0: the header's own unit.
            let seconds = self.fault.retry_after_ms.unwrap_or(1_000).div_ceil(1_000).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Answers for a path that is not there.
pub(crate) async fn not_found() -> Problem {
    Fault::of(ErrorCode::NotFound).into()
}

/// Answers for a path that is there, but not with this method.
pub(crate) async fn method_not_allowed() -> Problem {
    Fault::of(ErrorCode::MethodNotAllowed).into()
}

/// Makes the id by which a failed request is found in the log.
pub(crate) fn request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Renders a problem outside the router.
pub(crate) fn answer(fault: Fault) -> Response {
    let request_id = request_id();
    Problem::from(fault).render(&Response::default(), &request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_carries_the_fault_and_when_to_come_back() {
        let response = answer(Fault::of(ErrorCode::OverCapacity).retry_after(1_200));
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["code"], "over_capacity");
        assert_eq!(document["type"], "urn:chatcluster:error:over_capacity");
        assert_eq!(document["retry_after_ms"], 1_200);
        assert_eq!(document["status"], 503);
        assert_eq!(document["temporary"], true);
    }
}
