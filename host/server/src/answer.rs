//! Error bodies of the host's own routes.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

/// `{"error":…,"detail":…}`.
pub(crate) fn error(status: StatusCode, code: &str, detail: &str) -> Response {
    (
        status,
        axum::Json(serde_json::json!({ "error": code, "detail": detail })),
    )
        .into_response()
}
