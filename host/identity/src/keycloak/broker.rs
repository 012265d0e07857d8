//! People's tokens at git providers, which Keycloak keeps and renews; we keep what it gave last, sealed.
//!
//! Keycloak renews a provider's token without a lock (spec/15 §1): one caller at a time asks it for a person and provider.
//! The provider's refresh token stays at Keycloak: two owners would take it from each other.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::identity::ProviderToken;
use jackfield_storage::entity::provider_token as row;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use uuid::Uuid;

use super::{Keycloak, endpoints::CallError};
use crate::{
    core::{Identity, millis},
    error::IdentityError,
};

/// Where the tokens are kept; they are sealed to their place in it.
const TABLE: &str = "provider_token";
/// What a lease lasts longer than the two calls it is for.
const AFTER_CALLS: Duration = Duration::from_secs(5);
/// Between two looks at a row that another replica works on.
const LOOK: Duration = Duration::from_millis(100);
/// The share of its life that a token must still have, as one of so many.
const MARGIN: i64 = 10;
/// A token without an end is asked for again after this.
const AGAIN_MS: i64 = 3_600_000;

/// Where tokens of git providers come from.
#[async_trait]
pub(super) trait Broker: Send + Sync {
    /// The token of whoever holds `access`; none when they have no account at the provider.
    async fn fetch(
        &self,
        keycloak: &Keycloak,
        provider: &str,
        access: &SecretString,
    ) -> Result<Option<Fetched>, CallError>;
}

/// A token and when it ends, in seconds since the epoch.
pub(super) struct Fetched {
    token: SecretString,
    ends_s: Option<i64>,
}

/// Keycloak's `GET /broker/{provider}/token`, the first version of its brokering API (spec/15 §6).
pub(super) struct StoredTokens;

#[async_trait]
impl Broker for StoredTokens {
    async fn fetch(
        &self,
        keycloak: &Keycloak,
        provider: &str,
        access: &SecretString,
    ) -> Result<Option<Fetched>, CallError> {
        match keycloak.endpoints.broker(provider, access).await {
            Ok(text) => Ok(parse(&text)),
            Err(CallError::Refused { description, .. }) if is_not_linked(&description) => Ok(None),
            Err(CallError::Refused { error, .. }) if error == "404" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_not_linked(description: &str) -> bool {
    description.contains("is not associated with identity provider")
        || description.contains("does not support this operation")
}

/// JSON, or a form under the same content type. A token whose end nobody says is taken as one without.
fn parse(text: &str) -> Option<Fetched> {
    #[derive(Deserialize)]
    struct Stored {
        access_token: SecretString,
        #[serde(rename = "accessTokenExpiration")]
        ends_s: Option<i64>,
    }
    if let Ok(stored) = serde_json::from_str::<Stored>(text) {
        return Some(Fetched {
            token: stored.access_token,
            ends_s: stored.ends_s.filter(|ends| *ends > 0),
        });
    }
    let form: HashMap<_, _> = url::form_urlencoded::parse(text.as_bytes()).collect();
    let token = form.get("access_token")?.to_string();
    Some(Fetched {
        token: token.into(),
        ends_s: None,
    })
}

impl Keycloak {
    pub(super) async fn provider_token(
        &self,
        identity: &Identity,
        person: &str,
        provider: &str,
    ) -> Result<Option<ProviderToken>, IdentityError> {
        let name = provider.to_ascii_lowercase();
        let sound = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !sound {
            return Err(IdentityError::GitProvider(provider.to_owned()));
        }
        if let Some(row) = self.kept(identity, person, &name).await?
            && is_fresh(&row, identity.now())
        {
            return self.opened(row).await;
        }
        let flight = self.flights.of(&format!("{person}/{name}"));
        let _alone = flight.lock().await;
        let lease_for = 2 * self.settings.timeout + AFTER_CALLS;
        let give_up = tokio::time::Instant::now() + lease_for;
        loop {
            let kept = self.kept(identity, person, &name).await?;
            let now = identity.now();
            if let Some(row) = kept.filter(|row| is_fresh(row, now)) {
                return self.opened(row).await;
            }
            let lease = Uuid::new_v4().to_string();
            if self
                .lease(identity, person, &name, &lease, now + millis(lease_for))
                .await?
            {
                let fetched = self.fetch(identity, person, &name).await;
                return self.store(identity, person, &name, &lease, fetched).await;
            }
            if tokio::time::Instant::now() >= give_up {
                return Err(IdentityError::Provider(
                    "another replica is still asking Keycloak".to_owned(),
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn fetch(&self, identity: &Identity, person: &str, provider: &str) -> Result<Option<Fetched>, IdentityError> {
        let Some(access) = self.access(identity, person).await? else {
            return Ok(None);
        };
        Ok(self.broker.fetch(self, provider, &access).await?)
    }

    async fn kept(
        &self,
        identity: &Identity,
        person: &str,
        provider: &str,
    ) -> Result<Option<row::Model>, IdentityError> {
        let key = (person.to_owned(), provider.to_owned());
        Ok(row::Entity::find_by_id(key).one(identity.write()).await?)
    }

    async fn lease(
        &self,
        identity: &Identity,
        person: &str,
        provider: &str,
        lease: &str,
        ends_ms: i64,
    ) -> Result<bool, IdentityError> {
        let fresh = row::ActiveModel {
            person: Set(person.to_owned()),
            provider: Set(provider.to_owned()),
            token: Set(None),
            expires_ms: Set(None),
            read_ms: Set(None),
            lease: Set(None),
            lease_ends_ms: Set(None),
        };
        row::Entity::insert(fresh)
            .on_conflict(
                OnConflict::columns([row::Column::Person, row::Column::Provider])
                    .do_nothing()
                    .to_owned(),
            )
            .exec_without_returning(identity.write())
            .await?;
        let free = Condition::any()
            .add(row::Column::LeaseEndsMs.is_null())
            .add(row::Column::LeaseEndsMs.lte(identity.now()));
        let taken = row::Entity::update_many()
            .col_expr(row::Column::Lease, Expr::value(lease))
            .col_expr(row::Column::LeaseEndsMs, Expr::value(ends_ms))
            .filter(row::Column::Person.eq(person))
            .filter(row::Column::Provider.eq(provider))
            .filter(free)
            .exec(identity.write())
            .await?;
        Ok(taken.rows_affected > 0)
    }

    /// Gives the lease back, with what was fetched. When Keycloak or the provider does not answer, what was kept and has not
    /// ended yet still counts.
    async fn store(
        &self,
        identity: &Identity,
        person: &str,
        provider: &str,
        lease: &str,
        fetched: Result<Option<Fetched>, IdentityError>,
    ) -> Result<Option<ProviderToken>, IdentityError> {
        let mut update = row::Entity::update_many()
            .col_expr(row::Column::Lease, Expr::value(Option::<String>::None))
            .col_expr(row::Column::LeaseEndsMs, Expr::value(Option::<i64>::None));
        if let Ok(fetched) = &fetched {
            let sealed = match fetched {
                Some(fetched) => {
                    let value = Bytes::copy_from_slice(fetched.token.expose_secret().as_bytes());
                    let sealed = self.vault.seal(TABLE.to_owned(), place(person, provider), value);
                    Some(sealed.await?.to_vec())
                }
                None => None,
            };
            let ends_ms = fetched.as_ref().and_then(|fetched| fetched.ends_s);
            update = update
                .col_expr(row::Column::Token, Expr::value(sealed))
                .col_expr(
                    row::Column::ExpiresMs,
                    Expr::value(ends_ms.map(|ends| ends.saturating_mul(1000))),
                )
                .col_expr(row::Column::ReadMs, Expr::value(Some(identity.now())));
        }
        update
            .filter(row::Column::Person.eq(person))
            .filter(row::Column::Provider.eq(provider))
            .filter(row::Column::Lease.eq(lease))
            .exec(identity.write())
            .await?;
        match fetched {
            Ok(None) => Ok(None),
            Ok(Some(fetched)) => Ok(Some(ProviderToken {
                token: fetched.token.expose_secret().to_owned(),
                expires_ms: fetched.ends_s.map(|ends| ends.saturating_mul(1000)),
            })),
            Err(error) => {
                let row = self.kept(identity, person, provider).await?;
                let good = |row: &row::Model| row.expires_ms.is_none_or(|ends| ends > identity.now());
                match row.filter(|row| row.token.is_some() && good(row)) {
                    Some(row) => self.opened(row).await,
                    None => Err(error),
                }
            }
        }
    }

    async fn opened(&self, row: row::Model) -> Result<Option<ProviderToken>, IdentityError> {
        let Some(sealed) = &row.token else { return Ok(None) };
        let sealed = Bytes::copy_from_slice(sealed);
        let opened = self
            .vault
            .open(TABLE.to_owned(), place(&row.person, &row.provider), sealed);
        Ok(Some(ProviderToken {
            token: super::text(&opened.await?)?.expose_secret().to_owned(),
            expires_ms: row.expires_ms,
        }))
    }
}

/// Whether a kept token has enough of its life left.
fn is_fresh(row: &row::Model, now_ms: i64) -> bool {
    let (Some(read), true) = (row.read_ms, row.token.is_some()) else {
        return false;
    };
    match row.expires_ms {
        Some(ends) => now_ms < ends - (ends - read) / MARGIN,
        None => now_ms < read + AGAIN_MS,
    }
}

/// Lengths keep (a, bc) and (ab, c) apart.
fn place(person: &str, provider: &str) -> String {
    format!("{}:{person}/{provider}", person.len())
}
