//! When sessions and keys were used last: noted in memory, written in one go every few seconds.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jackfield_storage::entity::{api_key, session};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use crate::{core::Identity, error::IdentityError, token::Hash};

/// Rows of one statement.
const ROWS: usize = 500;

#[derive(Default)]
pub(crate) struct Seen(Mutex<HashMap<Hash, Use>>);

#[derive(Clone, Copy)]
pub(crate) struct Use {
    pub(crate) at_ms: i64,
    pub(crate) is_key: bool,
}

impl Seen {
    pub(crate) fn note(&self, hash: Hash, used: Use) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, used);
    }

    fn take(&self) -> HashMap<Hash, Use> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Identity {
    /// Writes what was noted. All of a batch get the time of the latest: seconds do not matter here.
    pub(crate) async fn write_seen(&self) -> Result<(), IdentityError> {
        let all = self.0.seen.take();
        let Some(latest) = all.values().map(|used| used.at_ms).max() else {
            return Ok(());
        };
        let of = |is_key: bool| -> Vec<Vec<u8>> {
            let those = all.iter().filter(|(_, used)| used.is_key == is_key);
            those.map(|(hash, _)| hash.to_vec()).collect()
        };
        for hashes in of(false).chunks(ROWS) {
            session::Entity::update_many()
                .col_expr(session::Column::SeenMs, Expr::value(latest))
                .filter(session::Column::Hash.is_in(hashes.to_vec()))
                .exec(self.write())
                .await?;
        }
        for hashes in of(true).chunks(ROWS) {
            api_key::Entity::update_many()
                .col_expr(api_key::Column::LastUsedMs, Expr::value(latest))
                .filter(api_key::Column::Hash.is_in(hashes.to_vec()))
                .exec(self.write())
                .await?;
        }
        Ok(())
    }
}
