//! The one public table of error codes and close codes (protocol v1, sections 2 and 4). `docs/codes.md` is made of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident = $text:literal, $http:literal, $temporary:literal, $(closes $close:ident,)? $remedy:literal;
    )+) => {
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

            /// Returns what a socket is closed with for the same reason, where it does not go on.
            pub fn close_code(self) -> Option<CloseCode> {
                let closes: &[CloseCode] = match self { $(Self::$name => &[$(CloseCode::$close)?],)+ };
                closes.first().copied()
            }

            /// Returns what the code means.
            pub fn meaning(self) -> &'static str { match self { $(Self::$name => concat!($($doc),+).trim_start(),)+ } }

            /// Returns what a client does about it.
            pub fn remedy(self) -> &'static str { match self { $(Self::$name => $remedy,)+ } }

            /// Returns both, for people.
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc,)+ " ", $remedy).trim_start(),)+ }
            }
        }
    };
}

error_codes! {
    /// The text is not a JSON object in the envelope.
    InvalidJson = "invalid_json", 400, false, closes ProtocolError,
        "Fix the client; ten malformed frames in a row close the socket.";
    /// There is no such frame type.
    UnknownType = "unknown_type", 400, false, closes ProtocolError,
        "Fix the client; ten malformed frames in a row close the socket.";
    /// A field is missing, of the wrong type or out of range; `field` names it.
    InvalidArgument = "invalid_argument", 400, false, closes ProtocolError,
        "Fix the request; ten malformed frames in a row close the socket.";
    /// The cursor is not one of ours, has aged out or belongs to other filters.
    InvalidCursor = "invalid_cursor", 400, false, "Start again without it.";
    /// No token was given yet.
    Unauthenticated = "unauthenticated", 401, false, closes AuthTimeout, "Send one.";
    /// The token's signature, issuer, audience or user id is wrong, or its user was signed out.
    BadToken = "bad_token", 401, false, closes BadToken, "Do not repeat: the user signs in again, or the source of tokens is wrong.";
    /// The token has expired.
    TokenExpired = "token_expired", 401, false, closes TokenExpired, "Get a new one, then repeat.";
    /// Scope, role or authorship do not allow it, or the caller is no longer a member.
    Forbidden = "forbidden", 403, false, closes Forbidden, "Do not repeat; offer only what the token and the role allow.";
    /// One of the two has blocked the other.
    Blocked = "blocked", 403, false, "Do not repeat; tell the user that it did not go out.";
    /// The page's origin is not on the list.
    OriginNotAllowed = "origin_not_allowed", 403, false, "Ask the operator of the service to add it.";
    /// There is no such chat, or the caller was never a member of it.
    ChatNotFound = "chat_not_found", 404, false, "Drop the chat.";
    /// There is no such message, it is outside what the caller may see, or (to change it) it is deleted.
    MessageNotFound = "message_not_found", 404, false, "Drop the message, or `sync` its chat.";
    /// There is no such thing.
    NotFound = "not_found", 404, false, "Check the path and its ids.";
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", 405, false, "Use a method that `Allow` names.";
    /// The body is not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415, false, "Send JSON, and say so in `Content-Type`.";
    /// That `chat_id` is another's.
    ChatExists = "chat_exists", 409, false, "Make another id.";
    /// A group keeps one ADMIN.
    LastAdmin = "last_admin", 409, false, "Make another member ADMIN first.";
    /// The group has as many members as a group may have.
    GroupFull = "group_full", 409, false, "Remove a member first.";
    /// Another count limit is reached; `field` names it.
    LimitExceeded = "limit_exceeded", 409, false, "Remove one of them first.";
    /// Content, name or `meta` is too large; `field` names it.
    ContentTooLarge = "content_too_large", 413, false, "Shorten it; `hello` tells the limit of content.";
    /// The body is too large; over a socket the frame.
    FrameTooLarge = "frame_too_large", 413, false, closes FrameTooLarge, "Send less at once; `hello` tells the limit.";
    /// Too many requests.
    RateLimited = "rate_limited", 429, true, closes Flooding, "Wait `retry_after_ms`, then repeat.";
    /// A defect; `request_id` finds it in the server's log.
    Internal = "internal", 500, true, closes Internal, "Repeat with back-off and the same ids, and report it.";
    /// Search or push is off in this `ChatCluster`.
    NotEnabled = "not_enabled", 501, false, "Hide what needs it.";
    /// The gateway is full or draining.
    OverCapacity = "over_capacity", 503, true, closes OverCapacity, "Wait `retry_after_ms`, then repeat: another one will serve.";
    /// The log is slow or full: nothing was written.
    Overloaded = "overloaded", 503, true, "Wait `retry_after_ms`, then repeat with the same ids.";
    /// A part did not answer in time: the outcome is unknown.
    Unavailable = "unavailable", 503, true, "Wait `retry_after_ms`, then repeat with the same ids.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! close_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal, $remedy:literal;)+) => {
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

            /// Returns what the code means.
            pub fn meaning(self) -> &'static str { match self { $(Self::$name => concat!($($doc),+).trim_start(),)+ } }

            /// Returns what a client does about it.
            pub fn remedy(self) -> &'static str { match self { $(Self::$name => $remedy,)+ } }
        }
    };
}

close_codes! {
    /// The server restarts.
    Restart = 4000, "restart", "Reconnect.";
    /// The gateway drains.
    Drain = 4001, "drain", "Reconnect; at once if `reconnect` was obeyed.";
    /// The client did not read fast enough.
    SlowConsumer = 4002, "slow_consumer", "Reconnect, then `sync`.";
    /// Nothing came from the client for 30 s.
    HeartbeatMissed = 4003, "heartbeat_missed", "Reconnect, then `sync`; send `ping` every `heartbeat_ms`.";
    /// A defect in the server.
    Internal = 4004, "internal", "Reconnect.";
    /// The gateway is full, or cannot judge the token now.
    OverCapacity = 4005, "over_capacity", "Reconnect: another one will serve.";
    /// The token expired.
    TokenExpired = 4006, "token_expired", "Get a new one, then reconnect.";
    /// No token came within the time to authenticate.
    AuthTimeout = 4007, "auth_timeout", "Reconnect with a token.";
    /// Too many frames.
    Flooding = 4008, "flooding", "Reconnect with back-off from 5 s, and send less.";
    /// The token is not valid.
    BadToken = 4500, "bad_token", "Stop: the source of tokens is wrong.";
    /// Binary frames, or ten malformed frames in a row.
    ProtocolError = 4501, "protocol_error", "Stop, and fix the client.";
    /// The scope does not allow it, or `auth` named another user.
    Forbidden = 4502, "forbidden", "Stop: the token is not for this.";
    /// Over the connections per user: the least active is closed.
    Replaced = 4503, "replaced", "Stop until the user is back.";
    /// A frame was larger than `max_frame_bytes` (1009 where the library closes first).
    FrameTooLarge = 4504, "frame_too_large", "Stop, and fix the client.";
    /// Signed out by an administrator.
    Revoked = 4505, "revoked", "Stop: the user signs in again.";
}

impl CloseCode {
    /// Returns whether a client should reconnect; the rule is the range, so that it holds for codes to come.
    pub fn should_reconnect(self) -> bool {
        (4000..4500).contains(&self.code())
    }
}

#[cfg(test)]
mod tests;
