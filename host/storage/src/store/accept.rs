//! Storing work: delivery, body, dedup key and job in one commit.

use std::collections::{HashMap, HashSet};

use jackfield_inbox::{
    model::{NewWork, ReplayMode, Stored},
    store::{StoreError, StoreResult},
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Value, sea_query::ArrayType};
use uuid::Uuid;

use super::{
    SqlStore, persistently,
    rows::{get, json, pack_headers},
    store_error,
};

/// Rounds of [`SqlStore::keep`]; more than one only when retention removes the very key that is sent again.
const KEY_ROUNDS: u32 = 5;

type Key = [u8; 16];
/// What is new, by id, and since when it is claimed already.
type Fresh = HashMap<Uuid, Option<i64>>;

impl SqlStore {
    /// On PostgreSQL: what is new is one statement, which commits itself; what is left was there before. Each is tried again
    /// by itself: what the first has committed must not be taken for what was there before.
    pub(super) async fn accept_batch(&self, batch: &[&NewWork]) -> StoreResult<Vec<Stored>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let order = first_of_keys(batch);
        let fresh = persistently(|| self.insert_by_arrays(&self.db.write, &order)).await?;
        let left: Vec<&NewWork> = batch
            .iter()
            .filter(|work| !fresh.contains_key(&work.id))
            .copied()
            .collect();
        let mut stored_before = Vec::new();
        if !left.is_empty() {
            (stored_before, _) = persistently(|| self.change_at_once(&left, &[])).await?;
        }
        let mut stored_before = stored_before.into_iter();
        let stored = batch.iter().map(|work| match fresh.get(&work.id) {
            Some(begun) => Some(new(work.id, *begun)),
            None => stored_before.next(),
        });
        let stored: Option<Vec<Stored>> = stored.collect();
        stored.ok_or_else(unanswered)
    }

    /// Within a transaction, so that a death notice commits with the death.
    pub(super) async fn accept_in(&self, tx: &DatabaseTransaction, batch: &[&NewWork]) -> StoreResult<Vec<Stored>> {
        let order = first_of_keys(batch);
        let (keepers, fresh) = if self.db.is_sqlite() {
            self.keep_as_only_writer(tx, &order).await?
        } else {
            self.keep(tx, &order).await?
        };
        let keeper = |work: &NewWork| keepers.get(&work.dedup.0).copied();
        let again: HashSet<Uuid> = batch
            .iter()
            .filter(|work| work.kind.rearms() && !fresh.contains_key(&work.id))
            .filter_map(|work| keeper(work))
            .collect();
        let mut dead = self.dead_of(tx, again).await?;
        self.arm(tx, &dead, ReplayMode::Resume).await?;
        batch
            .iter()
            .map(|work| {
                if let Some(begun) = fresh.get(&work.id) {
                    return Ok(new(work.id, *begun));
                }
                let id = keeper(work).ok_or_else(unanswered)?;
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

    /// Which delivery each key belongs to, and what is new. Nobody else writes now.
    async fn keep_as_only_writer(
        &self,
        tx: &DatabaseTransaction,
        order: &[&NewWork],
    ) -> StoreResult<(HashMap<Key, Uuid>, Fresh)> {
        let mut keepers = HashMap::with_capacity(order.len());
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
        let ours = |work: &&&NewWork| keepers.get(&work.dedup.0) == Some(&work.id);
        let mut fresh: Vec<&NewWork> = order.iter().filter(ours).copied().collect();
        // In the order of ids (UUIDv7), so that `seq` follows the order of arrival within a batch.
        fresh.sort_by_key(|work| work.id);
        if fresh.is_empty() {
            return Ok((keepers, Fresh::new()));
        }
        let fresh = self.insert_by_values(tx, &fresh).await?;
        Ok((keepers, fresh))
    }

    /// The same beside other writers. A key that was there is locked, so that retention does not remove what we answer for;
    /// one that retention removed meanwhile is tried again.
    async fn keep(&self, tx: &DatabaseTransaction, order: &[&NewWork]) -> StoreResult<(HashMap<Key, Uuid>, Fresh)> {
        let (mut keepers, mut fresh) = (HashMap::with_capacity(order.len()), Fresh::new());
        for _ in 0..KEY_ROUNDS {
            let wanted = missing(order, &keepers);
            if wanted.is_empty() {
                break;
            }
            let inserted = self.insert_by_arrays(tx, &wanted).await?;
            for work in wanted.iter().filter(|work| inserted.contains_key(&work.id)) {
                keepers.insert(work.dedup.0, work.id);
            }
            fresh.extend(inserted);
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
        Ok((keepers, fresh))
    }

    async fn insert_by_values(&self, tx: &DatabaseTransaction, fresh: &[&NewWork]) -> StoreResult<Fresh> {
        let now = self.clock_in(tx).await?;
        let free = self.take_lanes(tx, fresh).await?;
        let begins = |work: &NewWork| {
            work.lease()
                .filter(|_| work.lane().is_none() || free.contains(&work.id))
        };
        for chunk in chunks(fresh) {
            let text = format!(
                "INSERT INTO delivery (id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, reason, death, received_ms) \
                 VALUES {}",
                places(chunk.len(), "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            );
            let mut values: Vec<Value> = Vec::with_capacity(chunk.len() * 12);
            for work in chunk {
                values.extend::<[Value; 12]>([
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
                    now.into(),
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
                "INSERT INTO job (id, plugin, tenant, lane, state, run_at, delayed, token, attempts, dirty, lease_until) VALUES {}",
                places(chunk.len(), "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            );
            let values = chunk.iter().flat_map(|work| -> [Value; 11] {
                let lease = begins(work);
                let first = i32::from(lease.is_some());
                [
                    work.id.into(),
                    work.plugin.clone().into(),
                    work.tenant.clone().into(),
                    work.lane().map(str::to_owned).into(),
                    if lease.is_some() { "running" } else { first_state(work) }.into(),
                    now.saturating_add(delay(work)).into(),
                    (work.delay_ms > 0).into(),
                    i64::from(first).into(),
                    first.into(),
                    lease.is_some().into(),
                    now.saturating_add_unsigned(lease.unwrap_or(0)).into(),
                ]
            });
            tx.execute_raw(self.statement(&text, values))
                .await
                .map_err(store_error)?;
        }
        let fresh = fresh.iter().map(|work| (work.id, begins(work).map(|_| now)));
        Ok(fresh.collect())
    }

    /// Leases the lanes of those that are claimed as they are stored: the first of each lane, if nothing of it runs or is
    /// pending. Gives their ids.
    async fn take_lanes(&self, tx: &DatabaseTransaction, fresh: &[&NewWork]) -> StoreResult<HashSet<Uuid>> {
        let mut lanes = HashSet::new();
        let firsts = fresh.iter().filter_map(|work| Some((*work, work.lane()?)));
        let firsts = firsts.filter(|(work, lane)| lanes.insert((work.plugin.as_str(), *lane)));
        let firsts: Vec<(&NewWork, &str)> = firsts.filter(|(work, _)| work.lease().is_some()).collect();
        let mut taken = HashSet::new();
        for chunk in chunks(&firsts) {
            let text = format!(
                "WITH first (plugin, lane, job) AS (VALUES {}) \
                 INSERT INTO lane_lease (plugin, lane, job) SELECT plugin, lane, job FROM first WHERE NOT EXISTS \
                 (SELECT 1 FROM job j WHERE j.plugin = first.plugin AND j.lane = first.lane AND j.state = 'pending') \
                 ON CONFLICT DO NOTHING RETURNING job",
                places(chunk.len(), "(?, ?, ?)")
            );
            let values = chunk
                .iter()
                .flat_map(|(work, lane)| [work.plugin.clone().into(), (*lane).into(), work.id.into()]);
            let rows = tx.query_all_raw(self.statement(&text, values)).await;
            for row in rows.map_err(store_error)? {
                taken.insert(get(&row, "job")?);
            }
        }
        Ok(taken)
    }

    /// Takes the keys that are free and inserts what they belong to, in one statement. Sorted by key: two replicas that
    /// store the same keys in other orders would wait for each other. Jobs in the order of ids (UUIDv7), so that `seq`
    /// follows the order of arrival within a batch.
    async fn insert_by_arrays(&self, on: &impl ConnectionTrait, order: &[&NewWork]) -> StoreResult<Fresh> {
        let texts = |pick: fn(&NewWork) -> &str| text_array(order.iter().map(|work| pick(work).to_owned()));
        let deaths: Vec<String> = order
            .iter()
            .map(|work| work.death.as_ref().map_or(Ok(String::new()), json))
            .collect::<StoreResult<_>>()?;
        let leases = order
            .iter()
            .map(|work| i64::try_from(work.lease().unwrap_or(0)).unwrap_or(i64::MAX / 4));
        let statement = self.statement(
            "WITH clock AS MATERIALIZED (SELECT {now} AS now), \
             k AS (INSERT INTO dedup (key, delivery, seen_ms) SELECT key, id, now FROM unnest($9::bytea[], $1::uuid[]) AS k(key, id), \
                 clock ORDER BY key ON CONFLICT (key) DO NOTHING RETURNING delivery), \
             w AS MATERIALIZED (SELECT id, kind, plugin, handler, tenant, delivery_id, event, nullif(lane, '') AS lane, dedup, \
               nullif(held, '') AS held, nullif(death, '') AS death, delay, state, lease, now \
               FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
               $7::text[], $8::text[], $9::bytea[], $10::text[], $11::text[], $12::bigint[], $15::text[], $16::bigint[]) \
               AS w(id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, held, death, delay, state, lease), clock \
               WHERE id IN (SELECT delivery FROM k)), \
             d AS (INSERT INTO delivery (id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, reason, death, received_ms) \
               SELECT id, kind, plugin, handler, tenant, delivery_id, event, lane, dedup, held, death, now FROM w), \
             b AS (INSERT INTO body (id, headers, body) SELECT id, headers, body \
               FROM unnest($1::uuid[], $13::bytea[], $14::bytea[]) AS b(id, headers, body) WHERE id IN (SELECT delivery FROM k)), \
             taken AS (INSERT INTO lane_lease (plugin, lane, job) SELECT plugin, lane, id FROM \
                 (SELECT DISTINCT ON (plugin, lane) plugin, lane, id, lease FROM w WHERE lane IS NOT NULL ORDER BY plugin, lane, id) first \
               WHERE lease > 0 \
                 AND NOT EXISTS (SELECT 1 FROM lane_lease l WHERE l.plugin = first.plugin AND l.lane = first.lane) \
                 AND NOT EXISTS (SELECT 1 FROM job j WHERE j.plugin = first.plugin AND j.lane = first.lane AND j.state = 'pending') \
               ON CONFLICT DO NOTHING RETURNING job), \
             j AS (INSERT INTO job (id, plugin, tenant, lane, state, run_at, delayed, token, attempts, dirty, lease_until) \
               SELECT id, plugin, tenant, lane, CASE WHEN begins THEN 'running' ELSE state END, now + delay, delay > 0, \
                 begins::int, begins::int, begins, now + lease \
               FROM (SELECT w.*, lease > 0 AND (lane IS NULL OR id IN (SELECT job FROM taken)) AS begins FROM w) w ORDER BY id \
               RETURNING id, state, run_at) \
             SELECT id, CASE WHEN state = 'running' THEN run_at END AS begun FROM j",
            [
                uuid_array(order.iter().map(|work| work.id)),
                texts(|work| work.kind.as_str()),
                texts(|work| &work.plugin),
                texts(|work| &work.handler),
                texts(|work| &work.tenant),
                texts(|work| &work.delivery_id),
                texts(|work| &work.event),
                texts(|work| work.lane().unwrap_or_default()),
                bytes_array(order.iter().map(|work| work.dedup.0.to_vec())),
                texts(|work| work.held.as_deref().unwrap_or_default()),
                text_array(deaths.into_iter()),
                int_array(order.iter().map(|work| delay(work))),
                bytes_array(order.iter().map(|work| pack_headers(&work.headers))),
                bytes_array(order.iter().map(|work| work.body.to_vec())),
                texts(|work| first_state(work)),
                int_array(leases),
            ],
        );
        let rows = on.query_all_raw(statement).await.map_err(store_error)?;
        rows.iter()
            .map(|row| Ok((get(row, "id")?, get(row, "begun")?)))
            .collect()
    }
}

/// The first of each key, sorted by key.
fn first_of_keys<'w>(batch: &[&'w NewWork]) -> Vec<&'w NewWork> {
    let mut order = batch.to_vec();
    order.sort_by_key(|work| (work.dedup, work.id));
    order.dedup_by_key(|work| work.dedup);
    order
}

fn new(id: Uuid, begun: Option<i64>) -> Stored {
    begun.map_or(Stored::New(id), |now| Stored::Begun(id, now))
}

fn unanswered() -> StoreError {
    StoreError::Conflict("a dedup key has no owner".to_owned())
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
