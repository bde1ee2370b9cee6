//! What a request says: its JSON body, its query, the ids in its path and headers. Each refusal names its field.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query as AxumQuery, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use chat_core::codes::ErrorCode;
use chat_core::frame::Fault;
use chat_core::frame::client::{field_of, nesting};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::problem::Problem;
use crate::state::State;

/// Deepest nesting of a body.
const MAX_NESTING: usize = 16;

/// A body that takes longer is given up.
const READ_WITHIN: Duration = Duration::from_secs(15);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<State>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, Problem> {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = content_type.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Fault::of(ErrorCode::UnsupportedMediaType).into());
        }
        let limited = Limited::new(request.into_body(), state.config.limits.frame_bytes);
        let body = match tokio::time::timeout(READ_WITHIN, limited.collect()).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(Fault::of(ErrorCode::FrameTooLarge).into());
            }
            Ok(Err(_)) | Err(_) => {
                return Err(Fault::new(ErrorCode::InvalidJson, "the body did not arrive whole").into());
            }
        };
        parse(&body).map(Self).map_err(Problem::from)
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let not_json = |message: &str| Fault::new(ErrorCode::InvalidJson, message);
    let text = std::str::from_utf8(body).map_err(|_| not_json("the body is not UTF-8"))?;
    if nesting(text) > MAX_NESTING {
        return Err(not_json("the body nests deeper than 16"));
    }
    serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            Fault::invalid(field_of(&error), error.to_string())
        } else {
            not_json(&format!("the body is not JSON: {error}"))
        }
    })
}

/// A query.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<State>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<State>) -> Result<Self, Problem> {
        match AxumQuery::<T>::try_from_uri(&parts.uri) {
            Ok(AxumQuery(query)) => Ok(Self(query)),
            Err(rejection) => Err(Fault::invalid("query", rejection.body_text()).into()),
        }
    }
}

/// Ids in the path.
#[derive(Debug)]
pub(super) struct Ids<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<State>> for Ids<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self(ids)),
            Err(rejection) => Err(Fault::invalid("path", rejection.body_text()).into()),
        }
    }
}

/// Reads the `Idempotency-Key` header: the id of a change whose body has none.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Uuid>, Fault> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse::<chat_core::id::OpId>().ok());
    let id = parsed.ok_or_else(|| Fault::invalid("idempotency-key", "an idempotency key is a UUID of version 7"))?;
    Ok(Some(id.0))
}

/// Checks the `limit` of a list.
pub(super) fn page_size(limit: Option<u64>) -> Result<usize, Fault> {
    match limit.unwrap_or(50) {
        limit @ 1..=200 => Ok(usize::try_from(limit).unwrap_or(200)),
        _ => Err(Fault::invalid("limit", "a limit is 1 to 200")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Named {
        #[expect(dead_code, reason = "only parsed")]
        name: String,
    }

    #[test]
    fn a_bad_body_is_told_from_a_wrong_field() {
        let fault = |body: &[u8]| parse::<Named>(body).map(drop).unwrap_err();
        assert_eq!(fault(b"{").code, ErrorCode::InvalidJson);
        assert_eq!(fault(b"\xff").code, ErrorCode::InvalidJson);
        assert_eq!(fault(b"{}").field.as_deref(), Some("name"));
        let deep = format!("{{\"name\":{}1{}}}", "[".repeat(20), "]".repeat(20));
        assert_eq!(fault(deep.as_bytes()).code, ErrorCode::InvalidJson);
    }
}
