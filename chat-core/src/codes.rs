//! The one public table of error codes and close codes (protocol v1, sections 2 and 4).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $http:literal, $temporary:literal;)+) => {
        /// Says why a request failed. Clients branch on the code; the message beside it is for people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode { $($(#[doc = $doc])+ $name,)+ }

        impl ErrorCode {
            /// All codes, in the order of the public table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the code as it stands on the wire.
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $text,)+ } }

            /// Returns the HTTP status that REST answers with.
            pub fn http_status(self) -> u16 { match self { $(Self::$name => $http,)+ } }

            /// Returns whether the same request may succeed later.
            pub fn is_temporary(self) -> bool { match self { $(Self::$name => $temporary,)+ } }

            /// Returns what the code means and what to do, for people and for the generated documents.
            pub fn meaning(self) -> &'static str { match self { $(Self::$name => concat!($($doc),+).trim_start(),)+ } }
        }
    };
}

error_codes! {
    /// The text is not a JSON object in the envelope.
    InvalidJson = "invalid_json", 400, false;
    /// There is no such frame type.
    UnknownType = "unknown_type", 400, false;
    /// A field is missing, of the wrong type or out of range; `field` names it.
    InvalidArgument = "invalid_argument", 400, false;
    /// The cursor is not one of ours or has aged out: start again without it.
    InvalidCursor = "invalid_cursor", 400, false;
    /// No token was given yet.
    Unauthenticated = "unauthenticated", 401, false;
    /// The token's signature, issuer, audience or user id is wrong.
    BadToken = "bad_token", 401, false;
    /// The token has expired: repeat with a new one.
    TokenExpired = "token_expired", 401, false;
    /// Scope, role or authorship do not allow it, or the caller is no longer a member.
    Forbidden = "forbidden", 403, false;
    /// One of the two has blocked the other.
    Blocked = "blocked", 403, false;
    /// The page's origin is not on the list: ask the operator of the service.
    OriginNotAllowed = "origin_not_allowed", 403, false;
    /// There is no such chat, or the caller was never a member of it.
    ChatNotFound = "chat_not_found", 404, false;
    /// There is no such message, it is outside what the caller may see, or (to change it) it is deleted.
    MessageNotFound = "message_not_found", 404, false;
    /// There is no such thing.
    NotFound = "not_found", 404, false;
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", 405, false;
    /// The body is not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415, false;
    /// That `chat_id` is another's.
    ChatExists = "chat_exists", 409, false;
    /// A group keeps one ADMIN.
    LastAdmin = "last_admin", 409, false;
    /// The group has as many members as a group may have.
    GroupFull = "group_full", 409, false;
    /// Another count limit is reached; `field` names it.
    LimitExceeded = "limit_exceeded", 409, false;
    /// Content, name or `meta` is too large.
    ContentTooLarge = "content_too_large", 413, false;
    /// The body is too large (a frame over a socket closes 4504).
    FrameTooLarge = "frame_too_large", 413, false;
    /// Too many requests: wait `retry_after_ms`.
    RateLimited = "rate_limited", 429, true;
    /// A defect; `request_id` finds it in the log.
    Internal = "internal", 500, true;
    /// Search or push is off in this `ChatCluster`.
    NotEnabled = "not_enabled", 501, false;
    /// The gateway is full or draining: another one will serve.
    OverCapacity = "over_capacity", 503, true;
    /// The log is slow or full: nothing was written.
    Overloaded = "overloaded", 503, true;
    /// A part did not answer in time: the outcome is unknown, repeat with the same ids.
    Unavailable = "unavailable", 503, true;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! close_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal;)+) => {
        /// Says why the server closed a socket; the close reason is the name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CloseCode { $($(#[doc = $doc])+ $name,)+ }

        impl CloseCode {
            /// All codes, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the WebSocket close code.
            pub fn code(self) -> u16 { match self { $(Self::$name => $code,)+ } }

            /// Returns the name, which is the close reason on the wire.
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $text,)+ } }

            /// Returns what the code means and what to do.
            pub fn meaning(self) -> &'static str { match self { $(Self::$name => concat!($($doc),+).trim_start(),)+ } }
        }
    };
}

close_codes! {
    /// The server restarts.
    Restart = 4000, "restart";
    /// The gateway drains; reconnect at once if `reconnect` was obeyed.
    Drain = 4001, "drain";
    /// The client did not read fast enough: reconnect, then `sync`.
    SlowConsumer = 4002, "slow_consumer";
    /// Nothing came from the client for 30 s.
    HeartbeatMissed = 4003, "heartbeat_missed";
    /// A defect in the server.
    Internal = 4004, "internal";
    /// The gateway is full.
    OverCapacity = 4005, "over_capacity";
    /// The token expired: get a new one.
    TokenExpired = 4006, "token_expired";
    /// No token came within the time to authenticate.
    AuthTimeout = 4007, "auth_timeout";
    /// Too many frames: back off from 5 s.
    Flooding = 4008, "flooding";
    /// The token is not valid: fix the token source.
    BadToken = 4500, "bad_token";
    /// Binary frames, or ten malformed frames in a row.
    ProtocolError = 4501, "protocol_error";
    /// The scope does not allow it, or `auth` named another user.
    Forbidden = 4502, "forbidden";
    /// Over the connections per user: the least active is closed.
    Replaced = 4503, "replaced";
    /// A frame was larger than `max_frame_bytes` (1009 where the library closes first).
    FrameTooLarge = 4504, "frame_too_large";
    /// Signed out by an administrator.
    Revoked = 4505, "revoked";
}

impl CloseCode {
    /// Returns whether a client should reconnect; the rule is the range, so that it holds for codes to come.
    pub fn should_reconnect(self) -> bool {
        (4000..4500).contains(&self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_of_a_code_is_its_name() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
            assert!(!code.meaning().is_empty());
            assert_eq!(code.is_temporary(), matches!(code.http_status(), 429 | 500 | 503), "{code}");
        }
    }

    #[test]
    fn close_codes_ascend_and_their_range_says_what_to_do() {
        assert!(CloseCode::ALL.windows(2).all(|w| w[0].code() < w[1].code()));
        assert!(CloseCode::Flooding.should_reconnect());
        assert!(!CloseCode::BadToken.should_reconnect());
    }
}
