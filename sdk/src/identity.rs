//! People, their sessions and API keys, and the audit trail.
//!
//! The host knows who people are, whatever signs them in; a plugin asks here. Times are milliseconds since the Unix epoch.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{config::Secret, error::Result, host::Services, principal::Person, service::service};

service! {
    /// People and what is theirs. Each method names the capability it needs.
    pub trait IdentityService = 8, serve_identity {
        /// A person. Capability: `identity:users`.
        1 => fn user(id: String) -> Option<User>;
        /// The person accepts the terms of service now; false when there is no such person. Capability: `identity:accounts`.
        2 => fn accept_terms(user: String) -> bool;
        /// Another address. Capability: `identity:accounts`.
        3 => fn change_email(user: String, email: String) -> EmailChange;
        /// The person has shown that the address is theirs. Capability: `identity:accounts`.
        4 => fn verify_email(user: String, email: String) -> bool;
        /// Sessions that are open, newest first. Capability: `identity:sessions`.
        5 => fn sessions(user: String) -> Vec<Session>;
        /// Ends a session of the person by its public id; tells whether there was one. Capability: `identity:sessions`.
        6 => fn end_session(user: String, session: String) -> bool;
        /// API keys of the person in an organisation, oldest first. Capability: `identity:keys`.
        7 => fn keys(user: String, organization: String) -> Vec<ApiKey>;
        /// Makes an API key. Capability: `identity:keys`.
        8 => fn create_key(key: NewApiKey) -> CreatedApiKey;
        /// Deletes an API key of the person; tells whether there was one. Capability: `identity:keys`.
        9 => fn delete_key(user: String, organization: String, id: i64) -> bool;
        /// Organisations the person belongs to. Capability: `identity:users`.
        10 => fn memberships(user: String) -> Vec<Membership>;
        /// What signs people in. Needs no capability.
        11 => fn sign_in() -> SignIn;
        /// Has the identity provider send the mail that verifies the person's address; false when it sends none.
        /// Capability: `identity:accounts`.
        12 => fn send_verification(user: String, signed_in: bool) -> bool;
        /// The person's token at a git provider, fresh; none when they have none there, or have to sign in first.
        /// Capability: `identity:tokens`.
        13 => fn provider_token(user: String, provider: String) -> Option<ProviderToken>;
        /// A person, as the identity provider knows them now. Capability: `identity:accounts`.
        14 => fn renew(user: String) -> Option<User>;
    }
}

service! {
    /// The append-only audit trail. Capability: `audit`.
    pub trait AuditService = 9, serve_audit {
        /// Writes an entry; it is stored when this answers.
        1 => fn record(entry: AuditEntry) -> ();
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Stable id; with Keycloak the subject.
    pub id: String,
    /// Name they sign in with.
    pub username: String,
    /// Address.
    pub email: Option<String>,
    /// Whether the address is known to be theirs.
    pub email_verified: bool,
    /// Full name.
    pub name: Option<String>,
    /// Company, if the identity provider says it.
    #[serde(default)]
    pub company: Option<String>,
    /// The organisation they work in now.
    pub organization: String,
    /// When the terms of service were accepted.
    pub terms_accepted_ms: Option<i64>,
    /// Whether they operate this host.
    pub operator: bool,
    /// What signs them in: `local`, or the identity provider's name, as `github`.
    pub provider: String,
}

/// What signs people in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// `local` or `keycloak`.
    pub provider: String,
    /// Where the web client begins, when it is not a page of its own: our public address.
    pub auth_url: Option<String>,
}

/// A token of a person at a git provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitToken {
    /// The token.
    pub token: Secret,
    /// When it ends; none when nobody said.
    pub expires_ms: Option<i64>,
}

/// A [`GitToken`] as it crosses to a plugin.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderToken {
    /// The token.
    pub token: String,
    /// When it ends; none when nobody said.
    pub expires_ms: Option<i64>,
}

impl std::fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderToken")
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

/// What became of a new address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmailChange {
    /// It is theirs, and to be verified.
    Changed,
    /// Somebody else has verified it.
    Taken,
    /// Its domain is blocked.
    Blocked,
    /// No such person.
    Unknown,
}

/// A session, as its owner may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Public id; it opens nothing.
    pub id: String,
    /// Sign-in.
    pub created_ms: i64,
    /// Last request, up to some seconds ago.
    pub seen_ms: i64,
    /// Address of the sign-in.
    pub address: Option<String>,
    /// `User-Agent` of the sign-in.
    pub user_agent: Option<String>,
}

/// An API key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Number.
    pub id: i64,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Its first characters, to tell it by.
    pub prefix: String,
    /// What it may do; empty is all that its owner may.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_ms: i64,
    /// When it was used last, up to some seconds ago.
    pub last_used_ms: Option<i64>,
    /// When it ends.
    pub expires_ms: Option<i64>,
}

/// A key to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewApiKey {
    /// Whose.
    pub user: String,
    /// For which organisation.
    pub organization: String,
    /// Name.
    pub name: Option<String>,
    /// Scopes; empty is all that its owner may.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_ms: Option<i64>,
}

/// A key that was made. `key` is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedApiKey {
    /// The key as it will be listed.
    pub listed: ApiKey,
    /// The secret: `sk-oh-` and 32 letters and digits.
    pub key: String,
}

impl std::fmt::Debug for CreatedApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedApiKey")
            .field("listed", &self.listed)
            .finish_non_exhaustive()
    }
}

/// A person's place in an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The organisation.
    pub organization: String,
    /// Its name.
    pub name: String,
    /// Role.
    pub role: Role,
}

/// Roles of an organisation, most powerful first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything, deleting the organisation included.
    Owner,
    /// May change members and settings.
    Admin,
    /// Works in it.
    Member,
}

/// What is to be remembered of who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Who did it: a principal's id.
    pub actor: String,
    /// What was done, in dotted words: `key.created`.
    pub action: String,
    /// To what: `key:7`.
    pub target: String,
    /// Address of the caller.
    pub address: Option<String>,
    /// More, as JSON; no secrets.
    pub detail: serde_json::Value,
}

impl AuditEntry {
    /// What a person did, from where they called.
    pub fn of(who: &Person, action: &str, target: impl Into<String>) -> Self {
        Self {
            actor: who.id.clone(),
            action: action.to_owned(),
            target: target.into(),
            address: who.address.map(|address| address.to_string()),
            detail: serde_json::json!({}),
        }
    }

    /// Says more; no secrets.
    pub fn detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = detail;
        self
    }
}

/// People and what is theirs.
#[derive(Clone)]
pub struct Identity(Arc<dyn Services>);

impl Identity {
    pub(crate) fn new(services: Arc<dyn Services>) -> Self {
        Self(services)
    }

    /// A person.
    pub async fn user(&self, id: &str) -> Result<Option<User>> {
        Ok(self.0.identity().user(id.to_owned()).await?)
    }

    /// The person accepts the terms of service now; false when there is no such person.
    pub async fn accept_terms(&self, user: &str) -> Result<bool> {
        Ok(self.0.identity().accept_terms(user.to_owned()).await?)
    }

    /// Another address, which is to be verified.
    pub async fn change_email(&self, user: &str, email: &str) -> Result<EmailChange> {
        Ok(self
            .0
            .identity()
            .change_email(user.to_owned(), email.to_owned())
            .await?)
    }

    /// The person has shown that `email` is theirs; false when it is no longer their address.
    pub async fn verify_email(&self, user: &str, email: &str) -> Result<bool> {
        Ok(self
            .0
            .identity()
            .verify_email(user.to_owned(), email.to_owned())
            .await?)
    }

    /// Open sessions, newest first.
    pub async fn sessions(&self, user: &str) -> Result<Vec<Session>> {
        Ok(self.0.identity().sessions(user.to_owned()).await?)
    }

    /// Ends a session by its public id. Its cookie is taken away with the answer to its own request.
    pub async fn end_session(&self, user: &str, session: &str) -> Result<bool> {
        Ok(self
            .0
            .identity()
            .end_session(user.to_owned(), session.to_owned())
            .await?)
    }

    /// API keys of the person in an organisation, oldest first.
    pub async fn keys(&self, user: &str, organization: &str) -> Result<Vec<ApiKey>> {
        Ok(self.0.identity().keys(user.to_owned(), organization.to_owned()).await?)
    }

    /// Makes an API key.
    pub async fn create_key(&self, key: NewApiKey) -> Result<CreatedApiKey> {
        Ok(self.0.identity().create_key(key).await?)
    }

    /// Deletes an API key of the person; false when there was none.
    pub async fn delete_key(&self, user: &str, organization: &str, id: i64) -> Result<bool> {
        let deleted = self
            .0
            .identity()
            .delete_key(user.to_owned(), organization.to_owned(), id);
        Ok(deleted.await?)
    }

    /// Organisations the person belongs to.
    pub async fn memberships(&self, user: &str) -> Result<Vec<Membership>> {
        Ok(self.0.identity().memberships(user.to_owned()).await?)
    }

    /// What signs people in.
    pub async fn sign_in(&self) -> Result<SignIn> {
        Ok(self.0.identity().sign_in().await?)
    }

    /// Has the identity provider send the mail that verifies the person's address; false when it sends none. Its link leads to
    /// `/api/email/verified` for somebody who is signed in, to the sign-in page for others.
    pub async fn send_verification(&self, user: &str, signed_in: bool) -> Result<bool> {
        let sent = self.0.identity().send_verification(user.to_owned(), signed_in);
        Ok(sent.await?)
    }

    /// A person, after the identity provider was asked what it says of them now.
    pub async fn renew(&self, user: &str) -> Result<Option<User>> {
        Ok(self.0.identity().renew(user.to_owned()).await?)
    }

    /// The person's token at a git provider such as `github`: fresh, for one call or a few; ask again rather than keep it. None
    /// when they have none there, or have to sign in first. An error that passes when the provider does not answer.
    pub async fn provider_token(&self, user: &str, provider: &str) -> Result<Option<GitToken>> {
        let token = self.0.identity().provider_token(user.to_owned(), provider.to_owned());
        Ok(token.await?.map(|token| GitToken {
            token: Secret::new(token.token),
            expires_ms: token.expires_ms,
        }))
    }
}

/// The audit trail.
#[derive(Clone)]
pub struct Audit(Arc<dyn Services>);

impl Audit {
    pub(crate) fn new(services: Arc<dyn Services>) -> Self {
        Self(services)
    }

    /// Writes an entry; it is stored when this returns.
    pub async fn record(&self, entry: AuditEntry) -> Result<()> {
        Ok(self.0.audit().record(entry).await?)
    }
}
