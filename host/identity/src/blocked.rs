//! Domains whose addresses may not sign in (spec/10 §13.3): asked at sign-in, and at every look-up of a session or key, where
//! an answer of the last seconds will do.

use jackfield_storage::entity::blocked_email_domain as blocked;
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, sea_query::OnConflict};

use crate::{core::Identity, error::IdentityError, people};

impl Identity {
    /// Whether addresses of a domain may not sign in: the domain, or one above it, is listed.
    pub async fn is_blocked(&self, domain: &str) -> Result<bool, IdentityError> {
        let domain = domain.trim().to_lowercase();
        let mut above = Some(domain.as_str());
        let mut any = Condition::any();
        while let Some(one) = above {
            any = any.add(blocked::Column::Domain.eq(one));
            above = one.split_once('.').map(|(_, rest)| rest);
        }
        Ok(blocked::Entity::find().filter(any).one(self.read()).await?.is_some())
    }

    /// The same, as it was a few seconds ago at most; at once where it was changed by this host.
    pub(crate) async fn was_blocked(&self, domain: &str) -> Result<bool, IdentityError> {
        if let Some(known) = self.0.blocked.get(domain) {
            return Ok(known);
        }
        let blocked = self.is_blocked(domain).await?;
        self.0.blocked.insert(domain.to_owned(), blocked);
        Ok(blocked)
    }

    /// All of them, in order.
    pub async fn blocked_domains(&self) -> Result<Vec<String>, IdentityError> {
        let rows = blocked::Entity::find()
            .order_by_asc(blocked::Column::Domain)
            .all(self.read());
        Ok(rows.await?.into_iter().map(|row| row.domain).collect())
    }

    /// Blocks a domain and all below it; gives it as it is kept.
    pub async fn block_domain(&self, domain: &str) -> Result<String, IdentityError> {
        let domain = kept(domain)?;
        let row = blocked::ActiveModel {
            domain: Set(domain.clone()),
            created_ms: Set(self.now()),
        };
        blocked::Entity::insert(row)
            .on_conflict(OnConflict::column(blocked::Column::Domain).do_nothing().to_owned())
            .exec_without_returning(self.write())
            .await?;
        self.0.blocked.invalidate_all();
        Ok(domain)
    }

    /// Lets a domain in again; tells whether it was blocked.
    pub async fn unblock_domain(&self, domain: &str) -> Result<bool, IdentityError> {
        let deleted = blocked::Entity::delete_by_id(kept(domain)?).exec(self.write()).await?;
        self.0.blocked.invalidate_all();
        Ok(deleted.rows_affected > 0)
    }
}

/// What was asked about domains lately.
pub(crate) fn asked_lately() -> moka::sync::Cache<String, bool> {
    moka::sync::Cache::builder()
        .max_capacity(10_000)
        .time_to_live(std::time::Duration::from_secs(5))
        .build()
}

/// As it is compared: `.us` and `us` are the same.
fn kept(domain: &str) -> Result<String, IdentityError> {
    let plain = domain.trim().trim_start_matches('.').to_lowercase();
    match people::domain(&format!("x@{plain}")) {
        Some(_) => Ok(plain),
        None => Err(IdentityError::Domain(domain.to_owned())),
    }
}
