//! Writes of runs: memos, parks, ends. Each is fenced: the job row is locked `WHERE token = mine` first; no row, no write.

use std::collections::{HashMap, HashSet};

use jackfield_inbox::{
    model::{AttemptEnd, Next, Write, WriteError, Written, key_base},
    store::{StoreError, StoreResult},
};
use jackfield_sdk::run::{Fence, Memo, MemoState, Wait};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value};
use uuid::Uuid;

use super::{
    SqlStore,
    accept::{bytes_array, chunks, int_array, places, text_array, uuid_array},
    rows::{get, json},
    store_error,
    text::{text, text_option},
};

/// What a write needs to know of its job.
pub(super) struct Owned {
    plugin: String,
    pub(super) lane: Option<String>,
    pub(super) attempts: i32,
    pub(super) lost: i32,
}

impl SqlStore {
    /// On PostgreSQL: a batch that only ends what went well is one statement, which commits itself.
    pub(super) async fn write_batch(&self, writes: &[&Write]) -> StoreResult<Vec<Result<Written, WriteError>>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(dones) = Self::only_dones(writes) {
            let ended = self.end_done_by_arrays(&self.db.write, &dones).await?;
            let answer = |write: &&Write| ended.contains(&write.fence().job).then_some(Written::Ok);
            return Ok(writes
                .iter()
                .map(|write| answer(write).ok_or(WriteError::Fenced))
                .collect());
        }
        let tx = self.begin().await?;
        let answers = self.write_in(&tx, writes).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(answers)
    }

    pub(super) async fn write_in(
        &self,
        tx: &DatabaseTransaction,
        writes: &[&Write],
    ) -> StoreResult<Vec<Result<Written, WriteError>>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let owned = self.lock_owned(tx, writes).await?;
        let mut let_go = HashSet::new();
        let mut answers = vec![Err(WriteError::Fenced); writes.len()];
        let (mut memos, mut dones, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for (at, write) in writes.iter().enumerate() {
            let fence = write.fence();
            let Some(job) = owned
                .get(&fence.job)
                .filter(|(token, _)| *token == fence.token && !let_go.contains(&fence.job))
                .map(|(_, job)| job)
            else {
                continue;
            };
            if job.lost > 0 {
                found.push(fence.job);
            }
            answers[at] = Ok(match write {
                Write::Memo(_, memo) => {
                    memos.push((fence.job, memo));
                    Written::Ok
                }
                Write::Park(_, wait) => {
                    let parked = self.park(tx, fence, job, wait).await?;
                    if parked == Written::Ok {
                        let_go.insert(fence.job);
                    }
                    parked
                }
                Write::End(_, end) => {
                    let_go.insert(fence.job);
                    match &end.next {
                        Next::Done(_) => dones.push((fence, job, end.as_ref())),
                        _ => self.end_otherwise(tx, fence, job, end).await?,
                    }
                    Written::Ok
                }
            });
        }
        self.put_memos(tx, &memos).await?;
        self.forget_lost(tx, &found).await?;
        self.end_done(tx, &dones).await?;
        Ok(answers)
    }

    /// What a batch ends well, when it does nothing else.
    fn only_dones<'w>(writes: &[&'w Write]) -> Option<Vec<(Fence, &'w AttemptEnd)>> {
        let mut jobs = HashSet::new();
        let done = |write: &&'w Write| match write {
            Write::End(fence, end) if matches!(end.next, Next::Done(_)) && jobs.insert(fence.job) => {
                Some((*fence, end.as_ref()))
            }
            _ => None,
        };
        writes.iter().map(done).collect()
    }

    /// Locks the jobs that are written, and tells which token runs them now.
    async fn lock_owned(
        &self,
        tx: &DatabaseTransaction,
        writes: &[&Write],
    ) -> StoreResult<HashMap<Uuid, (i64, Owned)>> {
        let ids: Vec<Uuid> = writes.iter().map(|write| write.fence().job).collect();
        let lock = if self.db.is_sqlite() { "" } else { "FOR NO KEY UPDATE" };
        let locked = format!(
            "SELECT id, token, plugin, lane, attempts, lost FROM job WHERE id {} AND state = 'running' ORDER BY id {lock}",
            self.in_set()
        );
        let rows = tx
            .query_all_raw(self.statement(&locked, [self.set(&ids)]))
            .await
            .map_err(store_error)?;
        let owned = |row: &QueryResult| -> StoreResult<(Uuid, (i64, Owned))> {
            let job = Owned {
                plugin: text(row, "plugin")?,
                lane: text_option(row, "lane")?,
                attempts: get(row, "attempts")?,
                lost: get(row, "lost")?,
            };
            Ok((get(row, "id")?, (get(row, "token")?, job)))
        };
        rows.iter().map(owned).collect()
    }

    /// Whoever writes is not lost. Rare: only of those that were.
    async fn forget_lost(&self, tx: &DatabaseTransaction, found: &[Uuid]) -> StoreResult<()> {
        if found.is_empty() {
            return Ok(());
        }
        let text = format!(
            "UPDATE job SET lost = 0, first_failed_ms = CASE WHEN failures > 0 THEN first_failed_ms END WHERE id {}",
            self.in_set()
        );
        let statement = self.statement(&text, [self.set(found)]);
        tx.execute_raw(statement).await.map_err(store_error).map(|_| ())
    }

    async fn put_memos(&self, tx: &DatabaseTransaction, memos: &[(Uuid, &Memo)]) -> StoreResult<()> {
        if memos.is_empty() {
            return Ok(());
        }
        if self.db.is_sqlite() {
            return self.put_memos_by_values(tx, memos).await;
        }
        let states: Vec<Vec<u8>> = memos
            .iter()
            .map(|(_, memo)| state_bytes(memo))
            .collect::<StoreResult<_>>()?;
        let statement = self.statement(
            "INSERT INTO memo (job, name, key, state, attempt, started_ms, ended_ms) \
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bigint[]::int[], $6::bigint[], $7::bigint[]) \
             ON CONFLICT (job, name) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, \
               started_ms = excluded.started_ms, ended_ms = excluded.ended_ms",
            [
                uuid_array(memos.iter().map(|(job, _)| *job)),
                text_array(memos.iter().map(|(_, memo)| memo.name.clone())),
                text_array(memos.iter().map(|(_, memo)| memo.key.clone())),
                bytes_array(states.into_iter()),
                int_array(memos.iter().map(|(_, memo)| i64::from(memo.attempt))),
                int_array(memos.iter().map(|(_, memo)| memo.started_ms)),
                int_array(memos.iter().map(|(_, memo)| memo.ended_ms)),
            ],
        );
        tx.execute_raw(statement).await.map_err(store_error).map(|_| ())
    }

    async fn put_memos_by_values(&self, tx: &DatabaseTransaction, memos: &[(Uuid, &Memo)]) -> StoreResult<()> {
        for chunk in chunks(memos) {
            let text = format!(
                "INSERT INTO memo (job, name, key, state, attempt, started_ms, ended_ms) VALUES {} \
                 ON CONFLICT (job, name) DO UPDATE SET state = excluded.state, attempt = excluded.attempt, \
                   started_ms = excluded.started_ms, ended_ms = excluded.ended_ms",
                places(chunk.len(), "(?, ?, ?, ?, ?, ?, ?)")
            );
            let mut values: Vec<Value> = Vec::with_capacity(chunk.len() * 7);
            for (job, memo) in chunk {
                values.extend::<[Value; 7]>([
                    (*job).into(),
                    memo.name.clone().into(),
                    memo.key.clone().into(),
                    state_bytes(memo)?.into(),
                    memo.attempt.into(),
                    memo.started_ms.into(),
                    memo.ended_ms.into(),
                ]);
            }
            let statement = self.statement(&text, values);
            tx.execute_raw(statement).await.map_err(store_error)?;
        }
        Ok(())
    }

    pub(super) async fn put_memo(&self, tx: &DatabaseTransaction, job: Uuid, memo: &Memo) -> StoreResult<()> {
        self.put_memos(tx, &[(job, memo)]).await
    }

    async fn share_topic(&self, tx: &DatabaseTransaction, plugin: &str, topic: &str) -> StoreResult<()> {
        // Again when retention removes the row between the two statements.
        for _ in 0..3 {
            let make = self.statement(
                "INSERT INTO topic (plugin, topic, seq) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
                [plugin.into(), topic.into()],
            );
            tx.execute_raw(make).await.map_err(store_error)?;
            if self.db.is_sqlite() {
                return Ok(());
            }
            let share = self.statement(
                "SELECT seq FROM topic WHERE plugin = $1 AND topic = $2 FOR SHARE",
                [plugin.into(), topic.into()],
            );
            if tx.query_one_raw(share).await.map_err(store_error)?.is_some() {
                return Ok(());
            }
        }
        Err(StoreError::Conflict(
            "a topic's row is not there to be locked".to_owned(),
        ))
    }

    /// The share lock on the topic's row orders us against the signaller, who updates it: either we see the signal, or the
    /// signaller sees us waiting.
    async fn park(&self, tx: &DatabaseTransaction, fence: Fence, job: &Owned, wait: &Wait) -> StoreResult<Written> {
        if let Some(topic) = &wait.topic {
            self.share_topic(tx, &job.plugin, topic).await?;
        }
        let now = self.clock_in(tx).await?;
        if let Some(value) = self.first_signal(tx, &job.plugin, wait).await? {
            let row = tx
                .query_one_raw(self.statement("SELECT epoch FROM delivery WHERE id = $1", [fence.job.into()]))
                .await
                .map_err(store_error)?;
            let epoch: i32 = row.map(|row| get(&row, "epoch")).transpose()?.unwrap_or(0);
            let state = MemoState::Signalled { value: value.into() };
            let memo = wait_memo(
                fence.job,
                u32::try_from(epoch).unwrap_or(0),
                wait.clone(),
                state,
                now,
                now,
            );
            self.put_memo(tx, fence.job, &memo).await?;
            return Ok(Written::Over(memo));
        }
        let timeout = i64::try_from(wait.timeout_ms).unwrap_or(i64::MAX / 4);
        let statement = self.statement(
            "UPDATE job SET state = 'waiting', run_at = $2, wait = $3, wait_topic = $4, wait_since = $5, dirty = $6, \
             failures = 0, first_failed_ms = NULL WHERE id = $1",
            [
                fence.job.into(),
                now.saturating_add(timeout).into(),
                json(wait)?.into(),
                wait.topic.clone().into(),
                now.into(),
                false.into(),
            ],
        );
        tx.execute_raw(statement).await.map_err(store_error)?;
        self.free_lane(tx, fence.job, job).await?;
        Ok(Written::Ok)
    }

    pub(super) async fn free_lane(&self, tx: &DatabaseTransaction, id: Uuid, job: &Owned) -> StoreResult<()> {
        let Some(lane) = &job.lane else { return Ok(()) };
        let statement = self.statement(
            "DELETE FROM lane_lease WHERE plugin = $1 AND lane = $2 AND job = $3",
            [job.plugin.clone().into(), lane.clone().into(), id.into()],
        );
        tx.execute_raw(statement).await.map_err(store_error).map(|_| ())
    }
}

fn state_bytes(memo: &Memo) -> StoreResult<Vec<u8>> {
    json(&memo.state).map(String::into_bytes)
}

pub(super) fn wait_memo(job: Uuid, epoch: u32, wait: Wait, state: MemoState, started_ms: i64, ended_ms: i64) -> Memo {
    let key = format!("{}/{}", key_base(job, epoch), wait.name);
    Memo {
        name: wait.name,
        key,
        state,
        attempt: wait.attempt,
        started_ms,
        ended_ms,
    }
}
