//! Identity as plugins reach it.

use async_trait::async_trait;
use jackfield_sdk::{
    identity::{
        ApiKey, AuditEntry, AuditService, CreatedApiKey, EmailChange, IdentityService, Membership, NewApiKey,
        ProviderToken, Session, SignIn, User,
    },
    service::ServiceError,
};

use crate::{core::Identity, error::IdentityError};

impl From<IdentityError> for ServiceError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Store(_) | IdentityError::Provider(_) => Self::unavailable(error.to_string()),
            IdentityError::Service(error) => error,
            _ => Self::invalid(error.to_string()),
        }
    }
}

#[async_trait]
impl IdentityService for Identity {
    async fn user(&self, id: String) -> Result<Option<User>, ServiceError> {
        Ok(Identity::user(self, &id).await?)
    }
    async fn accept_terms(&self, user: String) -> Result<bool, ServiceError> {
        Ok(Identity::accept_terms(self, &user).await?)
    }
    async fn change_email(&self, user: String, email: String) -> Result<EmailChange, ServiceError> {
        Ok(Identity::change_email(self, &user, &email).await?)
    }
    async fn verify_email(&self, user: String, email: String) -> Result<bool, ServiceError> {
        Ok(Identity::verify_email(self, &user, &email).await?)
    }
    async fn sessions(&self, user: String) -> Result<Vec<Session>, ServiceError> {
        Ok(Identity::sessions(self, &user).await?)
    }
    async fn end_session(&self, user: String, session: String) -> Result<bool, ServiceError> {
        Ok(Identity::end_session(self, &user, &session).await?)
    }
    async fn keys(&self, user: String, organization: String) -> Result<Vec<ApiKey>, ServiceError> {
        Ok(Identity::keys(self, &user, &organization).await?)
    }
    async fn create_key(&self, key: NewApiKey) -> Result<CreatedApiKey, ServiceError> {
        Ok(Identity::create_own_key(self, key).await?)
    }
    async fn delete_key(&self, user: String, organization: String, id: i64) -> Result<bool, ServiceError> {
        Ok(Identity::delete_key(self, &user, &organization, id).await?)
    }
    async fn memberships(&self, user: String) -> Result<Vec<Membership>, ServiceError> {
        Ok(Identity::memberships(self, &user).await?)
    }
    async fn sign_in(&self) -> Result<SignIn, ServiceError> {
        Ok(self.0.provider.sign_in(self))
    }
    async fn send_verification(&self, user: String, signed_in: bool) -> Result<bool, ServiceError> {
        Ok(self.0.provider.send_verification(&user, signed_in).await?)
    }
    async fn renew(&self, user: String) -> Result<Option<User>, ServiceError> {
        self.0.provider.renew(self, &user).await?;
        Ok(Identity::user(self, &user).await?)
    }
    async fn provider_token(&self, user: String, provider: String) -> Result<Option<ProviderToken>, ServiceError> {
        Ok(self.0.provider.token(self, &user, &provider).await?)
    }
}

#[async_trait]
impl AuditService for Identity {
    async fn record(&self, entry: AuditEntry) -> Result<(), ServiceError> {
        Ok(Identity::record(self, entry).await?)
    }
}
