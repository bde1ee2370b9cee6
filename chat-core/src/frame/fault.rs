//! What a failed request is answered with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes::ErrorCode;

/// An error as clients see it, in frames and in REST bodies alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// The code clients branch on.
    pub code: ErrorCode,
    /// For people: what is wrong, and what to do.
    pub message: String,
    /// Whether the same request may succeed later.
    pub temporary: bool,
    /// Wait this long before the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The field at fault, as a path from `d` or the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Fault {
    /// Makes a fault of `code` with a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), temporary: code.is_temporary(), retry_after_ms: None, field: None }
    }

    /// Makes a fault of `code` with the table's own words.
    pub fn of(code: ErrorCode) -> Self {
        Self::new(code, code.message())
    }

    /// Makes an `invalid_argument` that names its field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(ErrorCode::InvalidArgument, message) }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at_field(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// Says how long to wait.
    #[must_use]
    pub fn retry_after(self, millis: u64) -> Self {
        Self { retry_after_ms: Some(millis), ..self }
    }
}
