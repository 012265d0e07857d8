//! Retention: what has ended is removed in pieces, each one commit; on PostgreSQL its bodies follow by the day ([`super::days`]).

use jackfield_inbox::store::StoreResult;
use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};
use uuid::Uuid;

use super::{SqlStore, rows::get, store_error};

/// What hangs on a delivery, and the delivery; the dedup key first, as `accept` locks it first.
const BELONGINGS: [(&str, &str); 5] = [
    ("dedup", "delivery"),
    ("memo", "job"),
    ("attempt", "job"),
    ("body", "id"),
    ("delivery", "id"),
];

impl SqlStore {
    pub(super) async fn purge_old(&self, before_ms: i64, limit: u32) -> StoreResult<u64> {
        let tx = self.begin().await?;
        let old = self.lock_old(&tx, before_ms, limit).await?;
        for (table, column) in BELONGINGS {
            if old.is_empty() {
                break;
            }
            if table == "body" && !self.db.is_sqlite() {
                continue;
            }
            let these = self.in_set();
            let text = match table {
                // A key is found by its index, not by the delivery it belongs to.
                "dedup" => format!("DELETE FROM dedup WHERE key IN (SELECT dedup FROM delivery WHERE id {these})"),
                _ => format!("DELETE FROM {table} WHERE {column} {these}"),
            };
            let remove = self.statement(&text, [self.set(&old)]);
            tx.execute_raw(remove).await.map_err(store_error)?;
        }
        // A topic's number is not less than the time of its last signal, so none of its signals is left either.
        for text in [
            "DELETE FROM signal WHERE sent_ms < $1",
            "DELETE FROM replay WHERE finished AND begun_ms < $1",
            "DELETE FROM topic WHERE seq < $1 AND NOT EXISTS (SELECT 1 FROM job j \
             WHERE j.plugin = topic.plugin AND j.wait_topic = topic.topic)",
        ] {
            let statement = self.statement(text, [before_ms.into()]);
            tx.execute_raw(statement).await.map_err(store_error)?;
        }
        tx.commit().await.map_err(store_error)?;
        if old.len() < limit as usize {
            let made = self.db.make_days(time::OffsetDateTime::now_utc()).await;
            made.map_err(store_error)?;
            self.drop_days(before_ms).await?;
        }
        Ok(old.len() as u64)
    }

    /// The oldest that have ended. On PostgreSQL the key is locked before the delivery, and what a sender resends at this
    /// moment is left for the next time, so nothing that is answered for goes away.
    async fn lock_old(&self, tx: &DatabaseTransaction, before_ms: i64, limit: u32) -> StoreResult<Vec<Uuid>> {
        let text = "SELECT d.id FROM delivery d WHERE d.state IS NOT NULL AND d.received_ms < $1 ORDER BY d.received_ms LIMIT $2";
        let values: [Value; 2] = [before_ms.into(), i64::from(limit).into()];
        let old = if self.db.is_sqlite() {
            tx.query_all_raw(self.statement(text, values)).await
        } else {
            let keys = "SELECT d.id FROM delivery d JOIN dedup k ON k.key = d.dedup \
                 WHERE d.state IS NOT NULL AND d.received_ms < $1 ORDER BY d.received_ms LIMIT $2 FOR UPDATE OF k SKIP LOCKED";
            let keys = tx
                .query_all_raw(self.statement(keys, values))
                .await
                .map_err(store_error)?;
            let ids: Vec<Uuid> = keys.iter().map(|row| get(row, "id")).collect::<StoreResult<_>>()?;
            let text =
                "SELECT id FROM delivery WHERE id = ANY($1::uuid[]) AND state IS NOT NULL ORDER BY id FOR UPDATE";
            tx.query_all_raw(self.statement(text, [self.set(&ids)])).await
        };
        old.map_err(store_error)?.iter().map(|row| get(row, "id")).collect()
    }
}
