//! `POST /oauth/keycloak/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0): Keycloak says that a session ended.
//!
//! It is a hint: Keycloak sends it once, and not at every end (spec/15 §5). Keycloak's own logout waits for the answer, so
//! only our rows are written before it.

use std::sync::Arc;

use axum::{Form, extract::State, response::Response};
use http::{HeaderValue, StatusCode, header};
use jackfield_storage::entity::{keycloak_grant as grant, keycloak_logout as logout};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::OnConflict};
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    Keycloak, PROVIDER,
    claims::{LogoutClaims, TokenError},
    work::Work,
};
use crate::{
    caller::{away, refusal},
    core::Identity,
    error::IdentityError,
    token,
};

#[derive(Deserialize)]
pub(super) struct Told {
    logout_token: SecretString,
}

pub(super) async fn logout(
    State((identity, keycloak)): State<(Identity, Arc<Keycloak>)>,
    Form(told): Form<Told>,
) -> Response {
    let claims = match keycloak.logout_claims(&told.logout_token).await {
        Ok(claims) => claims,
        Err(error @ TokenError::Keycloak(_)) => {
            tracing::warn!(%error, "a logout cannot be checked");
            return away();
        }
        Err(error) => {
            tracing::info!(%error, "a logout token is not believed");
            return refusal(StatusCode::BAD_REQUEST, "invalid_request");
        }
    };
    match keycloak.logged_out(&identity, &claims).await {
        Ok(()) => {
            let mut response = Response::default();
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            tracing::warn!(%error, "a logout cannot be carried out");
            away()
        }
    }
}

impl Keycloak {
    async fn logged_out(&self, identity: &Identity, claims: &LogoutClaims) -> Result<(), IdentityError> {
        let seen = logout::ActiveModel {
            hash: Set(token::hash(&claims.jti).to_vec()),
            sid: Set(claims.sid.clone()),
            // As long as its clock may be behind ours, too.
            expires_ms: Set(claims.exp.saturating_mul(1000).saturating_add(120_000)),
        };
        let new = logout::Entity::insert(seen)
            .on_conflict(OnConflict::column(logout::Column::Hash).do_nothing().to_owned())
            .exec_without_returning(identity.write())
            .await?;
        if new == 0 {
            return Ok(());
        }
        let mut grants = grant::Entity::find().filter(grant::Column::EndedMs.is_null());
        if let Some(sid) = &claims.sid {
            grants = grants.filter(grant::Column::Sid.eq(sid));
        }
        if let Some(sub) = &claims.sub {
            grants = grants.filter(grant::Column::Person.eq(sub));
        }
        let ids: Vec<String> = grants
            .all(identity.write())
            .await?
            .into_iter()
            .map(|row| row.id)
            .collect();
        self.end_sessions_on(identity, &ids, PROVIDER).await?;
        // Whether what is offline ended as well, its refresh says.
        ids.into_iter().for_each(|id| self.enqueue(Work::Refresh(id)));
        Ok(())
    }

    /// Whether Keycloak said that a session ended, before we had one that stands on it.
    pub(super) async fn was_logged_out(&self, identity: &Identity, sid: &str) -> Result<bool, IdentityError> {
        let told = logout::Entity::find()
            .filter(logout::Column::Sid.eq(sid))
            .one(identity.write())
            .await?;
        Ok(told.is_some())
    }

    pub(super) async fn forget_logouts(&self, identity: &Identity) -> Result<(), IdentityError> {
        logout::Entity::delete_many()
            .filter(logout::Column::ExpiresMs.lt(identity.now()))
            .exec(identity.write())
            .await?;
        Ok(())
    }
}
