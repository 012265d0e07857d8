//! What signs people in: this host itself, or an identity provider behind it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use jackfield_sdk::identity::{EmailChange, ProviderToken, SignIn};

use crate::{core::Identity, error::IdentityError, routes::OwnRoute};

/// One way to sign in. What it does not know of it leaves to the host.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What people and plugins are told of it.
    fn sign_in(&self, identity: &Identity) -> SignIn;

    /// Whether it answers; none when it is this host.
    fn is_up(&self) -> Option<bool> {
        None
    }

    /// Its routes, for the table of who may call what.
    fn own_routes(&self) -> Vec<OwnRoute>;

    /// The same as OpenAPI.
    fn openapi(&self) -> &'static str;

    /// Their handlers.
    fn router(self: Arc<Self>, identity: Identity) -> Router;

    /// Somebody is there: a good time to ask whether they still may. Must not wait.
    fn used(&self, _person: &str) {}

    /// A session ended here. Must not wait.
    fn ended(&self, _person: &str, _grant: Option<&str>) {}

    /// Works until it is dropped.
    async fn keep(&self, _identity: &Identity) {
        std::future::pending::<()>().await;
    }

    /// Removes rows that nobody can use any more.
    async fn clean(&self, _identity: &Identity) -> Result<(), IdentityError> {
        Ok(())
    }

    /// The person's token at a git provider; none when there is none.
    async fn token(
        &self,
        _identity: &Identity,
        _person: &str,
        _provider: &str,
    ) -> Result<Option<ProviderToken>, IdentityError> {
        Ok(None)
    }

    /// The address is to change where the provider keeps it; none when it keeps none.
    async fn change_email(&self, _person: &str, _email: &str) -> Result<Option<EmailChange>, IdentityError> {
        Ok(None)
    }

    /// Sends the mail by which a person shows that the address is theirs; false when that is the host's own work. Its link leads
    /// to the sign-in page, or to somebody who is signed in already.
    async fn send_verification(&self, _person: &str, _signed_in: bool) -> Result<bool, IdentityError> {
        Ok(false)
    }

    /// Takes over what the provider says of a person now.
    async fn renew(&self, _identity: &Identity, _person: &str) -> Result<(), IdentityError> {
        Ok(())
    }
}
