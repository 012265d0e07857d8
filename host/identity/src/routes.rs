//! Routes of sign-in that are the host's own: one-time links, asking for one by mail, and the device flow.

mod device;
mod local;

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, header},
    response::Redirect,
    routing::{get, post},
};
use jackfield_edge::ClientAddr;
use jackfield_sdk::identity::{AuditEntry, SignIn};

use serde_json::Value;

use crate::{core::Identity, links, provider::Provider, sessions::From};

/// A route and who may call it: `public` or `signed_in`.
#[derive(Debug, Clone, Copy)]
pub struct OwnRoute {
    /// HTTP method.
    pub method: &'static str,
    /// Path.
    pub path: &'static str,
    /// Who.
    pub policy: &'static str,
    /// Rate-limit class; the default one when none.
    pub rate_limit: Option<&'static str>,
}

impl OwnRoute {
    /// One for everybody, with the limits of an address.
    pub(crate) fn public(method: &'static str, path: &'static str) -> Self {
        Self {
            method,
            path,
            policy: "public",
            rate_limit: Some("address"),
        }
    }
}

/// The device flow as OpenAPI.
const DEVICE: &str = include_str!("openapi/device.json");

impl Identity {
    /// What [`router`](Self::router) serves.
    pub fn own_routes(&self) -> Vec<OwnRoute> {
        let row = |method, path, policy, rate_limit| OwnRoute {
            method,
            path,
            policy,
            rate_limit,
        };
        let device = Some("device");
        let mut all = self.0.provider.own_routes();
        all.extend([
            row("POST", "/oauth/device/authorize", "public", device),
            row("POST", "/oauth/device/token", "public", device),
            row("POST", "/oauth/device/verify-authenticated", "signed_in", device),
            row("POST", "/oauth/device/deny", "signed_in", device),
            row("GET", "/oauth/github/callback", "public", None),
        ]);
        all
    }

    /// The same as OpenAPI documents.
    pub fn openapi(&self) -> Vec<Value> {
        let documents = [DEVICE, self.0.provider.openapi()];
        documents
            .iter()
            .filter_map(|text| serde_json::from_str(text).ok())
            .collect()
    }

    /// The handlers.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/oauth/device/authorize", post(device::authorize))
            .route("/oauth/device/token", post(device::token))
            .route("/oauth/device/verify-authenticated", post(device::approve))
            .route("/oauth/device/deny", post(device::deny))
            // Where a GitHub App leads people who have just installed it (spec/10 §12.5).
            .route("/oauth/github/callback", get(|| async { Redirect::to("/") }))
            .with_state(self.clone())
            .merge(Arc::clone(&self.0.provider).router(self.clone()))
    }
}

/// This host's own sign-in: one-time links.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

#[async_trait]
impl Provider for Local {
    fn sign_in(&self, _identity: &Identity) -> SignIn {
        SignIn {
            provider: "local".to_owned(),
            auth_url: None,
        }
    }

    fn own_routes(&self) -> Vec<OwnRoute> {
        vec![
            OwnRoute::public("GET", links::PATH),
            OwnRoute::public("POST", local::SEND),
        ]
    }

    fn openapi(&self) -> &'static str {
        include_str!("openapi/local.json")
    }

    fn router(self: Arc<Self>, identity: Identity) -> Router {
        Router::new()
            .route(links::PATH, get(local::redeem))
            .route(local::SEND, post(local::send))
            .with_state(identity)
    }
}

/// Where a request comes from.
pub(crate) fn from(request: &Request) -> From {
    From {
        address: address(request),
        user_agent: user_agent(request.headers()),
        keycloak_grant: None,
    }
}

fn address(request: &Request) -> Option<String> {
    request
        .extensions()
        .get::<ClientAddr>()
        .map(|address| address.as_str().to_owned())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(agent.to_owned())
}

pub(crate) fn entry(actor: &str, action: &str, target: &str, address: Option<String>) -> AuditEntry {
    AuditEntry {
        actor: actor.to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        address,
        detail: serde_json::json!({}),
    }
}
