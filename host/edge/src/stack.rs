//! The layers, outermost first.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use tower::{Service, ServiceBuilder, util::BoxCloneSyncService};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    access_log, body, cache_headers, concurrency,
    cors::CorsOrigins,
    request_id,
    security_headers::{self, SecurityHeaders},
};

/// A service with its layers.
pub type BoxedService = BoxCloneSyncService<Request<Body>, Response, Infallible>;

/// Settings of the layers.
#[derive(Clone)]
pub struct StackSettings {
    /// Requests at once.
    pub concurrency: usize,
    /// Longest time until an answer begins.
    pub response: Duration,
    /// Origins that may call.
    pub origins: CorsOrigins,
    /// Security headers.
    pub security: SecurityHeaders,
}

/// Puts the layers around `inner`.
pub fn stack<S>(settings: StackSettings, inner: S) -> BoxedService
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let places = concurrency::Places::new(settings.concurrency);
    let layers = ServiceBuilder::new()
        // Names everything that happens inside.
        .layer(from_fn(request_id::layer))
        // Sees every answer, also those of the layers below.
        .layer(from_fn(access_log::layer))
        // A panic below becomes a 500 and harms no other request.
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(settings.security, secure))
        // Sheds before anything is read.
        .layer(from_fn_with_state(places, cap))
        .layer(from_fn_with_state(settings.response, deadline))
        // Cache headers are on preflights too (spec/10 §6), so they go around CORS.
        .layer(from_fn(cache))
        .layer(from_fn_with_state(settings.origins, cors));
    BoxCloneSyncService::new(layers.service(inner))
}

async fn secure(State(settings): State<SecurityHeaders>, request: Request<Body>, next: Next) -> Response {
    let mut response = next.run(request).await;
    security_headers::add(&settings, &mut response);
    response
}

async fn cap(State(places): State<concurrency::Places>, request: Request<Body>, next: Next) -> Response {
    match places.take() {
        Some(place) => concurrency::hold(place, next.run(request).await),
        None => {
            body::discard(request.into_body()).await;
            concurrency::shed()
        }
    }
}

async fn deadline(State(time): State<Duration>, request: Request<Body>, next: Next) -> Response {
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let mut response = Response::new(Body::from(
                r#"{"error":"Timeout","detail":"the answer did not begin in time"}"#,
            ));
            *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    }
}

async fn cache(request: Request<Body>, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    cache_headers::set(&path, &mut response);
    response
}

async fn cors(State(origins): State<CorsOrigins>, request: Request<Body>, next: Next) -> Response {
    if let Some(answer) = origins.preflight(&request) {
        return answer;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    origins.add(origin.as_ref(), &mut response);
    response
}

#[expect(clippy::needless_pass_by_value, reason = "tower-http's signature")]
fn panicked(payload: Box<dyn std::any::Any + Send>) -> Response {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = text, "a request panicked");
    let mut response = Response::new(Body::from("Internal Server Error"));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
