//! Who may reach a route: asked once for each request, with what the route declares. `jackfield-identity` answers.

use async_trait::async_trait;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use jackfield_sdk::{
    Principal,
    descriptor::{Gate, Policy},
    identity::{
        ApiKey, AuditEntry, AuditService, CreatedApiKey, EmailChange, IdentityService, Membership, NewApiKey,
        ProviderToken, Session, SignIn, User,
    },
    service::ServiceError,
};

/// What a route declares about its callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Who may call.
    pub policy: Policy,
    /// Gates that a person need not have passed.
    pub before: Vec<Gate>,
    /// Rate-limit class; the default one when none.
    pub rate_limit: Option<String>,
}

impl Rules {
    /// Those of a route that declares nothing but who may call.
    pub fn of(policy: Policy) -> Self {
        Self {
            policy,
            before: Vec::new(),
            rate_limit: None,
        }
    }
}

/// What is to be done with the answer of who passed.
#[derive(Debug, Clone, Default)]
pub struct Passed {
    /// Public id of the session that the request came with.
    pub session: Option<String>,
    /// Headers for the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Decides who passes.
#[async_trait]
pub trait Guard: Send + Sync {
    /// Puts the [`Principal`] into the request, or answers in the route's place.
    async fn pass(&self, rules: &Rules, request: &mut Request<Body>) -> Result<Passed, Response<Body>>;

    /// Finishes the answer of who passed.
    fn leave(&self, passed: Passed, response: &mut Response<Body>);
}

/// For hosts without identity: whoever put a [`Principal`] into the request is believed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Believing;

#[async_trait]
impl Guard for Believing {
    async fn pass(&self, rules: &Rules, request: &mut Request<Body>) -> Result<Passed, Response<Body>> {
        let scopes: &[String] = match &rules.policy {
            Policy::Public => return Ok(Passed::default()),
            Policy::SignedIn => &[],
            Policy::Scopes(scopes) => scopes,
        };
        match request.extensions().get::<Principal>() {
            None => Err(refusal(
                StatusCode::UNAUTHORIZED,
                &serde_json::json!({ "error": "NoCredentialsError" }),
            )),
            Some(principal) if principal.holds(scopes) => Ok(Passed::default()),
            Some(_) => {
                let detail = format!("this needs the scope {}", scopes.join(" "));
                Err(refusal(
                    StatusCode::FORBIDDEN,
                    &serde_json::json!({ "error": "Forbidden", "detail": detail }),
                ))
            }
        }
    }

    fn leave(&self, _: Passed, _: &mut Response<Body>) {}
}

/// For hosts without identity: there is nobody to ask about.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoIdentity;

fn nobody<T>() -> Result<T, ServiceError> {
    Err(ServiceError::unavailable("this host has no identity"))
}

#[async_trait]
impl IdentityService for NoIdentity {
    async fn user(&self, _: String) -> Result<Option<User>, ServiceError> {
        nobody()
    }
    async fn accept_terms(&self, _: String) -> Result<bool, ServiceError> {
        nobody()
    }
    async fn change_email(&self, _: String, _: String) -> Result<EmailChange, ServiceError> {
        nobody()
    }
    async fn verify_email(&self, _: String, _: String) -> Result<bool, ServiceError> {
        nobody()
    }
    async fn sessions(&self, _: String) -> Result<Vec<Session>, ServiceError> {
        nobody()
    }
    async fn end_session(&self, _: String, _: String) -> Result<bool, ServiceError> {
        nobody()
    }
    async fn keys(&self, _: String, _: String) -> Result<Vec<ApiKey>, ServiceError> {
        nobody()
    }
    async fn create_key(&self, _: NewApiKey) -> Result<CreatedApiKey, ServiceError> {
        nobody()
    }
    async fn delete_key(&self, _: String, _: String, _: i64) -> Result<bool, ServiceError> {
        nobody()
    }
    async fn memberships(&self, _: String) -> Result<Vec<Membership>, ServiceError> {
        nobody()
    }
    async fn sign_in(&self) -> Result<SignIn, ServiceError> {
        nobody()
    }
    async fn send_verification(&self, _: String, _: bool) -> Result<bool, ServiceError> {
        nobody()
    }
    async fn renew(&self, _: String) -> Result<Option<User>, ServiceError> {
        nobody()
    }
    async fn provider_token(&self, _: String, _: String) -> Result<Option<ProviderToken>, ServiceError> {
        nobody()
    }
}

#[async_trait]
impl AuditService for NoIdentity {
    async fn record(&self, _: AuditEntry) -> Result<(), ServiceError> {
        nobody()
    }
}

fn refusal(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    jackfield_edge::answer::json(status, body.to_string())
}
