//! Who calls a route.

use std::{convert::Infallible, net::IpAddr};

use axum::extract::FromRequestParts;
use http::{HeaderMap, StatusCode, request::Parts};
use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// The scope that makes an operator; [`ALL`] does not contain it.
pub const OPERATOR: &str = "operator";
/// Every scope but [`OPERATOR`]: what a person who is signed in holds.
pub const ALL: &str = "*";

/// Header in which the host tells a plugin the client's address. What a client sends under this name is dropped.
pub const CLIENT_ADDRESS: &str = "x-jackfield-client-address";

/// Who calls. The host puts it into the request; a handler that extracts it is never reached by the anonymous.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Stable id of what calls: a person's id, or `key:N` for an API key.
    pub id: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// Scopes held; `*` is all but `operator`.
    pub scopes: Vec<String>,
    /// The person it is or stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The organisation it works in: an API key's own, or the person's current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Public id of the session, when it came with a cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// An API key.
    ApiKey,
    /// The operator of this host.
    Operator,
}

impl Principal {
    /// Whether every scope of `wanted` is held; an operator holds all.
    pub fn holds<S: AsRef<str>>(&self, wanted: &[S]) -> bool {
        let held = |wanted: &str| self.scopes.iter().any(|scope| scope == wanted);
        let holds = |wanted: &str| held(wanted) || (wanted != OPERATOR && held(ALL));
        self.kind == PrincipalKind::Operator || wanted.iter().all(|scope| holds(scope.as_ref()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "sign in or send an API key"))
    }
}

/// The person that calls, by cookie or by API key. Who stands for nobody, as the operator key does, is answered 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The person's id.
    pub id: String,
    /// The organisation the call is for.
    pub organization: String,
    /// Public id of the session; none when an API key calls.
    pub session: Option<String>,
    /// The client's address, for the audit trail; none on the control socket.
    pub address: Option<IpAddr>,
}

impl Person {
    fn of(principal: &Principal, address: Option<IpAddr>) -> Option<Self> {
        Some(Self {
            address,
            id: principal.user.clone()?,
            organization: principal.organization.clone()?,
            session: principal.session.clone(),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        Self::of(&principal, client(&parts.headers)).ok_or_else(|| {
            Problem::new(
                StatusCode::FORBIDDEN,
                "this is for people: sign in, or send an API key of one",
            )
        })
    }
}

/// The client's address, as the host found it behind the proxies that it trusts; none on the control socket. Also the
/// anonymous have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(client(&parts.headers)))
    }
}

fn client(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(CLIENT_ADDRESS)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(kind: PrincipalKind, scopes: &[&str]) -> Principal {
        Principal {
            id: "1".to_owned(),
            kind,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            user: None,
            organization: None,
            session: None,
        }
    }

    #[test]
    fn all_scopes_are_all_but_the_operators() {
        let person = principal(PrincipalKind::User, &[ALL]);
        assert!(person.holds(&["orders:write", "anything"]));
        assert!(!person.holds(&[OPERATOR]));
        assert!(principal(PrincipalKind::User, &[ALL, OPERATOR]).holds(&[OPERATOR]));
    }

    #[test]
    fn a_key_holds_what_it_was_given() {
        let key = principal(PrincipalKind::ApiKey, &["orders:read"]);
        assert!(key.holds(&["orders:read"]) && !key.holds(&["orders:write"]));
        assert!(key.holds::<&str>(&[]));
    }

    #[test]
    fn who_stands_for_nobody_is_no_person() {
        assert_eq!(Person::of(&principal(PrincipalKind::Operator, &[]), None), None);
    }

    #[test]
    fn an_older_host_names_no_person() {
        let told = r#"{"id":"u1","kind":"user","scopes":[]}"#;
        let principal: Principal = serde_json::from_str(told).unwrap();
        assert_eq!(principal.user, None);
    }
}
