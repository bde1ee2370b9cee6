//! Browsers of other origins. No cookie is ever read, so there is nothing to forge, and credentials are never allowed.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

/// Returns whether a request may come from where it says it does. Without an `Origin` it is no browser.
pub(super) fn is_allowed(origins: &[String], headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_none_or(|origin| origins.iter().any(|allowed| allowed == "*" || *origin == **allowed))
}

/// Returns the origin to name in the answer.
pub(super) fn allowed(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if origins.iter().any(|allowed| allowed == "*") {
        Some(HeaderValue::from_static("*"))
    } else {
        is_allowed(origins, headers).then(|| origin.clone())
    }
}

/// Answers a preflight request.
pub(super) fn preflight(request: &Request) -> Option<Response> {
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    is_preflight.then(|| {
        let allow = [
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type, idempotency-key, last-event-id"),
            (ACCESS_CONTROL_MAX_AGE, "7200"),
        ];
        (StatusCode::NO_CONTENT, allow).into_response()
    })
}

/// Tells the browser that the page may read the answer.
pub(super) fn decorate(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_whole() {
        let list = vec!["https://app.example".to_owned()];
        let from = |origin: &str| HeaderMap::from_iter([(ORIGIN, HeaderValue::from_str(origin).unwrap())]);
        assert!(is_allowed(&list, &from("https://app.example")));
        assert!(!is_allowed(&list, &from("https://app.example.evil")));
        assert!(!is_allowed(&list, &from("http://app.example")));
        assert!(is_allowed(&list, &HeaderMap::new()));
        assert!(is_allowed(&["*".to_owned()], &from("https://any.example")));
        assert_eq!(allowed(&list, &from("https://evil.example")), None);
    }
}
