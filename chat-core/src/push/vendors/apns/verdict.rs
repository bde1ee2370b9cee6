//! What Apple's answers mean. Pure.

use serde::Deserialize;

use crate::clock::Time;
use crate::push::PushAnswer;
use crate::push::vendors::standing::Verdict;
use crate::push::vendors::transport::Reply;

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    reason: Option<String>,
    /// Milliseconds since 1970: when Apple last found the token dead. With status 410.
    #[serde(default)]
    timestamp: Option<u64>,
}

/// Judges an answer, as the table "Handling notification responses from APNs" has it.
pub(super) fn judge(reply: &Reply, now: Time) -> Verdict {
    let body: Body = serde_json::from_slice(&reply.body).unwrap_or_default();
    let reason = body.reason.unwrap_or_else(|| format!("HTTP {}", reply.status));
    match (reply.status, reason.as_str()) {
        (200, _) => Verdict::Answer(PushAnswer::Accepted),
        (410, _) => Verdict::Answer(PushAnswer::InvalidToken { reason, since: body.timestamp.map(Time::from_millis) }),
        (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => Verdict::Stranger { reason },
        (403, "ExpiredProviderToken") => Verdict::Stale { reason },
        (403, _) | (400, "BadTopic" | "MissingTopic" | "TopicDisallowed") => Verdict::Misconfigured { reason },
        (429 | 500..=599, _) | (400, "IdleTimeout") => Verdict::later(reason, reply.retry_after_ms(now)),
        _ => Verdict::Answer(PushAnswer::Refused { reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_apple_says() {
        let stranger = |reason: &str| Verdict::Stranger { reason: reason.into() };
        let misconfigured = |reason: &str| Verdict::Misconfigured { reason: reason.into() };
        let refused = |reason: &str| Verdict::Answer(PushAnswer::Refused { reason: reason.into() });
        let later = |reason: &str, ms| Verdict::later(reason.into(), ms);
        let invalid = |reason: &str, since: Option<u64>| {
            let since = since.map(Time::from_millis);
            Verdict::Answer(PushAnswer::InvalidToken { reason: reason.into(), since })
        };
        for (status, body, retry_after, expected) in [
            (200, "", None, Verdict::Answer(PushAnswer::Accepted)),
            (400, r#"{"reason":"BadDeviceToken"}"#, None, stranger("BadDeviceToken")),
            (400, r#"{"reason":"DeviceTokenNotForTopic"}"#, None, stranger("DeviceTokenNotForTopic")),
            (400, r#"{"reason":"MissingTopic"}"#, None, misconfigured("MissingTopic")),
            (400, r#"{"reason":"TopicDisallowed"}"#, None, misconfigured("TopicDisallowed")),
            (400, r#"{"reason":"BadCollapseId"}"#, None, refused("BadCollapseId")),
            (400, r#"{"reason":"IdleTimeout"}"#, None, later("IdleTimeout", None)),
            (403, r#"{"reason":"InvalidProviderToken"}"#, None, misconfigured("InvalidProviderToken")),
            (
                403,
                r#"{"reason":"ExpiredProviderToken"}"#,
                None,
                Verdict::Stale { reason: "ExpiredProviderToken".into() },
            ),
            (404, r#"{"reason":"BadPath"}"#, None, refused("BadPath")),
            (410, r#"{"reason":"Unregistered","timestamp":1764000000120}"#, None, {
                invalid("Unregistered", Some(1_764_000_000_120))
            }),
            (410, r#"{"reason":"ExpiredToken"}"#, None, invalid("ExpiredToken", None)),
            (413, r#"{"reason":"PayloadTooLarge"}"#, None, refused("PayloadTooLarge")),
            (429, r#"{"reason":"TooManyRequests"}"#, Some("7"), later("TooManyRequests", Some(7_000))),
            (500, r#"{"reason":"InternalServerError"}"#, None, later("InternalServerError", None)),
            (503, r#"{"reason":"Shutdown"}"#, None, later("Shutdown", None)),
            (502, "<html>", None, later("HTTP 502", None)),
            (302, "", None, refused("HTTP 302")),
        ] {
            let reply = Reply { status, retry_after: retry_after.map(str::to_owned), body: body.into() };
            assert_eq!(judge(&reply, Time::default()), expected, "{status} {body}");
        }
    }
}
