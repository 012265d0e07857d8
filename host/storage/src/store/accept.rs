//! Storing work: delivery, body, dedup key and job in one commit.

use std::collections::{HashMap, HashSet};

use jackfield_inbox::{
    model::{NewWork, ReplayMode, Stored},
    store::{StoreError, StoreResult},
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value, sea_query::ArrayType};
use uuid::Uuid;

use super::{
    SqlStore,
    rows::{get, json, pack_headers},
    store_error,
};

/// Rounds of [`SqlStore::take_keys`]; more than one only when retention removes the very key that is sent again.
const KEY_ROUNDS: u32 = 5;

type Key = [u8; 16];

impl SqlStore {
    pub(super) async fn accept_batch(&self, batch: &[NewWork]) -> StoreResult<Vec<Stored>> {
        let tx = self.begin().await?;
        let stored = self.accept_in(&tx, batch).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(stored)
    }

    /// Within a transaction, so that a death notice commits with the death.
    pub(super) async fn accept_in(&self, tx: &DatabaseTransaction, batch: &[NewWork]) -> StoreResult<Vec<Stored>> {
        // Sorted by dedup key: two replicas that store the same keys in other orders would wait for each other.
        let mut order: Vec<&NewWork> = batch.iter().collect();
        order.sort_by_key(|work| (work.dedup, work.id));
        order.dedup_by_key(|work| work.dedup);
        let keepers = self.take_keys(tx, &order).await?;
        let keeper = |work: &NewWork| keepers.get(&work.dedup.0).copied();
        let mut fresh: Vec<&NewWork> = order.into_iter().filter(|work| keeper(work) == Some(work.id)).collect();
        // In the order of ids (UUIDv7), so that `seq` follows the order of arrival within a batch.
        fresh.sort_by_key(|work| work.id);
        if self.db.is_sqlite() {
            self.insert_by_values(tx, &fresh).await?;
        } else if !fresh.is_empty() {
            self.insert_by_arrays(tx, &fresh).await?;
        }
        let again: HashSet<Uuid> = batch
            .iter()
            .filter(|work| work.kind.rearms())
            .filter_map(|work| keeper(work).filter(|id| *id != work.id))
            .collect();
        let mut dead = self.dead_of(tx, again).await?;
        self.arm(tx, &dead, ReplayMode::Resume).await?;
        batch
            .iter()
            .map(|work| {
                let id = keeper(work).ok_or_else(|| StoreError::Conflict("a dedup key has no owner".to_owned()))?;
                if id == work.id {
                    return Ok(Stored::New(id));
                }
                // A second one of this batch finds it armed already.
                match dead.iter().position(|one| *one == id) {
                    Some(at) => {
                        dead.swap_remove(at);
                        Ok(Stored::Rearmed(id))
                    }
                    None => Ok(Stored::Duplicate(id)),
                }
            })
            .collect()
    }

    /// Which delivery each key belongs to, after ours were tried. A key that was there is locked, so that retention does
    /// not remove what we answer for; one that retention removed meanwhile is tried again.
    async fn take_keys(&self, tx: &DatabaseTransaction, order: &[&NewWork]) -> StoreResult<HashMap<Key, Uuid>> {
        let mut keepers = HashMap::with_capacity(order.len());
        if self.db.is_sqlite() {
            for chunk in chunks(order) {
                let text = format!(
                    "INSERT INTO dedup (key, delivery, seen_ms) VALUES {} \
                     ON CONFLICT (key) DO UPDATE SET key = key RETURNING key, delivery",
                    places(chunk.len(), "(?, ?, {now})")
                );
                let values = chunk.iter().flat_map(|work| [bytes(&work.dedup.0), work.id.into()]);
                let rows = tx.query_all_raw(self.statement(&text, values)).await;
                note(&mut keepers, &rows.map_err(store_error)?)?;
            }
            return Ok(keepers);
        }
        for _ in 0..KEY_ROUNDS {
            let wanted: Vec<&NewWork> = missing(order, &keepers);
            if wanted.is_empty() {
                break;
            }
            let taken = self.statement(
                "INSERT INTO dedup (key, delivery, seen_ms) \
                 SELECT k, d, {now} FROM unnest($1::bytea[], $2::uuid[]) AS u(k, d) \
                 ON CONFLICT (key) DO NOTHING RETURNING key, delivery",
                [
                    bytes_array(wanted.iter().map(|work| work.dedup.0.to_vec())),
                    uuid_array(wanted.iter().map(|work| work.id)),
                ],
            );
            note(&mut keepers, &tx.query_all_raw(taken).await.map_err(store_error)?)?;
            let wanted = missing(order, &keepers);
            if wanted.is_empty() {
                break;
            }
            let held = self.statement(
                "SELECT key, delivery FROM dedup WHERE key = ANY($1::bytea[]) ORDER BY key FOR KEY SHARE",
                [bytes_array(wanted.iter().map(|work| work.dedup.0.to_vec()))],
            );
            note(&mut keepers, &tx.query_all_raw(held).await.map_err(store_error)?)?;
        }
        Ok(keepers)
    }

    async fn insert_by_values(&self, tx: &DatabaseTransaction, fresh: &[&NewWork]) -> StoreResult<()> {
        for chunk in chunks(fresh) {
            let text = format!(
                "INSERT INTO delivery (id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, reason, death, received_ms) \
                 VALUES {}",
                places(chunk.len(), "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {now})")
            );
            let mut values: Vec<Value> = Vec::with_capacity(chunk.len() * 11);
            for work in chunk {
                values.extend::<[Value; 11]>([
                    work.id.into(),
                    work.kind.as_str().into(),
                    work.plugin.clone().into(),
                    work.handler.clone().into(),
                    work.tenant.clone().into(),
                    work.delivery_id.clone().into(),
                    work.event.clone().into(),
                    work.lane().map(str::to_owned).into(),
                    bytes(&work.dedup.0),
                    work.held.clone().into(),
                    work.death.as_ref().map(json).transpose()?.into(),
                ]);
            }
            tx.execute_raw(self.statement(&text, values))
                .await
                .map_err(store_error)?;
            let text = format!(
                "INSERT INTO body (id, headers, body) VALUES {}",
                places(chunk.len(), "(?, ?, ?)")
            );
            let values = chunk
                .iter()
                .flat_map(|work| [work.id.into(), bytes(&pack_headers(&work.headers)), bytes(&work.body)]);
            tx.execute_raw(self.statement(&text, values))
                .await
                .map_err(store_error)?;
            let text = format!(
                "INSERT INTO job (id, plugin, tenant, lane, state, run_at, delayed) VALUES {}",
                places(chunk.len(), "(?, ?, ?, ?, ?, {now} + ?, ?)")
            );
            let values = chunk.iter().flat_map(|work| -> [Value; 7] {
                [
                    work.id.into(),
                    work.plugin.clone().into(),
                    work.tenant.clone().into(),
                    work.lane().map(str::to_owned).into(),
                    first_state(work).into(),
                    delay(work).into(),
                    (work.delay_ms > 0).into(),
                ]
            });
            tx.execute_raw(self.statement(&text, values))
                .await
                .map_err(store_error)?;
        }
        Ok(())
    }

    async fn insert_by_arrays(&self, tx: &DatabaseTransaction, fresh: &[&NewWork]) -> StoreResult<()> {
        let texts = |pick: fn(&NewWork) -> &str| text_array(fresh.iter().map(|work| pick(work).to_owned()));
        let deaths: Vec<String> = fresh
            .iter()
            .map(|work| work.death.as_ref().map_or(Ok(String::new()), json))
            .collect::<StoreResult<_>>()?;
        let statement = self.statement(
            "WITH w AS (SELECT id, kind, plugin, handler, tenant, delivery_id, event, nullif(lane, '') AS lane, dedup, \
               nullif(held, '') AS held, nullif(death, '') AS death, delay, headers, body, state \
               FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
               $7::text[], $8::text[], $9::bytea[], $10::text[], $11::text[], $12::bigint[], $13::bytea[], $14::bytea[], $15::text[]) \
               AS w(id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, held, death, delay, headers, body, state)), \
             d AS (INSERT INTO delivery (id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, reason, death, received_ms) \
               SELECT id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, held, death, {now} FROM w), \
             b AS (INSERT INTO body (id, headers, body) SELECT id, headers, body FROM w) \
             INSERT INTO job (id, plugin, tenant, lane, state, run_at, delayed) \
               SELECT id, plugin, tenant, lane, state, {now} + delay, delay > 0 FROM w ORDER BY id",
            [
                uuid_array(fresh.iter().map(|work| work.id)),
                texts(|work| work.kind.as_str()),
                texts(|work| &work.plugin),
                texts(|work| &work.handler),
                texts(|work| &work.tenant),
                texts(|work| &work.delivery_id),
                texts(|work| &work.event),
                texts(|work| work.lane().unwrap_or_default()),
                bytes_array(fresh.iter().map(|work| work.dedup.0.to_vec())),
                texts(|work| work.held.as_deref().unwrap_or_default()),
                text_array(deaths.into_iter()),
                int_array(fresh.iter().map(|work| delay(work))),
                bytes_array(fresh.iter().map(|work| pack_headers(&work.headers))),
                bytes_array(fresh.iter().map(|work| work.body.to_vec())),
                texts(|work| first_state(work)),
            ],
        );
        tx.execute_raw(statement).await.map_err(store_error).map(|_| ())
    }
}

fn first_state(work: &NewWork) -> &'static str {
    if work.held.is_some() { "held" } else { "pending" }
}

fn delay(work: &NewWork) -> i64 {
    i64::try_from(work.delay_ms).unwrap_or(i64::MAX / 4)
}

fn missing<'w>(order: &[&'w NewWork], keepers: &HashMap<Key, Uuid>) -> Vec<&'w NewWork> {
    let missing = order.iter().filter(|work| !keepers.contains_key(&work.dedup.0));
    missing.copied().collect()
}

fn note(keepers: &mut HashMap<Key, Uuid>, rows: &[QueryResult]) -> StoreResult<()> {
    for row in rows {
        if let Ok(key) = Key::try_from(get::<Vec<u8>>(row, "key")?) {
            keepers.insert(key, get(row, "delivery")?);
        }
    }
    Ok(())
}

/// Rows of one statement at most. Each size has a text of its own, and the connection keeps them all prepared.
pub(crate) const MAX_ROWS: usize = 64;

/// Pieces that one statement takes.
pub(super) fn chunks<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    all.chunks(MAX_ROWS)
}

/// `one`, `count` times.
pub(super) fn places(count: usize, one: &str) -> String {
    vec![one; count].join(", ")
}

fn bytes(value: &[u8]) -> Value {
    value.to_vec().into()
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
