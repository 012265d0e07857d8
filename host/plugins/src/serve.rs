//! Requests to plugins: looked up in the current table, let pass by the guard, run on the generation the
//! table names, which stays alive until the last byte of the answer is sent.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use jackfield_edge::{ClientAddr, RouteLabel, answer::json, body::Keeping};
use jackfield_sdk::{descriptor::Policy, principal::CLIENT_ADDRESS};

use crate::{
    guard::Rules,
    lifecycle::Plugins,
    quarantine::Fault,
    table::{Found, Route, Target},
};

/// Longest time a plugin may take to begin its answer.
const HANDLER: Duration = Duration::from_secs(60);

impl Plugins {
    /// Answers a request that a plugin has declared, or gives it back.
    pub async fn serve(&self, request: Request<Body>) -> Result<Response<Body>, Request<Body>> {
        let table = self.table();
        let mut response = match table.find(request.method(), request.uri().path()) {
            Found::Nothing | Found::Target(Target::Host) => return Err(request),
            Found::OtherMethods { allow, public } => self.other_methods(&allow, public, request).await,
            Found::Target(Target::Hook(hook)) => {
                let label = RouteLabel {
                    route: hook.descriptor.path.as_str().into(),
                    plugin: Arc::clone(&hook.plugin),
                };
                let mut response = hook.receive(self.inbox(), self.now(), request).await;
                response.extensions_mut().insert(label);
                response
            }
            Found::Target(Target::Route(route)) => {
                let label = RouteLabel {
                    route: Arc::clone(&route.pattern),
                    plugin: Arc::clone(&route.plugin),
                };
                let mut response = self.run(&route, request).await;
                response.extensions_mut().insert(label);
                response
            }
        };
        if response.headers().get(header::CONTENT_TYPE).is_none() && response.status() == StatusCode::NO_CONTENT {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        Ok(response)
    }

    /// Which methods a path has is told to whoever may use one of them; OPTIONS asks for just that (spec/10 §3).
    async fn other_methods(&self, allow: &str, public: bool, mut request: Request<Body>) -> Response<Body> {
        let policy = match public || request.method() == Method::OPTIONS {
            true => Policy::Public,
            false => Policy::SignedIn,
        };
        let passed = match self.guard().pass(&Rules::of(policy), &mut request).await {
            Ok(passed) => passed,
            Err(refusal) => return refusal,
        };
        let mut response = json(StatusCode::METHOD_NOT_ALLOWED, r#"{"detail":"Method Not Allowed"}"#);
        if let Ok(allow) = HeaderValue::from_str(allow) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        self.guard().leave(passed, &mut response);
        response
    }

    async fn run(&self, route: &Route, mut request: Request<Body>) -> Response<Body> {
        let passed = match self.guard().pass(&route.rules, &mut request).await {
            Ok(passed) => passed,
            Err(refusal) => return refusal,
        };
        tell_address(&mut request);
        let mut response = self.run_passed(route, request).await;
        self.guard().leave(passed, &mut response);
        response
    }

    async fn run_passed(&self, route: &Route, request: Request<Body>) -> Response<Body> {
        let Some(generation) = &route.generation else {
            let mut response = json(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    r#"{{"error":"PluginUnavailable","detail":"the plugin `{}` is not serving now"}}"#,
                    route.plugin
                ),
            );
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            return response;
        };
        let token = generation.enter();
        match tokio::time::timeout(HANDLER, generation.instance().serve(request)).await {
            Ok(Ok(response)) => {
                self.observe(&route.plugin, None);
                response.map(|body| Keeping::wrap(body, token))
            }
            Ok(Err(panic)) => {
                tracing::error!(plugin = %route.plugin, route = %route.pattern, panic = panic.0, "a route panicked");
                self.observe(&route.plugin, Some(Fault::Panic));
                let mut response = Response::new(Body::from("Internal Server Error"));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("text/plain; charset=utf-8"),
                );
                response
            }
            Err(_) => {
                tracing::error!(plugin = %route.plugin, route = %route.pattern, "a route missed its deadline");
                self.observe(&route.plugin, Some(Fault::MissedDeadline));
                json(
                    StatusCode::GATEWAY_TIMEOUT,
                    r#"{"error":"Timeout","detail":"the plugin did not answer in time"}"#,
                )
            }
        }
    }
}

/// A header reaches a plugin however it is carried. What the client says of its own address is not believed.
fn tell_address(request: &mut Request<Body>) {
    let address = request.extensions().get::<ClientAddr>();
    let value = address.and_then(|address| HeaderValue::from_str(address.as_str()).ok());
    let headers = request.headers_mut();
    match value {
        Some(value) => headers.insert(CLIENT_ADDRESS, value),
        None => headers.remove(CLIENT_ADDRESS),
    };
}
