//! What is asked of Keycloak beside requests: nobody waits for it.

use std::sync::Arc;

use jackfield_storage::entity::{keycloak_grant as grant, person};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Query};

use super::Keycloak;
use crate::{core::Identity, error::IdentityError};

/// One that nobody uses, so that it does not end for idleness (30 days, spec/10 §11.2), and so that keys of people who left end.
const KEEP_ALIVE_MS: i64 = 86_400_000;
/// One whose person Keycloak refused, to learn when they may again.
const REFUSED_MS: i64 = 60_000;
/// Between two tries of one that fails.
const REST_MS: i64 = 3_600_000;
/// Grants that one look takes up.
const AT_ONCE: u64 = 100;

/// What there is to do beside requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Work {
    /// Whether it answers.
    Look,
    /// Somebody is there.
    Confirm(String),
    /// A grant's turn.
    Refresh(String),
    /// A session ended, or a new one began.
    Tidy(String),
    /// A session on this grant ended.
    LogOut(String),
}

impl Keycloak {
    /// Asks Keycloak about the grants of somebody who is there whose access tokens have ended: as often as their life says.
    pub(super) async fn confirm(&self, identity: &Identity, person: &str) -> Result<(), IdentityError> {
        let now = identity.now();
        let stale = grant::Entity::find()
            .filter(grant::Column::Person.eq(person))
            .filter(grant::Column::EndedMs.is_null())
            .filter(grant::Column::AccessExpiresMs.lte(now))
            .limit(AT_ONCE)
            .all(identity.read())
            .await?;
        for row in stale {
            self.refresh(identity, &row.id, Some(now)).await?;
        }
        Ok(())
    }

    /// Grants that nobody uses and whose turn it is.
    pub(super) async fn due(&self, identity: &Identity) -> Result<Vec<String>, IdentityError> {
        let now = identity.now();
        // Those that fail again and again leave the others their turn.
        let rested = Condition::any()
            .add(grant::Column::LeaseEndsMs.is_null())
            .add(grant::Column::LeaseEndsMs.lt(now - REST_MS));
        let old = grant::Entity::find()
            .filter(grant::Column::EndedMs.is_null())
            .filter(grant::Column::ConfirmedMs.lt(now - KEEP_ALIVE_MS))
            .filter(rested)
            .order_by_asc(grant::Column::ConfirmedMs)
            .limit(AT_ONCE)
            .all(identity.read())
            .await?;
        let with_grants = Query::select()
            .column(grant::Column::Person)
            .from(grant::Entity)
            .and_where(grant::Column::EndedMs.is_null())
            .to_owned();
        let refused = person::Entity::find()
            .filter(person::Column::RefusedMs.lt(now - REFUSED_MS))
            .filter(person::Column::Id.in_subquery(with_grants))
            .order_by_asc(person::Column::RefusedMs)
            .limit(AT_ONCE)
            .all(identity.read())
            .await?;
        let refused: Vec<String> = refused.into_iter().map(|row| row.id).collect();
        let theirs = grant::Entity::find()
            .filter(grant::Column::Person.is_in(refused))
            .filter(grant::Column::EndedMs.is_null())
            .limit(AT_ONCE)
            .all(identity.read())
            .await?;
        Ok(old.into_iter().chain(theirs).map(|row| row.id).collect())
    }

    pub(super) async fn work(self: Arc<Self>, identity: Identity, work: Work) {
        let done = match &work {
            Work::Look => self.keys.read(&self.endpoints).await.map_err(Into::into),
            Work::Confirm(person) => self.confirm(&identity, person).await,
            Work::Refresh(id) => {
                let now = identity.now();
                self.refresh(&identity, id, Some(now)).await.map(drop)
            }
            Work::Tidy(person) => self.tidy(&identity, person).await,
            Work::LogOut(id) => self.log_out(&identity, id).await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "Keycloak could not be asked; it is asked again later");
        }
    }
}
