//! What Google's answers mean. Pure.

use serde::Deserialize;

use crate::clock::Time;
use crate::push::PushAnswer;
use crate::push::vendors::standing::Verdict;
use crate::push::vendors::transport::Reply;

/// How long to wait after `QUOTA_EXCEEDED` where Google does not say, in milliseconds: a minute, by its advice.
const QUOTA_PAUSE_MS: u64 = 60_000;

#[derive(Deserialize)]
struct Body {
    error: Fault,
}

/// `google.rpc.Status`.
#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Fault {
    status: Option<String>,
    details: Vec<Detail>,
}

/// `google.firebase.fcm.v1.FcmError` or `google.rpc.BadRequest`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    error_code: Option<String>,
    field_violations: Vec<Violation>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Violation {
    field: String,
}

/// Judges an answer, as the table "FCM error codes" has it.
pub(super) fn judge(reply: &Reply, now: Time) -> Verdict {
    if reply.status == 200 {
        return Verdict::Answer(PushAnswer::Accepted);
    }
    let fault = serde_json::from_slice::<Body>(&reply.body).map(|body| body.error).unwrap_or_default();
    let blames_token =
        fault.details.iter().flat_map(|detail| &detail.field_violations).any(|found| found.field == "message.token");
    let code = fault.details.into_iter().find_map(|detail| detail.error_code);
    let reason = code.or(fault.status).unwrap_or_else(|| format!("HTTP {}", reply.status));
    match (reply.status, reason.as_str()) {
        (_, "UNREGISTERED") => Verdict::Answer(PushAnswer::InvalidToken { reason, since: None }),
        (400, _) if blames_token => Verdict::Answer(PushAnswer::InvalidToken { reason, since: None }),
        // The token is another sender's. Ours may be the wrong one, so the device is not marked.
        (_, "SENDER_ID_MISMATCH") => Verdict::Answer(PushAnswer::Refused { reason }),
        (401, "UNAUTHENTICATED") => Verdict::Stale { reason },
        (401 | 403 | 404, _) => Verdict::Misconfigured { reason },
        (429, _) => Verdict::later(reason, reply.retry_after_ms(now).or(Some(QUOTA_PAUSE_MS))),
        (500..=599, _) => Verdict::later(reason, reply.retry_after_ms(now)),
        _ => Verdict::Answer(PushAnswer::Refused { reason }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_mean_what_google_says() {
        let code = |code: &str| json!({"error": {"status": "NOT_FOUND", "details": [{"errorCode": code}]}});
        let status = |status: &str| json!({"error": {"status": status, "message": "words"}});
        let violation = json!({"error": {"status": "INVALID_ARGUMENT", "details": [
            {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT"},
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "message.token"}]},
        ]}});
        let invalid = |reason: &str| Verdict::Answer(PushAnswer::InvalidToken { reason: reason.into(), since: None });
        let refused = |reason: &str| Verdict::Answer(PushAnswer::Refused { reason: reason.into() });
        let misconfigured = |reason: &str| Verdict::Misconfigured { reason: reason.into() };
        let later = |reason: &str, ms| Verdict::later(reason.into(), ms);
        for (http, body, retry_after, expected) in [
            (200, json!({"name": "projects/p/messages/1"}), None, Verdict::Answer(PushAnswer::Accepted)),
            (404, code("UNREGISTERED"), None, invalid("UNREGISTERED")),
            (400, code("INVALID_ARGUMENT"), None, refused("INVALID_ARGUMENT")),
            (400, violation, None, invalid("INVALID_ARGUMENT")),
            (403, code("SENDER_ID_MISMATCH"), None, refused("SENDER_ID_MISMATCH")),
            (401, status("UNAUTHENTICATED"), None, Verdict::Stale { reason: "UNAUTHENTICATED".into() }),
            (401, code("THIRD_PARTY_AUTH_ERROR"), None, misconfigured("THIRD_PARTY_AUTH_ERROR")),
            (403, status("PERMISSION_DENIED"), None, misconfigured("PERMISSION_DENIED")),
            (404, status("NOT_FOUND"), None, misconfigured("NOT_FOUND")),
            (429, code("QUOTA_EXCEEDED"), Some("30"), later("QUOTA_EXCEEDED", Some(30_000))),
            (429, code("QUOTA_EXCEEDED"), None, later("QUOTA_EXCEEDED", Some(60_000))),
            (503, code("UNAVAILABLE"), Some("5"), later("UNAVAILABLE", Some(5_000))),
            (500, status("INTERNAL"), None, later("INTERNAL", None)),
            (502, json!("<html>"), None, later("HTTP 502", None)),
        ] {
            let retry_after = retry_after.map(str::to_owned);
            let reply = Reply { status: http, retry_after, body: serde_json::to_vec(&body).unwrap() };
            assert_eq!(judge(&reply, Time::default()), expected, "{http} {body}");
        }
    }
}
