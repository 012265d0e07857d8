//! Who may come in: asked in order before anything is made (spec/10 §13, §30.16).

use async_trait::async_trait;
use secrecy::SecretString;

use super::{Keycloak, claims::Claims};
use crate::{
    core::Identity,
    error::IdentityError,
    people::{domain, email_key},
};

/// Why somebody does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The claim `roles` is missing.
    Role,
    /// No user name.
    Name,
    /// An operator of ours has shut them out.
    Disabled,
    /// The domain of their address is blocked.
    Domain,
    /// Somebody has that address already, but for what follows a `+`.
    Duplicate,
    /// The address is not verified.
    Unverified,
}

/// One thing to ask. reCAPTCHA and a waiting list would be others.
#[async_trait]
pub(crate) trait LoginCheck: Send + Sync {
    async fn ask(&self, arriving: &Arriving<'_>) -> Result<Option<Refused>, IdentityError>;
}

/// Somebody who has signed in at Keycloak.
pub(crate) struct Arriving<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) keycloak: &'a Keycloak,
    pub(crate) claims: &'a Claims,
    pub(crate) access: &'a SecretString,
    /// Whether they were here before.
    pub(crate) known: bool,
    /// Whether an operator of ours has shut them out.
    pub(crate) disabled: bool,
}

/// All of them, in order.
pub(crate) fn all() -> Vec<Box<dyn LoginCheck>> {
    vec![
        Box::new(Role),
        Box::new(Account),
        Box::new(Domain),
        Box::new(Duplicate),
        Box::new(Verified),
    ]
}

struct Role;

#[async_trait]
impl LoginCheck for Role {
    async fn ask(&self, arriving: &Arriving<'_>) -> Result<Option<Refused>, IdentityError> {
        if !arriving.keycloak.settings.role_check || arriving.claims.has_roles() {
            return Ok(None);
        }
        let has = arriving.keycloak.access_has_roles(arriving.access).await;
        let has = has.map_err(|error| IdentityError::Provider(error.to_string()))?;
        Ok((!has).then_some(Refused::Role))
    }
}

struct Account;

#[async_trait]
impl LoginCheck for Account {
    async fn ask(&self, arriving: &Arriving<'_>) -> Result<Option<Refused>, IdentityError> {
        if arriving.claims.preferred_username.as_deref().is_none_or(str::is_empty) {
            return Ok(Some(Refused::Name));
        }
        Ok(arriving.disabled.then_some(Refused::Disabled))
    }
}

struct Domain;

#[async_trait]
impl LoginCheck for Domain {
    async fn ask(&self, arriving: &Arriving<'_>) -> Result<Option<Refused>, IdentityError> {
        let Some(domain) = arriving.claims.email.as_deref().and_then(domain) else {
            return Ok(None);
        };
        let blocked = arriving.identity.is_blocked(domain).await?;
        Ok(blocked.then_some(Refused::Domain))
    }
}

/// Only for people who are new, and only against addresses that others have verified: nobody loses an account by it.
struct Duplicate;

#[async_trait]
impl LoginCheck for Duplicate {
    async fn ask(&self, arriving: &Arriving<'_>) -> Result<Option<Refused>, IdentityError> {
        let (claims, keycloak) = (arriving.claims, arriving.keycloak);
        if arriving.known || !keycloak.settings.duplicate_email_check {
            return Ok(None);
        }
        let Some(email) = claims.email.as_deref().map(email_key) else {
            return Ok(None);
        };
        let Some((local, domain)) = email.rsplit_once('@') else {
            return Ok(None);
        };
        let local = local.split('+').next().unwrap_or(local);
        if arriving.identity.others_have(local, domain, &claims.sub).await? {
            return Ok(Some(Refused::Duplicate));
        }
        match keycloak.admin.others_have(local, domain, &claims.sub).await {
            Ok(taken) => Ok(taken.then_some(Refused::Duplicate)),
            Err(error) => {
                // Our own people were asked; those who never came here take nothing away.
                tracing::warn!(%error, "Keycloak cannot be asked who else has an address");
                Ok(None)
            }
        }
    }
}

struct Verified;

#[async_trait]
impl LoginCheck for Verified {
    async fn ask(&self, arriving: &Arriving<'_>) -> Result<Option<Refused>, IdentityError> {
        let has = arriving
            .claims
            .email
            .as_deref()
            .is_some_and(|email| domain(email).is_some());
        Ok((!has || !arriving.claims.email_verified).then_some(Refused::Unverified))
    }
}
