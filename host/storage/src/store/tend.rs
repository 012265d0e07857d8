//! Leases, signals, holds, retention, small values, the clock.

use bytes::Bytes;
use jackfield_inbox::{
    model::Count,
    store::{StoreError, StoreResult},
};
use jackfield_sdk::run::Fence;
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use uuid::Uuid;

use super::{
    SqlStore,
    accept::{int_array, uuid_array},
    away,
    rows::{get, state},
};

impl SqlStore {
    pub(super) async fn extend_leases(&self, fences: &[Fence], lease_ms: u64) -> StoreResult<Vec<Fence>> {
        let lease = i64::try_from(lease_ms).unwrap_or(i64::MAX / 4);
        let mut held: Vec<Uuid> = Vec::new();
        if self.db.is_sqlite() {
            let tx = self.begin().await?;
            for fence in fences {
                let statement = self.statement(
                    "UPDATE job SET lease_until = {now} + $3 WHERE id = $1 AND token = $2 AND state = 'running'",
                    [fence.job.into(), fence.token.into(), lease.into()],
                );
                if tx.execute_raw(statement).await.map_err(away)?.rows_affected() > 0 {
                    held.push(fence.job);
                }
            }
            tx.commit().await.map_err(away)?;
        } else {
            let statement = self.statement(
                "UPDATE job j SET lease_until = {now} + $3 FROM unnest($1::uuid[], $2::bigint[]) AS f(id, token) \
                 WHERE j.id = f.id AND j.token = f.token AND j.state = 'running' RETURNING j.id",
                [
                    uuid_array(fences.iter().map(|fence| fence.job)),
                    int_array(fences.iter().map(|fence| fence.token)),
                    lease.into(),
                ],
            );
            for row in self.db.write.query_all_raw(statement).await.map_err(away)? {
                held.push(get(&row, "id")?);
            }
        }
        Ok(fences
            .iter()
            .copied()
            .filter(|fence| !held.contains(&fence.job))
            .collect())
    }

    pub(super) async fn reclaim_lost(&self) -> StoreResult<u64> {
        let look = self.statement(
            "SELECT 1 AS one FROM job WHERE state = 'running' AND lease_until < {now} LIMIT 1",
            [],
        );
        if self.db.read.query_one_raw(look).await.map_err(away)?.is_none() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let lock = if self.db.is_sqlite() {
            ""
        } else {
            " FOR UPDATE SKIP LOCKED"
        };
        let text = format!(
            "SELECT id, plugin, lane FROM job WHERE state = 'running' AND lease_until < {{now}} ORDER BY id{lock}"
        );
        let lost = tx.query_all_raw(self.statement(&text, [])).await.map_err(away)?;
        for row in &lost {
            let id: Uuid = get(row, "id")?;
            let back = "UPDATE job SET state = 'pending', run_at = {now} WHERE id = $1";
            tx.execute_raw(self.statement(back, [id.into()])).await.map_err(away)?;
            tx.execute_raw(self.statement(
                "DELETE FROM lane_lease WHERE job = $1 AND plugin = $2 AND lane = $3",
                [
                    id.into(),
                    get::<String>(row, "plugin")?.into(),
                    get::<Option<String>>(row, "lane")?.into(),
                ],
            ))
            .await
            .map_err(away)?;
        }
        tx.commit().await.map_err(away)?;
        Ok(lost.len() as u64)
    }

    pub(super) async fn send_signal(&self, plugin: &str, topic: &str, value: Bytes) -> StoreResult<i64> {
        let tx = self.begin().await?;
        let next = self.statement(
            "INSERT INTO topic (plugin, topic, seq) VALUES ($1, $2, 1) \
             ON CONFLICT (plugin, topic) DO UPDATE SET seq = topic.seq + 1 RETURNING seq",
            [plugin.into(), topic.into()],
        );
        let row = tx.query_one_raw(next).await.map_err(away)?;
        let row = row.ok_or_else(|| StoreError("the topic has no row".to_owned()))?;
        let seq: i64 = get(&row, "seq")?;
        let signal = self.statement(
            "INSERT INTO signal (plugin, topic, seq, sent_ms, value) VALUES ($1, $2, $3, {now}, $4)",
            [plugin.into(), topic.into(), seq.into(), value.to_vec().into()],
        );
        tx.execute_raw(signal).await.map_err(away)?;
        let wake = self.statement(
            "UPDATE job SET run_at = {now} WHERE plugin = $1 AND wait_topic = $2 AND state = 'waiting' AND run_at > {now}",
            [plugin.into(), topic.into()],
        );
        tx.execute_raw(wake).await.map_err(away)?;
        tx.commit().await.map_err(away)?;
        Ok(seq)
    }

    pub(super) async fn topic_cursor(&self, plugin: &str, topic: &str) -> StoreResult<i64> {
        let statement = self.statement(
            "SELECT seq FROM topic WHERE plugin = $1 AND topic = $2",
            [plugin.into(), topic.into()],
        );
        let row = self.db.read.query_one_raw(statement).await.map_err(away)?;
        row.map_or(Ok(0), |row| get(&row, "seq"))
    }

    pub(super) async fn cancel_one(&self, id: Uuid, reason: &str) -> StoreResult<bool> {
        let tx = self.begin().await?;
        let gone = self.statement(
            "DELETE FROM job WHERE id = $1 RETURNING token, attempts, dirty",
            [id.into()],
        );
        let Some(row) = tx.query_one_raw(gone).await.map_err(away)? else {
            tx.rollback().await.map_err(away)?;
            return Ok(false);
        };
        tx.execute_raw(self.statement("DELETE FROM lane_lease WHERE job = $1", [id.into()]))
            .await
            .map_err(away)?;
        let end = self.statement(
            "UPDATE delivery SET state = 'cancelled', finished_ms = {now}, reason = $2, token = $3, attempts = $4, dirty = $5 \
             WHERE id = $1",
            [
                id.into(),
                reason.into(),
                get::<i64>(&row, "token")?.into(),
                get::<i32>(&row, "attempts")?.into(),
                get::<bool>(&row, "dirty")?.into(),
            ],
        );
        tx.execute_raw(end).await.map_err(away)?;
        tx.commit().await.map_err(away)?;
        Ok(true)
    }

    pub(super) async fn shift(&self, plugin: &str, from: &str, to: &str, reason: Option<&str>) -> StoreResult<u64> {
        let look = self.statement(
            "SELECT 1 AS one FROM job WHERE plugin = $1 AND state = $2 LIMIT 1",
            [plugin.into(), from.into()],
        );
        if self.db.read.query_one_raw(look).await.map_err(away)?.is_none() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let note = self.statement(
            "UPDATE delivery SET reason = $3 WHERE id IN (SELECT id FROM job WHERE plugin = $1 AND state = $2)",
            [plugin.into(), from.into(), reason.map(str::to_owned).into()],
        );
        tx.execute_raw(note).await.map_err(away)?;
        let statement = self.statement(
            "UPDATE job SET state = $3 WHERE plugin = $1 AND state = $2",
            [plugin.into(), from.into(), to.into()],
        );
        let moved = tx.execute_raw(statement).await.map_err(away)?.rows_affected();
        tx.commit().await.map_err(away)?;
        Ok(moved)
    }

    pub(super) async fn purge_old(&self, before_ms: i64, limit: u32) -> StoreResult<u64> {
        let tx = self.begin().await?;
        let old = self.statement(
            "SELECT id FROM delivery WHERE state IS NOT NULL AND received_ms < $1 ORDER BY received_ms LIMIT $2",
            [before_ms.into(), i64::from(limit).into()],
        );
        let rows = tx.query_all_raw(old).await.map_err(away)?;
        for row in &rows {
            let id: Uuid = get(row, "id")?;
            for text in [
                "DELETE FROM dedup WHERE key = (SELECT dedup FROM delivery WHERE id = $1) AND delivery = $1",
                "DELETE FROM memo WHERE job = $1",
                "DELETE FROM attempt WHERE job = $1",
                "DELETE FROM body WHERE id = $1",
                "DELETE FROM delivery WHERE id = $1",
            ] {
                tx.execute_raw(self.statement(text, [id.into()])).await.map_err(away)?;
            }
        }
        // The newest signal of a topic stays, so that its sequence numbers go on.
        let signals = self.statement("DELETE FROM signal WHERE sent_ms < $1", [before_ms.into()]);
        tx.execute_raw(signals).await.map_err(away)?;
        tx.commit().await.map_err(away)?;
        Ok(rows.len() as u64)
    }

    pub(super) async fn live_counts(&self) -> StoreResult<Vec<Count>> {
        let statement = self.statement(
            "SELECT j.plugin, j.state, CAST(count(*) AS bigint) AS jobs, \
             CAST(COALESCE(max(CASE WHEN j.run_at <= {now} THEN {now} - d.received_ms END), 0) AS bigint) AS oldest_ms \
             FROM job j JOIN delivery d ON d.id = j.id GROUP BY j.plugin, j.state",
            [],
        );
        let rows = self.db.read.query_all_raw(statement).await.map_err(away)?;
        rows.iter()
            .map(|row| {
                Ok(Count {
                    plugin: get(row, "plugin")?,
                    state: state(&get::<String>(row, "state")?)?,
                    jobs: u64::try_from(get::<i64>(row, "jobs")?).unwrap_or(0),
                    oldest_ms: get(row, "oldest_ms")?,
                })
            })
            .collect()
    }

    pub(super) async fn host_values(&self, prefix: &str) -> StoreResult<Vec<(String, Bytes)>> {
        let statement = self.statement(
            "SELECT key, value FROM host_value WHERE substr(key, 1, $2) = $1 ORDER BY key",
            [prefix.into(), i32::try_from(prefix.len()).unwrap_or(i32::MAX).into()],
        );
        let rows = self.db.read.query_all_raw(statement).await.map_err(away)?;
        rows.iter()
            .map(|row| Ok((get(row, "key")?, get::<Vec<u8>>(row, "value")?.into())))
            .collect()
    }

    pub(super) async fn set_host_value(&self, key: &str, value: Option<Bytes>) -> StoreResult<()> {
        let statement = match value {
            Some(value) => self.statement(
                "INSERT INTO host_value (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [key.into(), value.to_vec().into()],
            ),
            None => self.statement("DELETE FROM host_value WHERE key = $1", [key.into()]),
        };
        self.db.write.execute_raw(statement).await.map_err(away).map(|_| ())
    }

    pub(super) async fn clock_ms(&self) -> StoreResult<i64> {
        let row = self
            .db
            .read
            .query_one_raw(self.statement("SELECT {now} AS now_ms", []))
            .await
            .map_err(away)?;
        row.map_or_else(
            || Err(StoreError("the clock gave no row".to_owned())),
            |row| get(&row, "now_ms"),
        )
    }

    pub(super) async fn clock_in(&self, tx: &DatabaseTransaction) -> StoreResult<i64> {
        let row = tx
            .query_one_raw(self.statement("SELECT {now} AS now_ms", []))
            .await
            .map_err(away)?;
        row.map_or_else(
            || Err(StoreError("the clock gave no row".to_owned())),
            |row| get(&row, "now_ms"),
        )
    }
}
