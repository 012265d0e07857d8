//! Changes that caches must hear of, on this replica and on the others.
//!
//! A row for each subject says when it changed last. Every replica reads the rows of the last seconds twice a second:
//! windows that overlap, so that a transaction which commits late hides nothing. All replicas go by the database's clock.

use jackfield_storage::entity::identity_change as change;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, sea_query::OnConflict};

use crate::{core::Identity, error::IdentityError};

/// How far back a look goes.
const WINDOW_MS: i64 = 15_000;
/// How long rows are kept.
const KEPT_MS: i64 = 600_000;

/// `person:ID`.
pub(crate) fn person(id: &str) -> String {
    format!("person:{id}")
}

/// `session:ID`.
pub(crate) fn session(id: &str) -> String {
    format!("session:{id}")
}

/// `key:N`.
pub(crate) fn key(id: i64) -> String {
    format!("key:{id}")
}

impl Identity {
    /// Notes that `subject` changed; `on` is the transaction that changes it.
    pub(crate) async fn changed(&self, on: &impl ConnectionTrait, subject: String) -> Result<(), DbErr> {
        let now = self.now();
        self.0.cache.forget(&subject, now);
        let row = change::ActiveModel {
            subject: Set(subject),
            at_ms: Set(now),
        };
        let latest = OnConflict::column(change::Column::Subject)
            .update_column(change::Column::AtMs)
            .to_owned();
        change::Entity::insert(row)
            .on_conflict(latest)
            .exec_without_returning(on)
            .await?;
        Ok(())
    }

    pub(crate) async fn take_changes(&self) -> Result<(), IdentityError> {
        let now = self.now();
        let since = now - WINDOW_MS;
        let rows = change::Entity::find()
            .filter(change::Column::AtMs.gte(since))
            .all(self.read())
            .await?;
        for row in rows {
            self.0.cache.heard(&row.subject, row.at_ms, now);
        }
        self.0.cache.trim(now);
        Ok(())
    }

    pub(crate) async fn forget_changes(&self) -> Result<(), IdentityError> {
        change::Entity::delete_many()
            .filter(change::Column::AtMs.lt(self.now() - KEPT_MS))
            .exec(self.write())
            .await?;
        Ok(())
    }
}
