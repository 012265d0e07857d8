//! Security headers; what a handler has set stays.

use axum::response::Response;
use http::{HeaderName, HeaderValue, header};

/// What is sent.
#[derive(Debug, Clone)]
pub struct SecurityHeaders {
    /// `Content-Security-Policy` of HTML answers.
    pub csp: String,
    /// Whether people come over HTTPS: adds HSTS.
    pub https: bool,
}

/// The policy of a page: what comes from us or from these `sources` may run, and inline what has one of these hashes
/// (`'sha256-…'`). No `unsafe-inline`.
pub fn content_security_policy(sources: &[&str], scripts: &[String], styles: &[String]) -> String {
    let own: String = ["'self'"]
        .iter()
        .chain(sources)
        .flat_map(|source| [" ", *source])
        .collect();
    let mut policy = format!(
        "default-src{own}; img-src 'self' data: https:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
    );
    for (directive, hashes) in [("script-src", scripts), ("style-src", styles)] {
        if !hashes.is_empty() {
            policy.push_str(&format!("; {directive}{own} {}", hashes.join(" ")));
        }
    }
    policy
}

pub(crate) fn add(settings: &SecurityHeaders, response: &mut Response) {
    let html = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html"));
    let mut set = |name: HeaderName, value: HeaderValue| {
        response.headers_mut().entry(name).or_insert(value);
    };
    let fixed = HeaderValue::from_static;
    set(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    set(header::X_FRAME_OPTIONS, fixed("SAMEORIGIN"));
    set(header::REFERRER_POLICY, fixed("strict-origin-when-cross-origin"));
    if html && let Ok(csp) = HeaderValue::from_str(&settings.csp) {
        set(header::CONTENT_SECURITY_POLICY, csp);
    }
    if settings.https {
        set(
            header::STRICT_TRANSPORT_SECURITY,
            fixed("max-age=31536000; includeSubDomains"),
        );
    }
}
