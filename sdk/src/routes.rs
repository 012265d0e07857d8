//! HTTP routes of a plugin: axum handlers with utoipa operations, and what they extract.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::descriptor::{Gate, Policy, RouteDescriptor};

/// The state of a plugin's router.
pub struct Shared<P>(pub(crate) Arc<P>);

impl<P> Clone for Shared<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Collects a plugin's routes.
pub struct Routes<P: Send + Sync + 'static> {
    router: OpenApiRouter<Shared<P>>,
}

impl<P: Send + Sync + 'static> Routes<P> {
    pub(crate) fn new() -> Self {
        Self {
            router: OpenApiRouter::new(),
        }
    }

    /// Adds what `routes!(handler, …)` makes.
    pub fn add(&mut self, routes: UtoipaMethodRouter<Shared<P>>) -> &mut Self {
        self.router = std::mem::take(&mut self.router).routes(routes);
        self
    }

    pub(crate) fn split(self) -> (axum::Router<Shared<P>>, utoipa::openapi::OpenApi) {
        self.router.split_for_parts()
    }
}

/// The routes of an OpenAPI document with their policies.
pub(crate) fn describe(document: &serde_json::Value) -> Vec<RouteDescriptor> {
    let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let Some(paths) = document.get("paths").and_then(serde_json::Value::as_object) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (path, item) in paths {
        for method in methods {
            let Some(operation) = item.get(method) else { continue };
            all.push(RouteDescriptor {
                method: method.to_ascii_uppercase(),
                path: path.clone(),
                policy: policy(operation.get("security")),
                before: gates(operation.get("x-jackfield-before")),
                rate_limit: operation
                    .get("x-jackfield-rate-limit")
                    .and_then(|class| class.as_str())
                    .map(str::to_owned),
                operation: operation
                    .get("operationId")
                    .and_then(|id| id.as_str())
                    .map(str::to_owned),
            });
        }
    }
    all
}

/// None declared is "signed in"; an empty requirement is public; scopes of the first requirement must all be held.
fn policy(security: Option<&serde_json::Value>) -> Policy {
    let Some(requirements) = security.and_then(serde_json::Value::as_array) else {
        return Policy::SignedIn;
    };
    if requirements
        .iter()
        .any(|one| one.as_object().is_some_and(serde_json::Map::is_empty))
        || requirements.is_empty()
    {
        return Policy::Public;
    }
    let scopes: Vec<String> = requirements
        .iter()
        .take(1)
        .filter_map(serde_json::Value::as_object)
        .flat_map(serde_json::Map::values)
        .filter_map(serde_json::Value::as_array)
        .flatten()
        .filter_map(|scope| scope.as_str().map(str::to_owned))
        .collect();
    if scopes.is_empty() {
        Policy::SignedIn
    } else {
        Policy::Scopes(scopes)
    }
}

/// Names that no gate has are left out: they may be those of a newer host.
fn gates(named: Option<&serde_json::Value>) -> Vec<Gate> {
    let named = named.and_then(serde_json::Value::as_array).into_iter().flatten();
    named
        .filter_map(|name| serde_json::from_value(name.clone()).ok())
        .collect()
}

/// The plugin itself, in a route handler.
pub struct This<P>(Arc<P>);

impl<P> std::ops::Deref for This<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.0
    }
}

impl<P: Send + Sync + 'static> FromRequestParts<Shared<P>> for This<P> {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &Shared<P>) -> Result<Self, Infallible> {
        Ok(Self(Arc::clone(&state.0)))
    }
}

/// 204.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}
