//! One-time links that sign in: the local identity provider's only way in.
//!
//! A link that is sent by mail goes to somebody whose address is verified, and ends when the address changes. Who asks for one
//! learns nothing: the answer comes before anybody is looked up.

use std::time::Duration;

use jackfield_sdk::{
    identity::{AuditEntry, User},
    mail::NewMail,
};
use jackfield_storage::entity::{person, sign_in_link as link};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use url::form_urlencoded;

use crate::{
    core::{Identity, millis},
    error::IdentityError,
    people::{Arrival, email_key},
    token,
};

/// How long a link signs in.
const LIFE: Duration = Duration::from_secs(900);
/// How long the one of a fresh installation does.
const FIRST_LIFE: Duration = Duration::from_secs(86_400);
/// Links of one person that work at a time: nobody's mailbox is filled by who only knows its address.
const OPEN: u64 = 3;
/// Where links lead.
pub(crate) const PATH: &str = "/oauth/local/callback";

/// A link, once: its token is kept nowhere.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Link {
    /// Path and query; it follows the public address.
    pub path: String,
    /// When it ends.
    pub expires_ms: i64,
}

impl Identity {
    /// Links are local sign-in's alone.
    pub(crate) fn must_be_local(&self) -> Result<(), IdentityError> {
        let provider = self.0.provider.sign_in(self).provider;
        if provider == "local" {
            return Ok(());
        }
        Err(IdentityError::NotLocal(provider))
    }

    /// A link for somebody.
    pub async fn link(&self, person: &str) -> Result<Link, IdentityError> {
        self.must_be_local()?;
        self.link_for(person, LIFE).await
    }

    /// The link of an installation that nobody has signed in to yet. Its owner is made when they are missing; links that
    /// were given out before end.
    pub async fn first_link(&self) -> Result<Option<Link>, IdentityError> {
        let first = person::Entity::find()
            .order_by_asc(person::Column::CreatedMs)
            .one(self.write())
            .await?;
        let anybody = person::Entity::find()
            .filter(person::Column::SignedInMs.is_not_null())
            .one(self.write())
            .await?;
        if anybody.is_some() {
            return Ok(None);
        }
        let owner = match first {
            Some(row) if row.provider == "local" && row.operator => row.id,
            Some(_) => return Ok(None),
            None => self.make_owner().await?.id,
        };
        link::Entity::delete_many()
            .filter(link::Column::Person.eq(&owner))
            .exec(self.write())
            .await?;
        self.link_for(&owner, FIRST_LIFE).await.map(Some)
    }

    async fn make_owner(&self) -> Result<User, IdentityError> {
        self.arrive(Arrival {
            id: None,
            provider: "local".to_owned(),
            username: "owner".to_owned(),
            email: Some(self.0.settings.owner_email.clone()),
            email_verified: true,
            name: None,
            company: None,
            operator: true,
        })
        .await
    }

    async fn link_for(&self, person: &str, life: Duration) -> Result<Link, IdentityError> {
        let (secret, now) = (token::opaque(), self.now());
        let expires_ms = now + millis(life);
        let row = link::ActiveModel {
            hash: Set(token::hash(&secret).to_vec()),
            person: Set(person.to_owned()),
            created_ms: Set(now),
            expires_ms: Set(expires_ms),
        };
        row.insert(self.write()).await?;
        Ok(Link {
            path: format!("{PATH}?token={secret}"),
            expires_ms,
        })
    }

    /// Sends a link to whom an address is, when a link signs them in and not too many are on their way. `return_to` is a path
    /// of ours.
    pub(crate) async fn send_link(
        &self,
        email: &str,
        return_to: Option<&str>,
        address: Option<String>,
    ) -> Result<(), IdentityError> {
        let found = person::Entity::find()
            .filter(person::Column::EmailKey.eq(email_key(email)))
            .filter(person::Column::EmailVerified.eq(true))
            // Whom a provider signs in, it signs in: with its second factor and its word on who may.
            .filter(person::Column::Provider.eq("local"))
            .filter(person::Column::Disabled.eq(false))
            .one(self.read())
            .await?;
        let Some((person, to)) = found.and_then(|row| Some((row.id, row.email?))) else {
            return Ok(());
        };
        let open = link::Entity::find()
            .filter(link::Column::Person.eq(&person))
            .filter(link::Column::ExpiresMs.gt(self.now()))
            .count(self.write())
            .await?;
        if open >= OPEN {
            tracing::info!(person, open, "no sign-in link is sent: so many are on their way");
            return Ok(());
        }
        let mut path = self.link_for(&person, LIFE).await?.path;
        if let Some(return_to) = return_to {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("returnTo", return_to)
                .finish();
            path = format!("{path}&{query}");
        }
        let mail = NewMail::new(to, "sign-in-link")
            .value("link", path)
            .value("expires_in", "15 minutes");
        self.0.mail.send(mail).await?;
        self.record(AuditEntry {
            actor: "anonymous".to_owned(),
            action: "sign_in_link.sent".to_owned(),
            target: format!("person:{person}"),
            address,
            detail: serde_json::json!({}),
        })
        .await
    }

    /// Ends every link of a person.
    pub(crate) async fn end_links(&self, person: &str) -> Result<(), IdentityError> {
        link::Entity::delete_many()
            .filter(link::Column::Person.eq(person))
            .exec(self.write())
            .await?;
        Ok(())
    }

    /// Whom a token signs in, once: of two that come with it at the same time one is let in.
    pub(crate) async fn redeem(&self, token: &str) -> Result<Option<person::Model>, IdentityError> {
        let hash = token::hash(token).to_vec();
        let Some(row) = link::Entity::find_by_id(hash.clone()).one(self.write()).await? else {
            return Ok(None);
        };
        let taken = link::Entity::delete_by_id(hash).exec(self.write()).await?.rows_affected > 0;
        if !taken || row.expires_ms <= self.now() {
            return Ok(None);
        }
        Ok(self.person(&row.person).await?.filter(|person| !person.disabled))
    }

    pub(crate) async fn forget_links(&self) -> Result<(), IdentityError> {
        link::Entity::delete_many()
            .filter(link::Column::ExpiresMs.lt(self.now()))
            .exec(self.write())
            .await?;
        Ok(())
    }
}
