//! People and the audit trail as one plugin sees them.

use async_trait::async_trait;
use jackfield_sdk::{
    identity::{
        ApiKey, AuditEntry, AuditService, CreatedApiKey, EmailChange, IdentityService, Membership, NewApiKey,
        ProviderToken, Session, SignIn, User,
    },
    service::ServiceError,
};

use super::PluginServices;

const USERS: &str = "identity:users";
const ACCOUNTS: &str = "identity:accounts";
const SESSIONS: &str = "identity:sessions";
const KEYS: &str = "identity:keys";
const TOKENS: &str = "identity:tokens";

#[async_trait]
impl IdentityService for PluginServices {
    async fn user(&self, id: String) -> Result<Option<User>, ServiceError> {
        self.need(USERS)?;
        self.backends.identity.user(id).await
    }
    async fn accept_terms(&self, user: String) -> Result<bool, ServiceError> {
        self.need(ACCOUNTS)?;
        self.backends.identity.accept_terms(user).await
    }
    async fn change_email(&self, user: String, email: String) -> Result<EmailChange, ServiceError> {
        self.need(ACCOUNTS)?;
        self.backends.identity.change_email(user, email).await
    }
    async fn verify_email(&self, user: String, email: String) -> Result<bool, ServiceError> {
        self.need(ACCOUNTS)?;
        self.backends.identity.verify_email(user, email).await
    }
    async fn sessions(&self, user: String) -> Result<Vec<Session>, ServiceError> {
        self.need(SESSIONS)?;
        self.backends.identity.sessions(user).await
    }
    async fn end_session(&self, user: String, session: String) -> Result<bool, ServiceError> {
        self.need(SESSIONS)?;
        self.backends.identity.end_session(user, session).await
    }
    async fn keys(&self, user: String, organization: String) -> Result<Vec<ApiKey>, ServiceError> {
        self.need(KEYS)?;
        self.backends.identity.keys(user, organization).await
    }
    async fn create_key(&self, key: NewApiKey) -> Result<CreatedApiKey, ServiceError> {
        self.need(KEYS)?;
        self.backends.identity.create_key(key).await
    }
    async fn delete_key(&self, user: String, organization: String, id: i64) -> Result<bool, ServiceError> {
        self.need(KEYS)?;
        self.backends.identity.delete_key(user, organization, id).await
    }
    async fn memberships(&self, user: String) -> Result<Vec<Membership>, ServiceError> {
        self.need(USERS)?;
        self.backends.identity.memberships(user).await
    }
    async fn sign_in(&self) -> Result<SignIn, ServiceError> {
        self.backends.identity.sign_in().await
    }
    async fn send_verification(&self, user: String, signed_in: bool) -> Result<bool, ServiceError> {
        self.need(ACCOUNTS)?;
        self.backends.identity.send_verification(user, signed_in).await
    }
    async fn renew(&self, user: String) -> Result<Option<User>, ServiceError> {
        self.need(ACCOUNTS)?;
        self.backends.identity.renew(user).await
    }
    async fn provider_token(&self, user: String, provider: String) -> Result<Option<ProviderToken>, ServiceError> {
        self.need(TOKENS)?;
        self.backends.identity.provider_token(user, provider).await
    }
}

#[async_trait]
impl AuditService for PluginServices {
    async fn record(&self, entry: AuditEntry) -> Result<(), ServiceError> {
        self.need("audit")?;
        let detail = serde_json::json!({ "plugin": self.plugin, "detail": entry.detail });
        self.backends.audit.record(AuditEntry { detail, ..entry }).await
    }
}
