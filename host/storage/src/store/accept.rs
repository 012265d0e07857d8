//! Storing work: delivery, body, dedup key and job in one commit.

use std::collections::HashMap;

use jackfield_inbox::{
    model::{NewWork, ReplayMode, Stored},
    store::StoreResult,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, Value, sea_query::ArrayType};
use uuid::Uuid;

use super::{
    SqlStore, away,
    rows::{get, json, pack_headers},
};

impl SqlStore {
    pub(super) async fn accept_batch(&self, batch: Vec<NewWork>) -> StoreResult<Vec<Stored>> {
        let tx = self.begin().await?;
        let stored = self.accept_in(&tx, &batch).await?;
        tx.commit().await.map_err(away)?;
        Ok(stored)
    }

    /// Within a transaction, so that a death notice commits with the death.
    pub(super) async fn accept_in(&self, tx: &DatabaseTransaction, batch: &[NewWork]) -> StoreResult<Vec<Stored>> {
        // Sorted by dedup key: two replicas that store the same keys in other orders would wait for each other.
        let mut order: Vec<&NewWork> = batch.iter().collect();
        order.sort_by_key(|work| (work.dedup, work.id));
        order.dedup_by_key(|work| work.dedup);
        let keepers = self.take_keys(tx, &order).await?;
        let fresh: Vec<&NewWork> = order
            .into_iter()
            .filter(|work| keepers.get(&work.dedup.0) == Some(&work.id))
            .collect();
        if self.db.is_sqlite() {
            for work in &fresh {
                self.insert_one(tx, work).await?;
            }
        } else if !fresh.is_empty() {
            self.insert_many(tx, &fresh).await?;
        }
        let mut answers = Vec::with_capacity(batch.len());
        let mut rearmed: HashMap<Uuid, bool> = HashMap::new();
        for work in batch {
            let id = keepers.get(&work.dedup.0).copied().unwrap_or(work.id);
            if id == work.id {
                answers.push(Stored::New(id));
                continue;
            }
            let again = match rearmed.get(&id) {
                // A second one of this batch finds it armed already.
                Some(_) => false,
                None => {
                    let dead = self.is_dead(tx, id).await?;
                    if dead {
                        self.arm(tx, id, ReplayMode::Resume).await?;
                    }
                    rearmed.insert(id, dead);
                    dead
                }
            };
            answers.push(if again {
                Stored::Rearmed(id)
            } else {
                Stored::Duplicate(id)
            });
        }
        Ok(answers)
    }

    /// Which delivery each key belongs to, after ours were tried.
    async fn take_keys(&self, tx: &DatabaseTransaction, order: &[&NewWork]) -> StoreResult<HashMap<[u8; 16], Uuid>> {
        let mut keepers = HashMap::new();
        if self.db.is_sqlite() {
            for work in order {
                let statement = self.statement(
                    "INSERT INTO dedup (key, delivery, seen_ms) VALUES ($1, $2, {now}) \
                     ON CONFLICT (key) DO UPDATE SET key = key RETURNING delivery",
                    [work.dedup.0.to_vec().into(), work.id.into()],
                );
                if let Some(row) = tx.query_one_raw(statement).await.map_err(away)? {
                    keepers.insert(work.dedup.0, get(&row, "delivery")?);
                }
            }
            return Ok(keepers);
        }
        let keys = bytes_array(order.iter().map(|work| work.dedup.0.to_vec()));
        let ids = uuid_array(order.iter().map(|work| work.id));
        let taken = self.statement(
            "INSERT INTO dedup (key, delivery, seen_ms) \
             SELECT k, d, {now} FROM unnest($1::bytea[], $2::uuid[]) AS u(k, d) \
             ON CONFLICT (key) DO NOTHING RETURNING key, delivery",
            [keys, ids],
        );
        let note = |rows: Vec<sea_orm::QueryResult>, keepers: &mut HashMap<[u8; 16], Uuid>| -> StoreResult<()> {
            for row in rows {
                let key: Vec<u8> = get(&row, "key")?;
                if let Ok(key) = <[u8; 16]>::try_from(key) {
                    keepers.insert(key, get(&row, "delivery")?);
                }
            }
            Ok(())
        };
        note(tx.query_all_raw(taken).await.map_err(away)?, &mut keepers)?;
        let missing: Vec<Vec<u8>> = order
            .iter()
            .filter(|work| !keepers.contains_key(&work.dedup.0))
            .map(|work| work.dedup.0.to_vec())
            .collect();
        if !missing.is_empty() {
            let held = self.statement(
                "SELECT key, delivery FROM dedup WHERE key = ANY($1::bytea[])",
                [bytes_array(missing.into_iter())],
            );
            note(tx.query_all_raw(held).await.map_err(away)?, &mut keepers)?;
        }
        Ok(keepers)
    }

    async fn insert_one(&self, tx: &DatabaseTransaction, work: &NewWork) -> StoreResult<()> {
        let death = work.death.as_ref().map(json).transpose()?;
        let delivery = self.statement(
            "INSERT INTO delivery (id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, reason, death, received_ms) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, {now})",
            [
                work.id.into(),
                work.kind.as_str().into(),
                work.plugin.clone().into(),
                work.handler.clone().into(),
                work.tenant.clone().into(),
                work.delivery_id.clone().into(),
                work.event.clone().into(),
                work.lane.clone().into(),
                work.dedup.0.to_vec().into(),
                work.held.clone().into(),
                death.into(),
            ],
        );
        tx.execute_raw(delivery).await.map_err(away)?;
        let body = self.statement(
            "INSERT INTO body (id, headers, body) VALUES ($1, $2, $3)",
            [
                work.id.into(),
                pack_headers(&work.headers).into(),
                work.body.to_vec().into(),
            ],
        );
        tx.execute_raw(body).await.map_err(away)?;
        let job = self.statement(
            "INSERT INTO job (id, plugin, tenant, lane, state, run_at, delayed) VALUES ($1, $2, $3, $4, $5, {now} + $6, $7)",
            [
                work.id.into(),
                work.plugin.clone().into(),
                work.tenant.clone().into(),
                work.lane.clone().into(),
                if work.held.is_some() { "held" } else { "pending" }.into(),
                delay(work).into(),
                (work.delay_ms > 0).into(),
            ],
        );
        tx.execute_raw(job).await.map_err(away).map(|_| ())
    }

    async fn insert_many(&self, tx: &DatabaseTransaction, fresh: &[&NewWork]) -> StoreResult<()> {
        // In the order of ids (UUIDv7), so that `seq` follows the order of arrival within a batch.
        let mut fresh = fresh.to_vec();
        fresh.sort_by_key(|work| work.id);
        let texts = |pick: fn(&NewWork) -> &str| text_array(fresh.iter().map(|work| pick(work).to_owned()));
        let ids = uuid_array(fresh.iter().map(|work| work.id));
        let deaths: Vec<String> = fresh
            .iter()
            .map(|work| work.death.as_ref().map_or(Ok(String::new()), json))
            .collect::<StoreResult<_>>()?;
        let lanes = text_array(fresh.iter().map(|work| work.lane.clone().unwrap_or_default()));
        let held = text_array(fresh.iter().map(|work| work.held.clone().unwrap_or_default()));
        let delays = int_array(fresh.iter().map(|work| delay(work)));
        let statement = self.statement(
            "WITH w AS (SELECT id, kind, plugin, handler, tenant, delivery_id, event, nullif(lane, '') AS lane, dedup, \
               nullif(held, '') AS held, nullif(death, '') AS death, delay, headers, body FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
               $7::text[], $8::text[], $9::bytea[], $10::text[], $11::text[], $12::bigint[], $13::bytea[], $14::bytea[]) \
               AS w(id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, held, death, delay, headers, body)), \
             d AS (INSERT INTO delivery (id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, reason, death, received_ms) \
               SELECT id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, held, death, {now} FROM w), \
             b AS (INSERT INTO body (id, headers, body) SELECT id, headers, body FROM w) \
             INSERT INTO job (id, plugin, tenant, lane, state, run_at, delayed) \
               SELECT id, plugin, tenant, lane, CASE WHEN held IS NULL THEN 'pending' ELSE 'held' END, {now} + delay, delay > 0 \
               FROM w ORDER BY id",
            [
                ids,
                texts(|work| work.kind.as_str()),
                texts(|work| &work.plugin),
                texts(|work| &work.handler),
                texts(|work| &work.tenant),
                texts(|work| &work.delivery_id),
                texts(|work| &work.event),
                lanes,
                bytes_array(fresh.iter().map(|work| work.dedup.0.to_vec())),
                held,
                text_array(deaths.into_iter()),
                delays,
                bytes_array(fresh.iter().map(|work| pack_headers(&work.headers))),
                bytes_array(fresh.iter().map(|work| work.body.to_vec())),
            ],
        );
        tx.execute_raw(statement).await.map_err(away).map(|_| ())
    }

    async fn is_dead(&self, tx: &DatabaseTransaction, id: Uuid) -> StoreResult<bool> {
        let lock = if self.db.is_sqlite() { "" } else { " FOR UPDATE" };
        let text = format!("SELECT state FROM delivery WHERE id = $1{lock}");
        let row = tx
            .query_one_raw(self.statement(&text, [id.into()]))
            .await
            .map_err(away)?;
        let state: Option<String> = row.map(|row| get(&row, "state")).transpose()?.flatten();
        Ok(state.as_deref() == Some("dead"))
    }

    /// Arms ended work again.
    pub(super) async fn arm(&self, tx: &DatabaseTransaction, id: Uuid, mode: ReplayMode) -> StoreResult<()> {
        if mode != ReplayMode::Resume {
            tx.execute_raw(self.statement("DELETE FROM memo WHERE job = $1", [id.into()]))
                .await
                .map_err(away)?;
        }
        let again = mode == ReplayMode::Again;
        let job = self.statement(
            "INSERT INTO job (id, plugin, tenant, lane, state, run_at, token, attempts, dirty, delayed) \
             SELECT id, plugin, tenant, lane, 'pending', {now}, token, attempts, dirty AND NOT $2, $3 FROM delivery WHERE id = $1",
            [id.into(), again.into(), false.into()],
        );
        tx.execute_raw(job).await.map_err(away)?;
        let delivery = self.statement(
            "UPDATE delivery SET state = NULL, finished_ms = NULL, outcome = NULL, summary = NULL, reason = NULL, \
             overtaken = $3, epoch = epoch + $2 WHERE id = $1",
            [id.into(), i32::from(again).into(), false.into()],
        );
        tx.execute_raw(delivery).await.map_err(away).map(|_| ())
    }
}

fn delay(work: &NewWork) -> i64 {
    i64::try_from(work.delay_ms).unwrap_or(i64::MAX / 4)
}

pub(super) fn uuid_array(values: impl Iterator<Item = Uuid>) -> Value {
    Value::Array(ArrayType::Uuid, Some(Box::new(values.map(Into::into).collect())))
}

pub(super) fn bytes_array(values: impl Iterator<Item = Vec<u8>>) -> Value {
    Value::Array(ArrayType::Bytes, Some(Box::new(values.map(Into::into).collect())))
}

/// Nulls cannot stand in an array: the empty text means none, and the statement says `nullif`.
pub(super) fn text_array(values: impl Iterator<Item = String>) -> Value {
    Value::Array(ArrayType::String, Some(Box::new(values.map(Into::into).collect())))
}

pub(super) fn int_array(values: impl Iterator<Item = i64>) -> Value {
    Value::Array(ArrayType::BigInt, Some(Box::new(values.map(Into::into).collect())))
}
