//! The layers, outermost first: [`answer`], [`admitted`], [`page`].
//!
//! They are one future instead of one `tower` layer each: a stack of `from_fn` layers copies everything below it at every
//! level, for every request. What they do is the same, in the order in which it reads.

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request, response::Response};
use futures_util::FutureExt;
use http::{HeaderValue, StatusCode, header};
use tower::{Service, ServiceExt};
use tracing::Instrument;

use crate::{
    access_log::{self, Meters},
    answer::json,
    body, cache_headers,
    client_addr::TrustedProxies,
    concurrency,
    cors::CorsOrigins,
    request_id,
    security_headers::{self, SecurityHeaders},
};

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
    /// Whose word on the client's address is taken.
    pub proxies: TrustedProxies,
}

/// A service with its layers. Cheap to clone.
#[derive(Clone)]
pub struct Stack<S> {
    layers: Arc<Layers>,
    inner: S,
}

/// Puts the layers around `inner`.
pub fn stack<S>(settings: StackSettings, inner: S) -> Stack<S> {
    let layers = Layers {
        places: concurrency::Places::new(settings.concurrency),
        meters: Meters::default(),
        settings,
    };
    Stack {
        layers: Arc::new(layers),
        inner,
    }
}

impl<S> Service<Request<Body>> for Stack<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The service inside is asked when its turn comes, after a place was found.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (layers, inner) = (Arc::clone(&self.layers), self.inner.clone());
        Box::pin(async move { Ok(answer(&layers, inner, request).await) })
    }
}

struct Layers {
    settings: StackSettings,
    places: concurrency::Places,
    meters: Meters,
}

/// Names the request, notes its answer, survives panics, adds the security headers.
async fn answer<S>(layers: &Layers, inner: S, mut request: Request<Body>) -> Response
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Send,
    S::Future: Send,
{
    layers.settings.proxies.note(&mut request);
    // Names everything that happens inside.
    let (span, id) = request_id::name(&request);
    let answered = async {
        // Sees every answer, also those of the layers below.
        let watched = access_log::watch(&request);
        // A panic below becomes a 500 and harms no other request.
        let outcome = AssertUnwindSafe(admitted(layers, inner, request)).catch_unwind().await;
        let mut response = outcome.unwrap_or_else(panicked);
        security_headers::add(&layers.settings.security, &mut response);
        watched.answered(&response, &layers.meters);
        request_id::tell(id, &mut response);
        response
    };
    answered.instrument(span).await
}

/// Sheds before anything is read, and bounds the time until an answer begins.
async fn admitted<S>(layers: &Layers, inner: S, request: Request<Body>) -> Response
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let Some(place) = layers.places.take() else {
        body::discard(request.into_body()).await;
        return concurrency::shed();
    };
    let begins = tokio::time::timeout(layers.settings.response, page(layers, inner, request));
    concurrency::hold(place, begins.await.unwrap_or_else(|_| late()))
}

/// Cache headers, on preflights too (spec/10 §6), so they go around CORS.
async fn page<S>(layers: &Layers, inner: S, request: Request<Body>) -> Response
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let origins = &layers.settings.origins;
    let asset = request.uri().path().starts_with("/assets");
    let mut response = match origins.preflight(&request) {
        Some(answer) => answer,
        None => {
            let origin = request.headers().get(header::ORIGIN).cloned();
            let mut response = match inner.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            origins.add(origin.as_ref(), &mut response);
            response
        }
    };
    cache_headers::set(asset, &mut response);
    response
}

fn late() -> Response {
    json(
        StatusCode::GATEWAY_TIMEOUT,
        r#"{"error":"Timeout","detail":"the answer did not begin in time"}"#,
    )
}

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
