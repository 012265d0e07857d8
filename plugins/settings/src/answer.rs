//! Answers in the shapes that the reference's clients read: `error`, `message`, and the list of a body's mistakes.

use jackfield_sdk::{
    http::{HeaderName, header},
    prelude::*,
};
use serde_json::{Value, json};

pub(crate) type Answer<T> = std::result::Result<T, Refused>;

/// `{"error":…}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsError {
    /// What is wrong.
    error: String,
}

/// `{"message":…}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsMessage {
    /// What was done, or why not.
    message: String,
}

/// `{"detail":[…]}`: everything that is wrong with a body.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingsMistakes {
    /// Each mistake.
    detail: Vec<Mistake>,
}

/// One mistake in a body.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mistake {
    /// Its kind, in the words of the reference's validator: `bool_type`, `missing`, …
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Where: `["body", "mcp_config", "sse_servers", 0, "url"]`.
    pub(crate) loc: Vec<Value>,
    /// What is wrong.
    pub(crate) msg: String,
    /// What was sent; never that of a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Value>,
    /// Values of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ctx: Option<Value>,
}

/// Why a request is not served.
pub(crate) enum Refused {
    /// `{"error":…}`.
    Error(StatusCode, String),
    /// `{"message":…}`.
    Message(StatusCode, String),
    /// What is wrong with the body.
    Mistakes(Vec<Mistake>),
    /// `If-Match` names another version than the one that is there.
    Stale(Option<i64>),
}

impl Refused {
    pub(crate) fn error(status: StatusCode, text: impl Into<String>) -> Self {
        Self::Error(status, text.into())
    }

    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self::Message(StatusCode::BAD_REQUEST, text.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        match self {
            Self::Error(status, error) => (status, Json(SettingsError { error })).into_response(),
            Self::Message(status, message) => (status, Json(SettingsMessage { message })).into_response(),
            Self::Mistakes(detail) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Json(SettingsMistakes { detail })).into_response()
            }
            Self::Stale(version) => {
                let error = "The settings have changed since they were read; read them again".to_owned();
                let body = Json(SettingsError { error });
                match version {
                    Some(version) => (StatusCode::PRECONDITION_FAILED, [etag(version)], body).into_response(),
                    None => (StatusCode::PRECONDITION_FAILED, body).into_response(),
                }
            }
        }
    }
}

/// A failure of the host: logged with its cause, told in the reference's words.
pub(crate) fn failed(told: &'static str) -> impl Fn(Error) -> Refused + Copy {
    move |error| {
        tracing::error!(%error, told, "a settings route failed");
        Refused::error(StatusCode::INTERNAL_SERVER_ERROR, told)
    }
}

/// `{"message":…}` for what succeeded.
pub(crate) fn done(message: &str) -> Json<Value> {
    Json(json!({ "message": message }))
}

/// The header that names a version.
pub(crate) fn etag(version: i64) -> (HeaderName, String) {
    (header::ETAG, format!("\"{version}\""))
}
