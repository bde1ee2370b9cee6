//! Who may come in: tokens, their keys, and what they allow.

use std::fmt;

use chat_core::clock::Time;
use chat_core::codes::{CloseCode, ErrorCode};
use chat_core::frame::Fault;
use chat_core::id::UserId;

mod jwks;
mod keys;
mod scope;
mod verifier;

pub use jwks::{FetchError, SetError};
pub(crate) use scope::Scopes;
pub use verifier::ConfigError;
pub(crate) use verifier::Verifiers;

/// Largest token taken, in bytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 4 * 1024;

/// When to try again with a token that could not be judged.
const UNSURE_RETRY_MS: u64 = 2_000;

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: UserId,
    pub(crate) scopes: Scopes,
    /// When it was issued, where it says so: older ones than a revocation are refused.
    pub(crate) issued_at: Option<Time>,
    pub(crate) expires_at: Time,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not one of ours, or names no user.
    Bad(&'static str),
    /// It was good once.
    Expired,
    /// It is from before its user was signed out by an administrator.
    Revoked,
    /// It cannot be judged: its issuer's keys cannot be fetched now.
    Unsure,
}

impl Refused {
    /// Returns the error that a request is answered with.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::Bad(why) => Fault::new(ErrorCode::BadToken, why),
            Self::Expired => Fault::of(ErrorCode::TokenExpired),
            Self::Revoked => Fault::new(ErrorCode::BadToken, "the token was revoked: sign in again"),
            Self::Unsure => Fault::new(ErrorCode::Unavailable, "the keys of the token's issuer cannot be fetched now")
                .retry_after(UNSURE_RETRY_MS),
        }
    }

    /// Returns the code that a socket is closed with.
    pub(crate) fn close_code(self) -> CloseCode {
        match self {
            Self::Bad(_) => CloseCode::BadToken,
            Self::Expired => CloseCode::TokenExpired,
            Self::Revoked => CloseCode::Revoked,
            // As before the upgrade, where a gateway without keys is not ready: another one may have them.
            Self::Unsure => CloseCode::OverCapacity,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(why) => f.write_str(why),
            Self::Expired => f.write_str("the token has expired"),
            Self::Revoked => f.write_str("the token was revoked"),
            Self::Unsure => f.write_str("the keys of the token's issuer cannot be fetched"),
        }
    }
}
