//! Who acts on the admin API, for the audit trail.

use axum::extract::FromRequestParts;
use http::request::Parts;
use jackfield_edge::ClientAddr;
use jackfield_identity::{Identity, IdentityError};
use jackfield_sdk::identity::AuditEntry;
use jackfield_sdk::{Principal, error::Problem};

/// An operator and where they call from.
pub(super) struct Actor {
    id: String,
    /// None on the control socket, whose caller is on this machine.
    address: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let address = parts
            .extensions
            .get::<ClientAddr>()
            .map(|address| address.as_str().to_owned());
        let principal = Principal::from_request_parts(parts, state).await?;
        Ok(Self {
            id: principal.id,
            address,
        })
    }
}

impl Actor {
    /// Writes down what they did.
    pub(super) async fn note(
        &self,
        identity: &Identity,
        action: &str,
        target: String,
        detail: serde_json::Value,
    ) -> Result<(), IdentityError> {
        let entry = AuditEntry {
            actor: self.id.clone(),
            action: action.to_owned(),
            target,
            address: self.address.clone(),
            detail,
        };
        identity.record(entry).await
    }
}
