//! Routes of sign-in that are the host's own: one-time links and the device flow.

mod device;
mod local;

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, header},
    routing::{get, post},
};
use jackfield_edge::ClientAddr;
use jackfield_sdk::identity::AuditEntry;

use crate::{core::Identity, links, sessions::From};

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

/// What [`router`] serves.
pub fn own_routes() -> Vec<OwnRoute> {
    let row = |method, path, policy, rate_limit| OwnRoute {
        method,
        path,
        policy,
        rate_limit,
    };
    let (address, device) = (Some("address"), Some("device"));
    vec![
        row("GET", links::PATH, "public", address),
        row("POST", "/oauth/device/authorize", "public", device),
        row("POST", "/oauth/device/token", "public", device),
        row("POST", "/oauth/device/verify-authenticated", "signed_in", device),
        row("POST", "/oauth/device/deny", "signed_in", device),
    ]
}

/// The handlers.
pub fn router(identity: Identity) -> Router {
    Router::new()
        .route(links::PATH, get(local::redeem))
        .route("/oauth/device/authorize", post(device::authorize))
        .route("/oauth/device/token", post(device::token))
        .route("/oauth/device/verify-authenticated", post(device::approve))
        .route("/oauth/device/deny", post(device::deny))
        .with_state(identity)
}

/// Where a request comes from.
fn from(request: &Request) -> From {
    From {
        address: address(request),
        user_agent: user_agent(request.headers()),
    }
}

fn address(request: &Request) -> Option<String> {
    request
        .extensions()
        .get::<ClientAddr>()
        .map(|address| address.0.to_string())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(agent.to_owned())
}

fn entry(actor: &str, action: &str, target: &str, address: Option<String>) -> AuditEntry {
    AuditEntry {
        actor: actor.to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        address,
        detail: serde_json::json!({}),
    }
}
