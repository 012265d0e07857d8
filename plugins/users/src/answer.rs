//! Answers that refuse, as the reference's clients read them.

use jackfield_sdk::prelude::*;
use serde_json::{Value, json};

/// A status and a body.
pub(crate) type Refused = (StatusCode, Json<Value>);
pub(crate) type Answer<T> = std::result::Result<Json<T>, Refused>;

/// `{"error":…}`.
pub(crate) fn refused<T>(status: StatusCode, error: &str) -> Answer<T> {
    Err((status, Json(json!({ "error": error }))))
}

/// `{"error":…,"detail":…}`: a code, and what people read.
pub(crate) fn refused_with(status: StatusCode, error: &str, detail: &str) -> Refused {
    (status, Json(json!({ "error": error, "detail": detail })))
}

/// `{"detail":…}`.
pub(crate) fn detail(status: StatusCode, text: &str) -> Refused {
    (status, Json(json!({ "detail": text })))
}

/// The host's word is missing; whoever calls may try again.
pub(crate) fn away(error: Error) -> Refused {
    tracing::error!(%error, "the host does not answer");
    refused_with(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "try again")
}
