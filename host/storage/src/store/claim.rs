//! Claiming heads: at most one running job per lane, over all replicas.
//!
//! Selecting heads is not enough once waits and overtaking exist: a woken job and its successor may both be heads. The lane's
//! row in `lane_lease` decides; only jobs that got it are taken.

use std::collections::HashMap;

use jackfield_inbox::{
    model::Claimed,
    store::{ClaimRequest, StoreError, StoreResult},
};
use jackfield_sdk::run::{Fence, Memo, MemoState, Wait};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value};
use uuid::Uuid;

use super::{
    SqlStore,
    accept::{int_array, text_array},
    rows::{IN_THE_WAY, get, kind, memo, parse, unpack_headers},
    store_error,
    text::{text, text_option},
};

/// Columns of a claimed job, its delivery and its body.
const COLUMNS: &str = "d.kind, d.plugin, d.handler, d.tenant, d.delivery_id, d.event, d.lane, d.received_ms, d.epoch, d.death, \
    b.headers, b.body";

impl SqlStore {
    pub(super) async fn due_plugins(&self) -> StoreResult<Vec<String>> {
        // From one plugin to the next by the index: a backlog is not read to find whose it is.
        let statement = self.statement(
            "WITH RECURSIVE p (plugin) AS (\
               SELECT min(plugin) FROM job WHERE state IN ('pending', 'waiting') \
               UNION ALL SELECT (SELECT min(j.plugin) FROM job j WHERE j.state IN ('pending', 'waiting') AND j.plugin > p.plugin) \
                 FROM p WHERE p.plugin IS NOT NULL) \
             SELECT p.plugin FROM p WHERE EXISTS (SELECT 1 FROM job j \
               WHERE j.plugin = p.plugin AND j.state IN ('pending', 'waiting') AND j.run_at <= {now})",
            [],
        );
        let rows = self.db.read.query_all_raw(statement).await.map_err(store_error)?;
        rows.iter().map(|row| text(row, "plugin")).collect()
    }

    pub(super) async fn claim_heads(&self, request: &ClaimRequest) -> StoreResult<Vec<Claimed>> {
        if self.db.is_sqlite() && !self.anything_due(&request.plugin).await? {
            return Ok(Vec::new());
        }
        // Jobs whose wait cannot be ended, found one a round; the claim that found one is rolled back.
        let mut refused = HashMap::new();
        loop {
            let known = refused.len();
            match self.claim_but(request, &mut refused).await {
                Err(StoreError::Refused(why)) if refused.len() > known && known < request.limit as usize => {
                    tracing::error!(plugin = request.plugin, %why, "the database refuses what a wait ended with");
                }
                result => return result,
            }
        }
    }

    /// One claim. It does not end the waits of `refused` jobs, and adds the one that it fails at.
    async fn claim_but(
        &self,
        request: &ClaimRequest,
        refused: &mut HashMap<Uuid, String>,
    ) -> StoreResult<Vec<Claimed>> {
        let tx = self.begin().await?;
        let rows = if self.db.is_sqlite() {
            self.take_as_only_writer(&tx, request).await?
        } else {
            self.take_at_once(&tx, request).await?
        };
        let claimed = self.complete(&tx, rows, refused).await?;
        self.still_heads(&tx, &claimed).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(claimed)
    }

    /// A look without the write lock, so that idle polling disturbs nobody.
    async fn anything_due(&self, plugin: &str) -> StoreResult<bool> {
        let statement = self.statement(
            "SELECT 1 AS one FROM job WHERE plugin = $1 AND state IN ('pending', 'waiting') AND run_at <= {now} LIMIT 1",
            [plugin.into()],
        );
        Ok(self
            .db
            .read
            .query_one_raw(statement)
            .await
            .map_err(store_error)?
            .is_some())
    }

    async fn take_at_once(&self, tx: &DatabaseTransaction, request: &ClaimRequest) -> StoreResult<Vec<QueryResult>> {
        let text = format!(
            "WITH due AS MATERIALIZED (\
               SELECT j.id, j.plugin, j.tenant, j.lane, j.run_at, j.seq, j.dirty FROM job j \
               WHERE j.plugin = $1 AND j.state IN ('pending', 'waiting') AND j.run_at <= {{now}} AND NOT (j.tenant = ANY($4::text[])) \
                 AND (j.lane IS NULL OR (NOT EXISTS (SELECT 1 FROM lane_lease l WHERE l.plugin = j.plugin AND l.lane = j.lane) \
                   AND NOT {IN_THE_WAY})) \
               ORDER BY j.run_at, j.seq LIMIT $2 FOR UPDATE OF j SKIP LOCKED), \
             heads AS (SELECT due.* FROM (SELECT *, row_number() OVER (PARTITION BY tenant ORDER BY run_at, seq) AS place FROM due) due \
               LEFT JOIN unnest($5::text[], $6::bigint[]) AS r(tenant, running) ON r.tenant = due.tenant \
               WHERE due.tenant = '' OR due.place + COALESCE(r.running, 0) <= $7), \
             leased AS (INSERT INTO lane_lease (plugin, lane, job) \
               SELECT DISTINCT ON (plugin, lane) plugin, lane, id FROM heads WHERE lane IS NOT NULL ORDER BY plugin, lane, seq \
               ON CONFLICT DO NOTHING RETURNING job), \
             over AS (UPDATE delivery SET overtaken = true WHERE NOT overtaken AND id IN (\
               SELECT e.id FROM heads h JOIN job e ON e.plugin = h.plugin AND e.lane = h.lane AND e.seq < h.seq \
                 AND e.state = 'pending' AND e.first_failed_ms IS NOT NULL WHERE h.id IN (SELECT job FROM leased))), \
             taken AS (UPDATE job j SET state = 'running', token = token + 1, attempts = attempts + 1, \
                 lease_until = {{now}} + $3, dirty = true \
               FROM heads h WHERE j.id = h.id AND (h.lane IS NULL OR h.id IN (SELECT job FROM leased)) \
               RETURNING j.id, j.run_at, j.seq, j.token, j.attempts, j.failures, j.lost, j.first_failed_ms, h.dirty AS maybe_done, j.wait, j.wait_since) \
             SELECT t.*, {COLUMNS}, {{now}} AS now_ms FROM taken t JOIN delivery d ON d.id = t.id JOIN body b ON b.id = t.id ORDER BY t.run_at, t.seq"
        );
        let values = [
            request.plugin.clone().into(),
            i64::from(request.limit).into(),
            lease(request).into(),
            text_array(request.full_tenants().into_iter()),
            text_array(request.running.keys().cloned()),
            int_array(request.running.values().map(|running| i64::from(*running))),
            i64::from(request.tenant_limit).into(),
        ];
        tx.query_all_raw(self.statement(&text, values))
            .await
            .map_err(store_error)
    }

    /// Whether nothing has come in the way since the claim's statement began: another claimer may have run an earlier one of
    /// the lane meanwhile and put it back. Now that the lanes are ours none can any more; a claim that came too late is made
    /// again.
    async fn still_heads(&self, tx: &DatabaseTransaction, claimed: &[Claimed]) -> StoreResult<()> {
        let in_lanes = claimed.iter().filter(|one| one.lane.is_some());
        let in_lanes: Vec<Uuid> = in_lanes.map(|one| one.fence.job).collect();
        if self.db.is_sqlite() || in_lanes.is_empty() {
            return Ok(());
        }
        let text = format!("SELECT 1 AS one FROM job j WHERE j.id = ANY($1::uuid[]) AND {IN_THE_WAY} LIMIT 1");
        let late = tx.query_one_raw(self.statement(&text, [self.set(&in_lanes)])).await;
        match late.map_err(store_error)? {
            Some(_) => Err(StoreError::Conflict("another claim was faster in a lane".to_owned())),
            None => Ok(()),
        }
    }

    async fn take_as_only_writer(
        &self,
        tx: &DatabaseTransaction,
        request: &ClaimRequest,
    ) -> StoreResult<Vec<QueryResult>> {
        let full = request.full_tenants();
        let excepted: Vec<String> = (0..full.len()).map(|at| format!("${}", at + 3)).collect();
        let tenants = if excepted.is_empty() {
            String::new()
        } else {
            format!("AND j.tenant NOT IN ({})", excepted.join(", "))
        };
        let text = format!(
            "SELECT j.id, j.tenant, j.lane, j.seq FROM job j \
             WHERE j.plugin = $1 AND j.state IN ('pending', 'waiting') AND j.run_at <= {{now}} {tenants} \
               AND (j.lane IS NULL OR (NOT EXISTS (SELECT 1 FROM lane_lease l WHERE l.plugin = j.plugin AND l.lane = j.lane) \
                 AND NOT {IN_THE_WAY})) \
             ORDER BY j.run_at, j.seq LIMIT $2"
        );
        let mut values: Vec<Value> = vec![request.plugin.clone().into(), i64::from(request.limit).into()];
        values.extend(full.into_iter().map(Value::from));
        let heads = tx
            .query_all_raw(self.statement(&text, values))
            .await
            .map_err(store_error)?;
        let mut by_lane: HashMap<String, i64> = HashMap::new();
        let mut admitted: Vec<(i64, Option<String>)> = Vec::with_capacity(heads.len());
        let mut tenants = HashMap::new();
        for head in heads {
            let (seq, lane): (i64, _) = (get(&head, "seq")?, text_option(&head, "lane")?);
            if !request.admit(&mut tenants, &self::text(&head, "tenant")?) {
                continue;
            }
            if let Some(lane) = &lane {
                let first = by_lane.entry(lane.clone()).or_insert(seq);
                *first = seq.min(*first);
            }
            admitted.push((seq, lane));
        }
        // Nobody else writes now, so a lane without a lease is ours; of two heads of one lane the earlier goes.
        admitted.retain(|(seq, lane)| lane.as_ref().is_none_or(|lane| by_lane.get(lane) == Some(seq)));
        if admitted.is_empty() {
            return Ok(Vec::new());
        }
        let seqs: Vec<String> = admitted.iter().map(|(seq, _)| seq.to_string()).collect();
        let seqs = Value::from(format!("[{}]", seqs.join(",")));
        let run = async |text: &str, values: Vec<Value>| {
            let statement = self.statement(text, values);
            tx.execute_raw(statement).await.map_err(store_error).map(|_| ())
        };
        if !by_lane.is_empty() {
            run(
                "INSERT INTO lane_lease (plugin, lane, job) SELECT plugin, lane, id FROM job \
                 WHERE seq IN (SELECT value FROM json_each($1)) AND lane IS NOT NULL",
                vec![seqs.clone()],
            )
            .await?;
            run(
                "UPDATE delivery SET overtaken = 1 WHERE overtaken = 0 AND id IN (SELECT e.id FROM job h JOIN job e \
                 ON e.plugin = h.plugin AND e.lane = h.lane AND e.seq < h.seq AND e.state = 'pending' AND e.first_failed_ms IS NOT NULL \
                 WHERE h.seq IN (SELECT value FROM json_each($1)))",
                vec![seqs.clone()],
            )
            .await?;
        }
        let text = format!(
            "SELECT j.id, j.token + 1 AS token, j.attempts + 1 AS attempts, j.failures, j.lost, j.first_failed_ms, \
             j.dirty AS maybe_done, j.wait, j.wait_since, {COLUMNS}, {{now}} AS now_ms \
             FROM job j JOIN delivery d ON d.id = j.id JOIN body b ON b.id = j.id \
             WHERE j.seq IN (SELECT value FROM json_each($1)) ORDER BY j.run_at, j.seq"
        );
        let rows = tx
            .query_all_raw(self.statement(&text, [seqs.clone()]))
            .await
            .map_err(store_error)?;
        run(
            "UPDATE job SET state = 'running', token = token + 1, attempts = attempts + 1, lease_until = {now} + $2, \
             dirty = 1 WHERE seq IN (SELECT value FROM json_each($1))",
            vec![seqs, lease(request).into()],
        )
        .await?;
        Ok(rows)
    }

    /// Adds the memos; a wait that is over becomes one.
    async fn complete(
        &self,
        tx: &DatabaseTransaction,
        rows: Vec<QueryResult>,
        refused: &mut HashMap<Uuid, String>,
    ) -> StoreResult<Vec<Claimed>> {
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut one = claim_of(row)?;
            let wait: Option<String> = get(row, "wait")?;
            one.refused_wait = refused.get(&one.fence.job).cloned();
            if let Some(wait) = wait.filter(|_| one.refused_wait.is_none()) {
                let since: Option<i64> = get(row, "wait_since")?;
                let wait: Wait = parse(&wait)?;
                let name = wait.name.clone();
                let ended = self.end_wait(tx, &one, wait, since.unwrap_or(one.now_ms)).await;
                if matches!(ended, Err(StoreError::Refused(_))) {
                    refused.insert(one.fence.job, name);
                }
                ended?;
            }
            claimed.push(one);
        }
        // Not by the attempt: one that was preempted does not count and may have kept steps.
        let again: Vec<Uuid> = claimed
            .iter()
            .filter(|one| one.fence.token > 1)
            .map(|one| one.fence.job)
            .collect();
        let mut memos = self.memos_of(tx, &again).await?;
        for one in &mut claimed {
            one.memos = memos.remove(&one.fence.job).unwrap_or_default();
        }
        Ok(claimed)
    }

    async fn memos_of(&self, tx: &DatabaseTransaction, jobs: &[Uuid]) -> StoreResult<HashMap<Uuid, Vec<Memo>>> {
        let mut memos: HashMap<Uuid, Vec<Memo>> = HashMap::new();
        if jobs.is_empty() {
            return Ok(memos);
        }
        let text = format!(
            "SELECT * FROM memo WHERE job {} ORDER BY started_ms, name",
            self.in_set()
        );
        let statement = self.statement(&text, [self.set(jobs)]);
        let rows = tx.query_all_raw(statement).await.map_err(store_error)?;
        for row in &rows {
            let (job, memo) = memo(row)?;
            memos.entry(job).or_default().push(memo);
        }
        Ok(memos)
    }

    async fn end_wait(&self, tx: &DatabaseTransaction, one: &Claimed, wait: Wait, since: i64) -> StoreResult<()> {
        let value = self.first_signal(tx, &one.plugin, &wait).await?;
        let state = value.map_or(MemoState::TimedOut, |value| MemoState::Signalled {
            value: value.into(),
        });
        let memo = super::write::wait_memo(one.fence.job, one.epoch, wait, state, since, one.now_ms);
        self.put_memo(tx, one.fence.job, &memo).await?;
        let clear = self.statement(
            "UPDATE job SET wait = NULL, wait_topic = NULL, wait_since = NULL WHERE id = $1",
            [one.fence.job.into()],
        );
        tx.execute_raw(clear).await.map_err(store_error).map(|_| ())
    }

    pub(super) async fn first_signal(
        &self,
        tx: &DatabaseTransaction,
        plugin: &str,
        wait: &Wait,
    ) -> StoreResult<Option<Vec<u8>>> {
        let Some(topic) = &wait.topic else { return Ok(None) };
        let statement = self.statement(
            "SELECT value FROM signal WHERE plugin = $1 AND topic = $2 AND seq > $3 ORDER BY seq LIMIT 1",
            [plugin.into(), topic.clone().into(), wait.after.into()],
        );
        tx.query_one_raw(statement)
            .await
            .map_err(store_error)?
            .map(|row| get(&row, "value"))
            .transpose()
    }
}

fn lease(request: &ClaimRequest) -> i64 {
    i64::try_from(request.lease_ms).unwrap_or(i64::MAX / 4)
}

fn claim_of(row: &QueryResult) -> StoreResult<Claimed> {
    let death: Option<String> = get(row, "death")?;
    let count = |column: &str| get::<i32>(row, column).map(|count| u32::try_from(count).unwrap_or(0));
    Ok(Claimed {
        fence: Fence {
            job: get(row, "id")?,
            token: get(row, "token")?,
        },
        kind: kind(&get::<String>(row, "kind")?)?,
        plugin: text(row, "plugin")?,
        handler: text(row, "handler")?,
        tenant: text(row, "tenant")?,
        delivery_id: text(row, "delivery_id")?,
        event: text(row, "event")?,
        lane: text_option(row, "lane")?,
        headers: unpack_headers(&get::<Vec<u8>>(row, "headers")?),
        body: get::<Vec<u8>>(row, "body")?.into(),
        received_ms: get(row, "received_ms")?,
        attempt: count("attempts")?,
        failures: count("failures")?,
        lost: count("lost")?,
        first_failed_ms: get(row, "first_failed_ms")?,
        maybe_done: get(row, "maybe_done")?,
        epoch: count("epoch")?,
        memos: Vec::new(),
        death: death.as_deref().map(parse).transpose()?,
        refused_wait: None,
        now_ms: get(row, "now_ms")?,
    })
}
