//! CORS exactly as the reference answers it (`spec/10` §6).

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};

const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// Origins that may call with credentials; can be changed while it serves.
#[derive(Clone, Default)]
pub struct CorsOrigins(Arc<ArcSwap<Vec<String>>>);

impl CorsOrigins {
    /// These origins; `*` is every origin.
    pub fn new(origins: Vec<String>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(origins)))
    }

    /// Other origins from now on.
    pub fn set(&self, origins: Vec<String>) {
        self.0.store(Arc::new(origins));
    }

    fn allow(&self, origin: &str) -> bool {
        self.0.load().iter().any(|allowed| allowed == "*" || allowed == origin)
    }

    /// The answer to a preflight; none when it is not one.
    pub(crate) fn preflight(&self, request: &Request<Body>) -> Option<Response> {
        let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        if request.method() != Method::OPTIONS {
            return None;
        }
        let origin = text(header::ORIGIN)?;
        let method = text(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let mut wrong = Vec::new();
        if !self.allow(origin) {
            wrong.push("origin");
        }
        if !METHODS.split(", ").any(|known| known == method) {
            wrong.push("method");
        }
        let body = if wrong.is_empty() {
            "OK".to_owned()
        } else {
            format!("Disallowed CORS {}", wrong.join(", "))
        };
        let mut response = Response::new(Body::from(body));
        if !wrong.is_empty() {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        if self.allow(origin) {
            copy(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        if let Some(wanted) = text(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            copy(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
        Some(response)
    }

    /// Adds what an actual request's answer carries.
    pub(crate) fn add(&self, origin: Option<&HeaderValue>, response: &mut Response) {
        let Some(origin) = origin.and_then(|origin| origin.to_str().ok()) else {
            return;
        };
        let headers = response.headers_mut();
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        if self.allow(origin) {
            copy(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

fn copy(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn preflight(origin: &str, method: &str) -> Response {
        let request = Request::options("/x")
            .header("origin", origin)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "X-A")
            .body(Body::empty())
            .unwrap();
        CorsOrigins::new(vec!["https://app.example".to_owned()])
            .preflight(&request)
            .unwrap()
    }

    #[test]
    fn preflights() {
        let good = preflight("https://app.example", "PUT");
        assert_eq!(good.status(), 200);
        assert_eq!(good.headers()["access-control-allow-origin"], "https://app.example");
        assert_eq!(good.headers()["access-control-allow-headers"], "X-A");
        assert_eq!(good.headers()["access-control-max-age"], "600");
        let bad = preflight("https://evil.example", "TRACE");
        assert_eq!(bad.status(), 400);
        assert!(!bad.headers().contains_key("access-control-allow-origin"));
    }

    #[test]
    fn actual_requests() {
        let origins = CorsOrigins::new(vec!["https://app.example".to_owned()]);
        let mut response = Response::new(Body::empty());
        origins.add(Some(&HeaderValue::from_static("https://evil.example")), &mut response);
        assert!(!response.headers().contains_key("access-control-allow-origin"));
        origins.add(Some(&HeaderValue::from_static("https://app.example")), &mut response);
        assert_eq!(response.headers()["vary"], "Origin");
        let mut without = Response::new(Body::empty());
        origins.add(None, &mut without);
        assert!(without.headers().is_empty());
    }
}
