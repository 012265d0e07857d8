//! What sign-ins leave us: offline sessions at Keycloak, whose refresh tokens say whether somebody may still come in.
//!
//! - One refresh of a grant at a time, over all replicas. Who presents the refresh token has said so before, in the row: after
//!   a crash the same token is presented once more when the lease is over.
//! - Only an answer that says so ends a grant; a Keycloak that is slow or away changes nothing.
//! - A person's newest grant outlives its session: webhooks act with it. Older ones end with theirs.

use std::time::Duration;

use bytes::Bytes;
use jackfield_storage::entity::keycloak_grant as grant;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::Expr,
};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{
    Keycloak, PROVIDER,
    endpoints::{Refusal, Tokens},
};
use crate::{
    core::{Identity, millis},
    error::IdentityError,
};

/// Where the tokens are kept; they are sealed to their place in it.
const TABLE: &str = "keycloak_grant";
/// What a lease lasts longer than the call it is for.
const AFTER_CALL: Duration = Duration::from_secs(5);
/// Between two looks at a row that another replica works on.
const LOOK: Duration = Duration::from_millis(100);
/// Time that an access token must still have.
const LEFT_MS: i64 = 30_000;

/// What a grant gives now.
pub(crate) enum Access {
    Token(SecretString),
    /// The grant is over.
    Over,
    /// Keycloak does not let the person in.
    Refused,
}

impl Keycloak {
    /// Keeps what a sign-in brought; gives the grant's id.
    pub(super) async fn keep_grant(
        &self,
        identity: &Identity,
        on: &impl ConnectionTrait,
        person: &str,
        sid: &str,
        tokens: &Tokens,
    ) -> Result<String, IdentityError> {
        let refresh = tokens.refresh_token.as_ref();
        let refresh = refresh.ok_or_else(|| IdentityError::Provider("Keycloak gave no refresh token".to_owned()))?;
        let (id, now) = (Uuid::new_v4().to_string(), identity.now());
        let row = grant::ActiveModel {
            refresh_token: Set(self.seal(&id, "refresh_token", refresh).await?),
            access_token: Set(Some(self.seal(&id, "access_token", &tokens.access_token).await?)),
            id_token: Set(match &tokens.id_token {
                Some(token) => Some(self.seal(&id, "id_token", token).await?),
                None => None,
            }),
            access_expires_ms: Set(Some(now + tokens.expires_in.saturating_mul(1000))),
            id: Set(id.clone()),
            person: Set(person.to_owned()),
            sid: Set(sid.to_owned()),
            created_ms: Set(now),
            confirmed_ms: Set(now),
            lease: Set(None),
            lease_ends_ms: Set(None),
            ended_ms: Set(None),
        };
        row.insert(on).await?;
        Ok(id)
    }

    /// An access token of the person's newest grant; none when they have to sign in first.
    pub(super) async fn access(
        &self,
        identity: &Identity,
        person: &str,
    ) -> Result<Option<SecretString>, IdentityError> {
        let Some(newest) = self.newest(identity, person).await? else {
            return Ok(None);
        };
        match self.refresh(identity, &newest.id, None).await? {
            Access::Token(token) => Ok(Some(token)),
            Access::Over | Access::Refused => Ok(None),
        }
    }

    /// An access token of a grant. With `since_ms`, Keycloak has said after that time that the grant is good.
    pub(super) async fn refresh(
        &self,
        identity: &Identity,
        id: &str,
        since_ms: Option<i64>,
    ) -> Result<Access, IdentityError> {
        let flight = self.flights.of(id);
        let _alone = flight.lock().await;
        let lease_for = self.settings.timeout + AFTER_CALL;
        let give_up = tokio::time::Instant::now() + lease_for;
        loop {
            let row = grant::Entity::find_by_id(id).one(identity.write()).await?;
            let Some(row) = row.filter(|row| row.ended_ms.is_none()) else {
                return Ok(Access::Over);
            };
            let now = identity.now();
            let lives = row.access_expires_ms.is_some_and(|ends| ends > now + LEFT_MS);
            let confirmed = since_ms.is_none_or(|since| row.confirmed_ms >= since);
            if let (true, true, Some(token)) = (lives, confirmed, &row.access_token) {
                return Ok(Access::Token(self.unseal(id, "access_token", token).await?));
            }
            let lease = Uuid::new_v4().to_string();
            let free = Condition::any()
                .add(grant::Column::LeaseEndsMs.is_null())
                .add(grant::Column::LeaseEndsMs.lte(now));
            let taken = grant::Entity::update_many()
                .col_expr(grant::Column::Lease, Expr::value(lease.clone()))
                .col_expr(grant::Column::LeaseEndsMs, Expr::value(now + millis(lease_for)))
                .filter(grant::Column::Id.eq(id))
                .filter(grant::Column::EndedMs.is_null())
                .filter(free)
                .exec(identity.write())
                .await?;
            if taken.rows_affected > 0 {
                return self.present(identity, row, &lease).await;
            }
            if tokio::time::Instant::now() >= give_up {
                return Err(IdentityError::Provider(
                    "another replica is still asking Keycloak".to_owned(),
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Presents the refresh token of a row that is leased to us.
    async fn present(&self, identity: &Identity, row: grant::Model, lease: &str) -> Result<Access, IdentityError> {
        // What another replica wrote between our look and our lease is what counts.
        let row = grant::Entity::find_by_id(&row.id)
            .one(identity.write())
            .await?
            .unwrap_or(row);
        let token = self.unseal(&row.id, "refresh_token", &row.refresh_token).await?;
        match self.endpoints.refresh(&token).await {
            Ok(tokens) => {
                self.renew(identity, &row, lease, &tokens).await?;
                Ok(Access::Token(tokens.access_token))
            }
            Err(error) => {
                let free = grant::Entity::update_many()
                    .col_expr(grant::Column::Lease, Expr::value(Option::<String>::None))
                    .col_expr(grant::Column::LeaseEndsMs, Expr::value(Some(identity.now())))
                    .filter(grant::Column::Id.eq(&row.id))
                    .filter(grant::Column::Lease.eq(lease));
                let freed = free.exec(identity.write()).await?;
                match error.refusal() {
                    // Whoever has the lease now decides.
                    Some(_) if freed.rows_affected == 0 => {
                        Err(IdentityError::Provider("the answer came after the lease".to_owned()))
                    }
                    Some(Refusal::Over) => {
                        tracing::info!(person = row.person, %error, "a grant is over");
                        self.end_grant(identity, &row.id, PROVIDER).await?;
                        self.look_whether_gone(identity, &row.person).await?;
                        Ok(Access::Over)
                    }
                    Some(Refusal::Person) => {
                        self.set_refused(identity, &row.person, true).await?;
                        Ok(Access::Refused)
                    }
                    Some(Refusal::Ours) | None => Err(IdentityError::Provider(error.to_string())),
                }
            }
        }
    }

    async fn renew(
        &self,
        identity: &Identity,
        row: &grant::Model,
        lease: &str,
        tokens: &Tokens,
    ) -> Result<(), IdentityError> {
        let now = identity.now();
        let access = self.seal(&row.id, "access_token", &tokens.access_token).await?;
        let mut update = grant::Entity::update_many()
            .col_expr(grant::Column::AccessToken, Expr::value(Some(access)))
            .col_expr(
                grant::Column::AccessExpiresMs,
                Expr::value(Some(now + tokens.expires_in.saturating_mul(1000))),
            )
            .col_expr(grant::Column::ConfirmedMs, Expr::value(now))
            .col_expr(grant::Column::Lease, Expr::value(Option::<String>::None))
            .col_expr(grant::Column::LeaseEndsMs, Expr::value(Option::<i64>::None));
        let columns = [
            (grant::Column::RefreshToken, "refresh_token", &tokens.refresh_token),
            (grant::Column::IdToken, "id_token", &tokens.id_token),
        ];
        for (column, name, token) in columns {
            if let Some(token) = token {
                update = update.col_expr(column, Expr::value(self.seal(&row.id, name, token).await?));
            }
        }
        update
            .filter(grant::Column::Id.eq(&row.id))
            .filter(grant::Column::Lease.eq(lease))
            .exec(identity.write())
            .await?;
        self.set_refused(identity, &row.person, false).await?;
        if let Some(token) = &tokens.id_token {
            self.follow(identity, &row.person, token).await?;
        }
        Ok(())
    }

    /// Takes over what Keycloak says of a person now: another address, and that it is verified.
    async fn follow(&self, identity: &Identity, person: &str, token: &SecretString) -> Result<(), IdentityError> {
        match self.refreshed_claims(token).await {
            Ok(claims) if claims.sub == person => match identity.take_over(person, claims.arrival()).await {
                Err(IdentityError::Taken) => {
                    tracing::warn!(person, "Keycloak names an address that somebody else has verified here");
                    Ok(())
                }
                done => done,
            },
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "an ID token of a refresh is not believed");
                Ok(())
            }
        }
    }

    /// Asks Keycloak what it says of a person now.
    pub(super) async fn renew_person(&self, identity: &Identity, person: &str) -> Result<(), IdentityError> {
        let now = identity.now();
        let newest = self.newest(identity, person).await?;
        match newest {
            Some(newest) => self.refresh(identity, &newest.id, Some(now)).await.map(drop),
            None => Ok(()),
        }
    }

    async fn newest(&self, identity: &Identity, person: &str) -> Result<Option<grant::Model>, IdentityError> {
        let newest = grant::Entity::find()
            .filter(grant::Column::Person.eq(person))
            .filter(grant::Column::EndedMs.is_null())
            .order_by_desc(grant::Column::CreatedMs)
            .one(identity.read());
        Ok(newest.await?)
    }

    async fn seal(&self, id: &str, column: &str, token: &SecretString) -> Result<Vec<u8>, IdentityError> {
        let value = Bytes::copy_from_slice(token.expose_secret().as_bytes());
        let sealed = self.vault.seal(TABLE.to_owned(), format!("{id}/{column}"), value);
        Ok(sealed.await?.to_vec())
    }

    pub(super) async fn unseal(&self, id: &str, column: &str, sealed: &[u8]) -> Result<SecretString, IdentityError> {
        let sealed = Bytes::copy_from_slice(sealed);
        let opened = self.vault.open(TABLE.to_owned(), format!("{id}/{column}"), sealed);
        super::text(&opened.await?)
    }
}
