//! Answers that refuse, as the reference's clients read them.

use jackfield_sdk::{prelude::*, serde::de::DeserializeOwned};
use serde_json::{Map, Value, json};

/// A status and a body.
pub(crate) type Refused = (StatusCode, Json<Value>);
pub(crate) type Answer<T> = std::result::Result<Json<T>, Refused>;

/// What was done, in a sentence.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "it describes answers, which are written by hand as the reference has them"
)]
pub(crate) struct Message {
    message: String,
}

/// Where the client goes on.
#[derive(ToSchema)]
#[allow(dead_code, reason = "as above")]
pub(crate) struct RedirectUrl {
    redirect_url: String,
}

/// Why something was not done.
#[derive(ToSchema)]
#[allow(dead_code, reason = "as above")]
pub(crate) struct Refusal {
    /// A code, or a sentence.
    error: Option<String>,
    /// More: a sentence, or the mistakes of a body.
    detail: Option<Value>,
}

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

/// A body that may be left out; `wrong` tells what it has to be when it is no JSON object of that kind.
pub(crate) fn optional<T: Default + DeserializeOwned>(body: &[u8], wrong: &str) -> std::result::Result<T, Refused> {
    if body.is_empty() {
        return Ok(T::default());
    }
    // An array would do for serde: its elements in the order of the fields.
    let object = serde_json::from_slice::<Map<String, Value>>(body);
    let read = object.and_then(|object| serde_json::from_value(Value::Object(object)));
    read.map_err(|_| detail(StatusCode::UNPROCESSABLE_ENTITY, wrong))
}

/// The host's word is missing; whoever calls may try again.
pub(crate) fn away(error: Error) -> Refused {
    tracing::error!(%error, "the host does not answer");
    refused_with(StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "try again")
}
