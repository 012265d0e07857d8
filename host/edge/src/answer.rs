//! Answers that are written in more than one place.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};

/// JSON that is already text, with its content type.
pub fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
