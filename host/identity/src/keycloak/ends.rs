//! How grants end, and what ends with them; and people whom Keycloak shuts out for a while.

use jackfield_sdk::identity::AuditEntry;
use jackfield_storage::entity::{keycloak_grant as grant, person, session};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr};

use super::{Keycloak, PROVIDER};
use crate::{change, core::Identity, error::IdentityError};

/// How long ended grants are kept.
const KEPT_MS: i64 = 7 * 86_400_000;

impl Keycloak {
    /// Ends a grant, and the sessions that stand on it.
    pub(super) async fn end_grant(&self, identity: &Identity, id: &str, actor: &str) -> Result<(), IdentityError> {
        let now = identity.now();
        grant::Entity::update_many()
            .col_expr(grant::Column::EndedMs, Expr::value(now))
            .filter(grant::Column::Id.eq(id))
            .filter(grant::Column::EndedMs.is_null())
            .exec(identity.write())
            .await?;
        self.end_sessions_on(identity, &[id.to_owned()], actor).await
    }

    /// Ends the open sessions that stand on these grants; the grants stay.
    pub(super) async fn end_sessions_on(
        &self,
        identity: &Identity,
        grants: &[String],
        actor: &str,
    ) -> Result<(), IdentityError> {
        let open = session::Entity::find()
            .filter(session::Column::KeycloakGrant.is_in(grants.to_vec()))
            .filter(session::Column::EndedMs.is_null())
            .all(identity.write())
            .await?;
        for row in open {
            if !identity.close_session(&row.person, &row.id).await? {
                continue;
            }
            let entry = AuditEntry {
                actor: actor.to_owned(),
                action: "session.ended".to_owned(),
                target: change::session(&row.id),
                address: None,
                detail: serde_json::json!({ "person": row.person }),
            };
            identity.record(entry).await?;
        }
        Ok(())
    }

    /// A person whose grant is over may have lost their account with it.
    pub(super) async fn look_whether_gone(&self, identity: &Identity, person: &str) -> Result<(), IdentityError> {
        match self.admin.lets_in(person).await {
            Ok(lets_in) => self.set_refused(identity, person, !lets_in).await,
            Err(error) => {
                tracing::warn!(%error, "Keycloak cannot be asked about an account");
                Ok(())
            }
        }
    }

    pub(super) async fn set_refused(
        &self,
        identity: &Identity,
        person: &str,
        refused: bool,
    ) -> Result<(), IdentityError> {
        let before = identity.person(person).await?;
        let was = before.is_some_and(|person| person.refused_ms.is_some());
        if !was && !refused {
            return Ok(());
        }
        let tx = identity.0.database.begin().await?;
        person::Entity::update_many()
            .col_expr(
                person::Column::RefusedMs,
                Expr::value(refused.then_some(identity.now())),
            )
            .filter(person::Column::Id.eq(person))
            .exec(&tx)
            .await?;
        if was != refused {
            identity.changed(&tx, change::person(person)).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Ends grants that no session stands on any more, but for the newest; at Keycloak too.
    pub(super) async fn tidy(&self, identity: &Identity, person: &str) -> Result<(), IdentityError> {
        let all = grant::Entity::find()
            .filter(grant::Column::Person.eq(person))
            .filter(grant::Column::EndedMs.is_null())
            .order_by_desc(grant::Column::CreatedMs)
            .order_by_desc(grant::Column::Id)
            .all(identity.write())
            .await?;
        let used: Vec<Option<String>> = identity
            .open_sessions(person)
            .await?
            .into_iter()
            .map(|row| row.keycloak_grant)
            .collect();
        for row in all.into_iter().skip(1) {
            if used.contains(&Some(row.id.clone())) {
                continue;
            }
            let token = self.unseal(&row.id, "refresh_token", &row.refresh_token).await?;
            match self.endpoints.end(&token).await {
                Ok(()) => {}
                Err(error) if error.refusal().is_some() => {}
                // It is tried again when the person comes or goes next.
                Err(error) => return Err(IdentityError::Provider(error.to_string())),
            }
            self.end_grant(identity, &row.id, PROVIDER).await?;
        }
        Ok(())
    }

    /// Ends the browser's session at Keycloak, where it has one, after a session of ours ended. Tells nobody who waits.
    pub(super) async fn log_out(&self, identity: &Identity, id: &str) -> Result<(), IdentityError> {
        let row = grant::Entity::find_by_id(id).one(identity.read()).await?;
        let Some((row, token)) = row.and_then(|mut row| row.id_token.take().map(|token| (row, token))) else {
            return Ok(());
        };
        let token = self.unseal(&row.id, "id_token", &token).await?;
        match self.endpoints.end_browser_session(&token).await {
            Err(error) if error.refusal().is_none() => Err(IdentityError::Provider(error.to_string())),
            _ => Ok(()),
        }
    }

    pub(super) async fn forget_grants(&self, identity: &Identity) -> Result<(), IdentityError> {
        grant::Entity::delete_many()
            .filter(grant::Column::EndedMs.lt(identity.now() - KEPT_MS))
            .exec(identity.write())
            .await?;
        Ok(())
    }
}
