//! One log line and two metrics per request. Never the query string: it may hold secrets.

use std::{sync::Arc, time::Instant};

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::Method;
use metrics::{counter, histogram};

use crate::listener::PeerAddr;

/// Which declared route answered: set on the response by the router, so that labels stay few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLabel {
    /// Route pattern, not path.
    pub route: Arc<str>,
    /// Plugin id, or `host`.
    pub plugin: Arc<str>,
}

pub(crate) async fn layer(request: Request<Body>, next: Next) -> Response {
    let begun = Instant::now();
    let method = known(request.method());
    let path = request.uri().path().to_owned();
    let peer = request.extensions().get::<PeerAddr>().map(|peer| peer.0.to_string());
    let response = next.run(request).await;
    let (seconds, status) = (begun.elapsed().as_secs_f64(), response.status().as_u16());
    let label = response.extensions().get::<RouteLabel>();
    let route = label.map_or_else(|| "other".to_owned(), |label| label.route.to_string());
    let plugin = label.map_or_else(|| "host".to_owned(), |label| label.plugin.to_string());
    tracing::info!(
        target: "access",
        method,
        path,
        status,
        duration_ms = (seconds * 1e6).round() / 1e3,
        plugin,
        peer = peer.as_deref().unwrap_or("-"),
        "request"
    );
    counter!(
        "jackfield_http_requests_total",
        "route" => route.clone(), "method" => method, "status" => status.to_string(), "plugin" => plugin.clone()
    )
    .increment(1);
    histogram!("jackfield_http_request_duration_seconds", "route" => route, "method" => method, "plugin" => plugin)
        .record(seconds);
    response
}

/// Methods are labels: what nobody knows is one label.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
