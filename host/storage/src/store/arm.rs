//! Arming ended work again: a resend of what is dead, a replay.

use std::collections::HashSet;

use jackfield_inbox::{model::ReplayMode, store::StoreResult};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use uuid::Uuid;

use super::{SqlStore, rows::get, store_error};

impl SqlStore {
    /// Which of these are dead; they are locked, in the order of ids, as a replay locks them.
    pub(super) async fn dead_of(&self, tx: &DatabaseTransaction, ids: HashSet<Uuid>) -> StoreResult<Vec<Uuid>> {
        let mut dead = Vec::new();
        if ids.is_empty() {
            return Ok(dead);
        }
        let lock = if self.db.is_sqlite() { "" } else { "FOR UPDATE" };
        let text = format!(
            "SELECT id FROM delivery WHERE id {} AND state = 'dead' ORDER BY id {lock}",
            self.in_set()
        );
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let statement = self.statement(&text, [self.set(&ids)]);
        for row in tx.query_all_raw(statement).await.map_err(store_error)? {
            dead.push(get(&row, "id")?);
        }
        Ok(dead)
    }

    /// Arms what has ended; the caller holds the locks. With the same keys from the start, every step may have been done
    /// before, so it is told to look first; with new keys nothing has.
    pub(super) async fn arm(&self, tx: &DatabaseTransaction, ids: &[Uuid], mode: ReplayMode) -> StoreResult<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let dirty = match mode {
            ReplayMode::Resume => "dirty",
            ReplayMode::FromStart => "attempts > 0",
            ReplayMode::Again => "1 = 0",
        };
        let epoch = i32::from(mode == ReplayMode::Again);
        let these = self.in_set();
        let run = async |text: String| {
            let statement = self.statement(&text, [self.set(ids)]);
            tx.execute_raw(statement).await.map_err(store_error).map(|_| ())
        };
        if mode != ReplayMode::Resume {
            run(format!("DELETE FROM memo WHERE job {these}")).await?;
        }
        run(format!(
            "INSERT INTO job (id, plugin, tenant, lane, state, run_at, token, attempts, dirty) \
             SELECT id, plugin, tenant, lane, 'pending', {{now}}, token, attempts, {dirty} FROM delivery \
             WHERE id {these} ORDER BY id"
        ))
        .await?;
        run(format!(
            "INSERT INTO attempt (job, number, started_ms, ended_ms) SELECT id, attempts, began_ms, finished_ms FROM delivery \
             WHERE id {these} AND began_ms IS NOT NULL"
        ))
        .await?;
        run(format!(
            "UPDATE delivery SET state = NULL, began_ms = NULL, finished_ms = NULL, outcome = NULL, summary = NULL, reason = NULL, \
             overtaken = (1 = 0), epoch = epoch + {epoch} WHERE id {these}"
        ))
        .await
    }
}
