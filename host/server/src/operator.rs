//! Operators: whoever holds the operator key, or sits at the control socket as this host's user or root.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use jackfield_edge::PeerCred;
use jackfield_sdk::{Principal, PrincipalKind};
use subtle::ConstantTimeEq;

/// What makes an operator.
#[derive(Clone)]
pub(crate) struct Operators {
    key: Arc<ArcSwapOption<String>>,
    uid: u32,
}

impl Operators {
    pub(crate) fn new(key: Option<&str>, uid: u32) -> Self {
        Self {
            key: Arc::new(ArcSwapOption::from_pointee(key.map(str::to_owned))),
            uid,
        }
    }

    /// Another key from now on, or none.
    pub(crate) fn set_key(&self, key: Option<&str>) {
        self.key.store(key.map(|key| Arc::new(key.to_owned())));
    }

    fn recognise(&self, request: &Request<Body>) -> bool {
        if let Some(peer) = request.extensions().get::<PeerCred>() {
            return peer.uid == self.uid || peer.uid == 0;
        }
        let given = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        match (
            self.key.load().as_deref(),
            given.and_then(|value| value.strip_prefix("Bearer ")),
        ) {
            (Some(key), Some(given)) => bool::from(key.as_bytes().ct_eq(given.as_bytes())),
            _ => false,
        }
    }
}

/// Puts the principal into the request.
pub(crate) fn identify(operators: &Operators, request: &mut Request<Body>) {
    if operators.recognise(request) {
        let principal = Principal {
            id: "operator".to_owned(),
            kind: PrincipalKind::Operator,
            scopes: Vec::new(),
        };
        request.extensions_mut().insert(principal);
    }
}

/// Lets operators pass.
pub(crate) async fn require(request: Request<Body>, next: Next) -> Response {
    match request.extensions().get::<Principal>() {
        Some(principal) if principal.kind == PrincipalKind::Operator => next.run(request).await,
        Some(_) => error(StatusCode::FORBIDDEN, "Forbidden", "this needs an operator"),
        None => (
            StatusCode::UNAUTHORIZED,
            axum::Json(serde_json::json!({ "error": "NoCredentialsError" })),
        )
            .into_response(),
    }
}

/// An error body.
pub(crate) fn error(status: StatusCode, code: &str, detail: &str) -> Response {
    (
        status,
        axum::Json(serde_json::json!({ "error": code, "detail": detail })),
    )
        .into_response()
}
