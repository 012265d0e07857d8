//! Leases, signals, holds, small values, the clock.

use bytes::Bytes;
use jackfield_inbox::{
    lost,
    model::Count,
    store::{StoreError, StoreResult},
};
use jackfield_sdk::run::Fence;
use rand::RngExt;
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use uuid::Uuid;

use super::{
    SqlStore,
    accept::{int_array, uuid_array},
    persistently,
    rows::{get, state},
    store_error,
    text::{text, text_option},
};

/// Jobs that one sweep takes back.
const SWEEP: u32 = 1_000;

impl SqlStore {
    pub(super) async fn extend_leases(&self, fences: &[Fence], lease_ms: u64) -> StoreResult<Vec<Fence>> {
        let lease = i64::try_from(lease_ms).unwrap_or(i64::MAX / 4);
        let mut held: Vec<Fence> = Vec::new();
        if self.db.is_sqlite() {
            let tx = self.begin().await?;
            for fence in fences {
                let statement = self.statement(
                    "UPDATE job SET lease_until = {now} + $3 WHERE id = $1 AND token = $2 AND state = 'running'",
                    [fence.job.into(), fence.token.into(), lease.into()],
                );
                if tx.execute_raw(statement).await.map_err(store_error)?.rows_affected() > 0 {
                    held.push(*fence);
                }
            }
            tx.commit().await.map_err(store_error)?;
        } else {
            let statement = self.statement(
                "UPDATE job j SET lease_until = {now} + $3 FROM unnest($1::uuid[], $2::bigint[]) AS f(id, token) \
                 WHERE j.id = f.id AND j.token = f.token AND j.state = 'running' RETURNING j.id, j.token",
                [
                    uuid_array(fences.iter().map(|fence| fence.job)),
                    int_array(fences.iter().map(|fence| fence.token)),
                    lease.into(),
                ],
            );
            for row in self.db.write.query_all_raw(statement).await.map_err(store_error)? {
                held.push(Fence {
                    job: get(&row, "id")?,
                    token: get(&row, "token")?,
                });
            }
        }
        Ok(fences.iter().copied().filter(|fence| !held.contains(fence)).collect())
    }

    pub(super) async fn reclaim_lost(&self) -> StoreResult<u64> {
        self.take_back("state = 'running' AND lease_until < {now}").await
    }

    /// Takes back what the process before this one was running, without waiting for its leases to run out; gives how many
    /// jobs. Only for a SQLite file in a data directory whose lock is held: nobody else can be running them. Each counts as
    /// a lost lease. On PostgreSQL other replicas run jobs, so nothing is done there.
    pub async fn free_leases(&self) -> StoreResult<u64> {
        let mut freed = 0;
        while self.db.is_sqlite() {
            let taken = persistently(|| self.take_back("state = 'running'")).await?;
            freed += taken;
            if taken < u64::from(SWEEP) {
                break;
            }
        }
        Ok(freed)
    }

    async fn take_back(&self, lost: &str) -> StoreResult<u64> {
        let look = format!("SELECT 1 AS one FROM job WHERE {lost} LIMIT 1");
        let look = self.statement(&look, []);
        if self.db.read.query_one_raw(look).await.map_err(store_error)?.is_none() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let lock = if self.db.is_sqlite() {
            ""
        } else {
            " FOR UPDATE SKIP LOCKED"
        };
        let text = format!("SELECT id, plugin, lane, lost FROM job WHERE {lost} ORDER BY id LIMIT {SWEEP}{lock}");
        let lost = tx.query_all_raw(self.statement(&text, [])).await.map_err(store_error)?;
        for row in &lost {
            let id: Uuid = get(row, "id")?;
            let lost = get::<i32>(row, "lost")?.saturating_add(1);
            let delay = lost::delay_ms(u32::try_from(lost).unwrap_or(0), rand::rng().random());
            let back = "UPDATE job SET state = 'pending', attempts = attempts - 1, lost = $2, run_at = {now} + $3, \
                 first_failed_ms = CASE WHEN $3 > 0 THEN COALESCE(first_failed_ms, {now}) ELSE first_failed_ms END WHERE id = $1";
            let values = [id.into(), lost.into(), i64::try_from(delay).unwrap_or(0).into()];
            tx.execute_raw(self.statement(back, values))
                .await
                .map_err(store_error)?;
            self.free_lane_of(&tx, id, row).await?;
        }
        tx.commit().await.map_err(store_error)?;
        Ok(lost.len() as u64)
    }

    pub(super) async fn send_signal(&self, plugin: &str, topic: &str, value: &Bytes) -> StoreResult<i64> {
        let tx = self.begin().await?;
        let next = self.statement(
            "INSERT INTO topic (plugin, topic, seq) VALUES ($1, $2, {now}) \
             ON CONFLICT (plugin, topic) DO UPDATE SET \
               seq = CASE WHEN topic.seq >= excluded.seq THEN topic.seq + 1 ELSE excluded.seq END RETURNING seq",
            [plugin.into(), topic.into()],
        );
        let row = tx.query_one_raw(next).await.map_err(store_error)?;
        let row = row.ok_or_else(|| StoreError::Away("the topic has no row".to_owned()))?;
        let seq: i64 = get(&row, "seq")?;
        let signal = self.statement(
            "INSERT INTO signal (plugin, topic, seq, sent_ms, value) VALUES ($1, $2, $3, {now}, $4)",
            [plugin.into(), topic.into(), seq.into(), value.to_vec().into()],
        );
        tx.execute_raw(signal).await.map_err(store_error)?;
        let wake = self.statement(
            "UPDATE job SET run_at = {now} WHERE plugin = $1 AND wait_topic = $2 AND state = 'waiting' AND run_at > {now}",
            [plugin.into(), topic.into()],
        );
        tx.execute_raw(wake).await.map_err(store_error)?;
        tx.commit().await.map_err(store_error)?;
        Ok(seq)
    }

    pub(super) async fn topic_cursor(&self, plugin: &str, topic: &str) -> StoreResult<i64> {
        let statement = self.statement(
            "SELECT seq FROM topic WHERE plugin = $1 AND topic = $2",
            [plugin.into(), topic.into()],
        );
        let row = self.db.read.query_one_raw(statement).await.map_err(store_error)?;
        row.map_or(Ok(0), |row| get(&row, "seq"))
    }

    pub(super) async fn cancel_one(&self, id: Uuid, reason: &str) -> StoreResult<bool> {
        let tx = self.begin().await?;
        let gone = self.statement(
            "DELETE FROM job WHERE id = $1 RETURNING plugin, lane, token, attempts, dirty",
            [id.into()],
        );
        let Some(row) = tx.query_one_raw(gone).await.map_err(store_error)? else {
            tx.rollback().await.map_err(store_error)?;
            return Ok(false);
        };
        self.free_lane_of(&tx, id, &row).await?;
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
        tx.execute_raw(end).await.map_err(store_error)?;
        tx.commit().await.map_err(store_error)?;
        Ok(true)
    }

    async fn free_lane_of(&self, tx: &DatabaseTransaction, id: Uuid, job: &QueryResult) -> StoreResult<()> {
        let Some(lane) = text_option(job, "lane")? else {
            return Ok(());
        };
        let statement = self.statement(
            "DELETE FROM lane_lease WHERE plugin = $1 AND lane = $2 AND job = $3",
            [text(job, "plugin")?.into(), lane.into(), id.into()],
        );
        tx.execute_raw(statement).await.map_err(store_error).map(|_| ())
    }

    pub(super) async fn shift(&self, plugin: &str, from: &str, to: &str, reason: Option<&str>) -> StoreResult<u64> {
        let look = self.statement(
            "SELECT 1 AS one FROM job WHERE plugin = $1 AND state = $2 LIMIT 1",
            [plugin.into(), from.into()],
        );
        if self.db.read.query_one_raw(look).await.map_err(store_error)?.is_none() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        // Jobs first, as everybody locks them, then their deliveries.
        let moved = self.statement(
            "UPDATE job SET state = $3 WHERE plugin = $1 AND state = $2 RETURNING id",
            [plugin.into(), from.into(), to.into()],
        );
        let moved = tx.query_all_raw(moved).await.map_err(store_error)?;
        let ids: Vec<Uuid> = moved.iter().map(|row| get(row, "id")).collect::<StoreResult<_>>()?;
        let text = format!("UPDATE delivery SET reason = $2 WHERE id {}", self.in_set());
        let note = self.statement(&text, [self.set(&ids), reason.map(str::to_owned).into()]);
        tx.execute_raw(note).await.map_err(store_error)?;
        tx.commit().await.map_err(store_error)?;
        Ok(ids.len() as u64)
    }

    pub(super) async fn live_counts(&self) -> StoreResult<Vec<Count>> {
        let statement = self.statement(
            "SELECT j.plugin, j.state, CAST(count(*) AS bigint) AS jobs, \
             CAST(COALESCE({now} - min(CASE WHEN j.run_at <= {now} THEN j.run_at END), 0) AS bigint) AS oldest_ms \
             FROM job j GROUP BY j.plugin, j.state",
            [],
        );
        let rows = self.db.read.query_all_raw(statement).await.map_err(store_error)?;
        rows.iter()
            .map(|row| {
                Ok(Count {
                    plugin: text(row, "plugin")?,
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
            [
                prefix.into(),
                i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX).into(),
            ],
        );
        let rows = self.db.read.query_all_raw(statement).await.map_err(store_error)?;
        rows.iter()
            .map(|row| Ok((text(row, "key")?, get::<Vec<u8>>(row, "value")?.into())))
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
        self.db
            .write
            .execute_raw(statement)
            .await
            .map_err(store_error)
            .map(|_| ())
    }

    pub(super) async fn clock_ms(&self) -> StoreResult<i64> {
        let row = self
            .db
            .read
            .query_one_raw(self.statement("SELECT {now} AS now_ms", []))
            .await
            .map_err(store_error)?;
        row.map_or_else(
            || Err(StoreError::Away("the clock gave no row".to_owned())),
            |row| get(&row, "now_ms"),
        )
    }

    pub(super) async fn clock_in(&self, tx: &DatabaseTransaction) -> StoreResult<i64> {
        let row = tx
            .query_one_raw(self.statement("SELECT {now} AS now_ms", []))
            .await
            .map_err(store_error)?;
        row.map_or_else(
            || Err(StoreError::Away("the clock gave no row".to_owned())),
            |row| get(&row, "now_ms"),
        )
    }
}
