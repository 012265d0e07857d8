//! Ends of attempts. Who calls holds the locks of the jobs.

use std::collections::HashSet;

use jackfield_inbox::{
    model::{AttemptEnd, Next},
    store::StoreResult,
};
use jackfield_sdk::run::Fence;
use sea_orm::{ConnectionTrait, DatabaseTransaction, Value};
use uuid::Uuid;

use super::{
    SqlStore,
    accept::{chunks, int_array, places, text_array, uuid_array},
    rows::{get, json},
    store_error,
    write::Owned,
};

impl SqlStore {
    pub(super) async fn end_done(
        &self,
        tx: &DatabaseTransaction,
        dones: &[(Fence, &Owned, &AttemptEnd)],
    ) -> StoreResult<()> {
        if dones.is_empty() {
            return Ok(());
        }
        if self.db.is_sqlite() {
            return self.end_done_by_values(tx, dones).await;
        }
        let dones: Vec<(Fence, &AttemptEnd)> = dones.iter().map(|(fence, _, end)| (*fence, *end)).collect();
        self.end_done_by_arrays(tx, &dones).await.map(|_| ())
    }

    /// Ends those that the fence lets; gives which.
    pub(super) async fn end_done_by_arrays(
        &self,
        on: &impl ConnectionTrait,
        dones: &[(Fence, &AttemptEnd)],
    ) -> StoreResult<HashSet<Uuid>> {
        let mut order = dones.to_vec();
        // As everybody locks jobs.
        order.sort_by_key(|(fence, _)| fence.job);
        let mut outcomes = Vec::with_capacity(order.len());
        let mut summaries = Vec::with_capacity(order.len());
        for (_, end) in &order {
            let Next::Done(outcome) = &end.next else { continue };
            outcomes.push(json(outcome)?);
            summaries.push(outcome.summary.clone());
        }
        let orphans: Vec<String> = order
            .iter()
            .map(|(_, end)| orphans(end).map(Option::unwrap_or_default))
            .collect::<StoreResult<_>>()?;
        let statement = self.statement(
            // Each is looked up by its key: the planner expects few jobs to run, and would compare all of them with all ends if
            // it knew this condition for that of their index.
            "WITH gone AS (DELETE FROM job j USING unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[]) \
               AS e(id, outcome, summary, began, orphans, token) \
               WHERE j.id = e.id AND j.token = e.token AND j.state IS NOT DISTINCT FROM 'running' \
               RETURNING j.id, j.plugin, j.lane, j.attempts, j.token, e.outcome, e.summary, e.began, e.orphans), \
             lanes AS (DELETE FROM lane_lease l USING gone g WHERE l.plugin = g.plugin AND l.lane = g.lane AND l.job = g.id) \
             UPDATE delivery d SET state = 'done', finished_ms = {now}, outcome = g.outcome, summary = g.summary, \
               reason = CASE WHEN d.overtaken THEN 'overtaken by later deliveries of its lane' END, \
               attempts = g.attempts, began_ms = g.began, token = g.token, dirty = false, orphans = nullif(g.orphans, '') \
             FROM gone g WHERE d.id = g.id RETURNING d.id",
            [
                uuid_array(order.iter().map(|(fence, _)| fence.job)),
                text_array(outcomes.into_iter()),
                text_array(summaries.into_iter()),
                int_array(order.iter().map(|(_, end)| end.started_ms)),
                text_array(orphans.into_iter()),
                int_array(order.iter().map(|(fence, _)| fence.token)),
            ],
        );
        let rows = on.query_all_raw(statement).await.map_err(store_error)?;
        rows.iter().map(|row| get(row, "id")).collect()
    }

    async fn end_done_by_values(
        &self,
        tx: &DatabaseTransaction,
        dones: &[(Fence, &Owned, &AttemptEnd)],
    ) -> StoreResult<()> {
        for chunk in chunks(dones) {
            let mut ends = Vec::new();
            for (fence, job, end) in chunk {
                let Next::Done(outcome) = &end.next else { continue };
                ends.extend::<[Value; 7]>([
                    fence.job.into(),
                    json(outcome)?.into(),
                    outcome.summary.clone().into(),
                    job.attempts.into(),
                    end.started_ms.into(),
                    fence.token.into(),
                    orphans(end)?.into(),
                ]);
            }
            let ended = format!(
                "WITH e (id, outcome, summary, attempts, began, token, orphans) AS (VALUES {}) \
                 UPDATE delivery SET state = 'done', finished_ms = {{now}}, outcome = e.outcome, summary = e.summary, \
                   reason = CASE WHEN delivery.overtaken THEN 'overtaken by later deliveries of its lane' END, \
                   attempts = e.attempts, began_ms = e.began, token = e.token, dirty = 0, orphans = e.orphans FROM e WHERE delivery.id = e.id",
                places(chunk.len(), "(?, ?, ?, ?, ?, ?, ?)")
            );
            let jobs: Vec<Uuid> = chunk.iter().map(|(fence, _, _)| fence.job).collect();
            let these = self.in_set();
            let freed = format!(
                "DELETE FROM lane_lease WHERE job {these} AND (plugin, lane) IN \
                 (SELECT plugin, lane FROM job WHERE id {these} AND lane IS NOT NULL)"
            );
            let mut statements = vec![self.statement(&ended, ends)];
            if chunk.iter().any(|(_, job, _)| job.lane.is_some()) {
                statements.push(self.statement(&freed, [self.set(&jobs)]));
            }
            statements.push(self.statement(&format!("DELETE FROM job WHERE id {these}"), [self.set(&jobs)]));
            for statement in statements {
                tx.execute_raw(statement).await.map_err(store_error)?;
            }
        }
        Ok(())
    }

    pub(super) async fn end_otherwise(
        &self,
        tx: &DatabaseTransaction,
        fence: Fence,
        job: &Owned,
        end: &AttemptEnd,
    ) -> StoreResult<()> {
        match &end.next {
            Next::Done(_) => {}
            Next::Retry { failure, delay_ms } => {
                self.record(tx, fence, job, end, Some(&failure.message)).await?;
                let update = self.statement(
                    "UPDATE job SET state = 'pending', failures = failures + 1, run_at = {now} + $2, \
                     first_failed_ms = CASE WHEN failures > 0 THEN first_failed_ms ELSE {now} END WHERE id = $1",
                    [
                        fence.job.into(),
                        i64::try_from(*delay_ms).unwrap_or(i64::MAX / 4).into(),
                    ],
                );
                tx.execute_raw(update).await.map_err(store_error)?;
                let note = self.statement(
                    "UPDATE delivery SET last_error = $2, orphans = $3 WHERE id = $1",
                    [fence.job.into(), failure.message.clone().into(), orphans(end)?.into()],
                );
                tx.execute_raw(note).await.map_err(store_error)?;
                self.free_lane(tx, fence.job, job).await?;
            }
            Next::Dead { failure, notice } => {
                self.record(tx, fence, job, end, Some(&failure.message)).await?;
                let statement = self.statement(
                    "UPDATE delivery SET state = 'dead', finished_ms = {now}, reason = $2, last_error = $2, attempts = $3, \
                     token = $4, dirty = $5, orphans = $6 WHERE id = $1",
                    [
                        fence.job.into(),
                        failure.message.clone().into(),
                        job.attempts.into(),
                        fence.token.into(),
                        true.into(),
                        orphans(end)?.into(),
                    ],
                );
                tx.execute_raw(statement).await.map_err(store_error)?;
                self.drop_job(tx, fence.job, job).await?;
                if let Some(notice) = notice {
                    self.accept_in(tx, &[notice.as_ref()]).await?;
                }
            }
            Next::Released => {
                let statement = self.statement(
                    "UPDATE job SET state = 'pending', attempts = attempts - 1, run_at = {now} WHERE id = $1",
                    [fence.job.into()],
                );
                tx.execute_raw(statement).await.map_err(store_error)?;
                self.free_lane(tx, fence.job, job).await?;
            }
            Next::Held(reason) => {
                let hold = "UPDATE job SET state = 'held', attempts = attempts - 1 WHERE id = $1";
                tx.execute_raw(self.statement(hold, [fence.job.into()]))
                    .await
                    .map_err(store_error)?;
                let note = "UPDATE delivery SET reason = $2 WHERE id = $1";
                let values = [fence.job.into(), reason.clone().into()];
                tx.execute_raw(self.statement(note, values))
                    .await
                    .map_err(store_error)?;
                self.free_lane(tx, fence.job, job).await?;
            }
        }
        Ok(())
    }

    async fn record(
        &self,
        tx: &DatabaseTransaction,
        fence: Fence,
        job: &Owned,
        end: &AttemptEnd,
        error: Option<&str>,
    ) -> StoreResult<()> {
        let statement = self.statement(
            "INSERT INTO attempt (job, number, started_ms, ended_ms, error) VALUES ($1, $2, $3, {now}, $4)",
            [
                fence.job.into(),
                job.attempts.into(),
                end.started_ms.into(),
                error.map(str::to_owned).into(),
            ],
        );
        tx.execute_raw(statement).await.map_err(store_error).map(|_| ())
    }

    async fn drop_job(&self, tx: &DatabaseTransaction, id: Uuid, job: &Owned) -> StoreResult<()> {
        tx.execute_raw(self.statement("DELETE FROM job WHERE id = $1", [id.into()]))
            .await
            .map_err(store_error)?;
        self.free_lane(tx, id, job).await
    }
}

fn orphans(end: &AttemptEnd) -> StoreResult<Option<String>> {
    if end.orphans.is_empty() {
        Ok(None)
    } else {
        json(&end.orphans).map(Some)
    }
}
