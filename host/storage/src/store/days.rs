//! Bodies by day, on PostgreSQL. `body` is partitioned by the day in the id (UUIDv7), so that retention drops a day at once:
//! deleting bodies one by one would leave as much dead space as there are bodies. The narrow tables are deleted from in pieces.
//!
//! Days are made a week ahead. What fits no day (a host whose clock is far off) goes to `body_default`.

use jackfield_inbox::store::StoreResult;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};
use time::{Date, Duration, OffsetDateTime, format_description::FormatItem, macros::format_description};
use uuid::Uuid;

use super::{SqlStore, rows::get, store_error};
use crate::open::Database;

/// Days that are there before they come.
const AHEAD: i64 = 7;
/// Bodies that one statement deletes where a day cannot be dropped.
const PIECE: i64 = 500;
/// A number of our own for PostgreSQL's advisory lock.
const LOCK: i64 = 0x4a46_4441_5953;
const NAME: &[FormatItem<'_>] = format_description!("body_[year][month][day]");

/// The partition of a day.
fn name(day: Date) -> Result<String, DbErr> {
    day.format(NAME).map_err(|error| DbErr::Custom(error.to_string()))
}

/// The day of a partition; `body_default` is none.
fn day_of(name: &str) -> Option<Date> {
    Date::parse(name, NAME).ok()
}

fn begin_ms(day: Date) -> i64 {
    day.midnight().assume_utc().unix_timestamp() * 1_000
}

/// The least id of that millisecond.
fn least(ms: i64) -> Uuid {
    Uuid::from_u128(u128::from(ms.unsigned_abs()) << 80)
}

fn next(day: Date) -> Date {
    day.saturating_add(Duration::days(1))
}

impl Database {
    /// Makes the days from `now` on that are missing. Nothing to do on SQLite.
    pub(crate) async fn make_days(&self, now: OffsetDateTime) -> Result<(), DbErr> {
        if self.is_sqlite() {
            return Ok(());
        }
        let there = self.days(&self.read).await?;
        let wanted = |days: &[Date]| -> Vec<Date> {
            let all = (0..=AHEAD).map(|ahead| now.date().saturating_add(Duration::days(ahead)));
            all.filter(|day| !days.contains(day)).collect()
        };
        if wanted(&there).is_empty() {
            return Ok(());
        }
        let tx = self.begin().await?;
        tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
            .await?;
        for day in wanted(&self.days(&tx).await?) {
            tx.execute_unprepared(&format!(
                "CREATE TABLE {} PARTITION OF body FOR VALUES FROM ('{}') TO ('{}')",
                name(day)?,
                least(begin_ms(day)),
                least(begin_ms(next(day)))
            ))
            .await?;
        }
        tx.commit().await
    }

    async fn days(&self, on: &impl ConnectionTrait) -> Result<Vec<Date>, DbErr> {
        let statement = Statement::from_string(
            self.backend,
            "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
             WHERE i.inhparent = 'body'::regclass",
        );
        let rows = on.query_all_raw(statement).await?;
        let names = rows.iter().map(|row| row.try_get::<String>("", "name"));
        let names = names.collect::<Result<Vec<String>, DbErr>>()?;
        Ok(names.iter().filter_map(|name| day_of(name)).collect())
    }
}

impl SqlStore {
    /// Removes the bodies of deliveries that are gone: whole days that ended before `before_ms`, or what can be spared of
    /// them.
    pub(super) async fn drop_days(&self, before_ms: i64) -> StoreResult<()> {
        if self.db.is_sqlite() {
            return Ok(());
        }
        for day in self.db.days(&self.db.read).await.map_err(store_error)? {
            let end = begin_ms(next(day));
            if end <= before_ms {
                self.drop_day(day, end).await?;
            }
        }
        self.thin("body_default", least(before_ms.max(0))).await
    }

    async fn drop_day(&self, day: Date, end: i64) -> StoreResult<()> {
        let table = name(day).map_err(store_error)?;
        let tx = self.begin().await?;
        let used = self.statement(
            "SELECT 1 AS one FROM delivery WHERE id >= $1 AND id < $2 LIMIT 1",
            [least(begin_ms(day)).into(), least(end).into()],
        );
        let used = tx.query_one_raw(used).await.map_err(store_error)?.is_some();
        if used {
            tx.commit().await.map_err(store_error)?;
            return self.thin(&table, least(end)).await;
        }
        self.drop_table(&tx, &table).await?;
        tx.commit().await.map_err(store_error)?;
        tracing::info!(table, "dropped a day of bodies");
        Ok(())
    }

    /// Nobody waits long behind it: it gives up and is tried again.
    async fn drop_table(&self, tx: &DatabaseTransaction, table: &str) -> StoreResult<()> {
        tx.execute_unprepared(&format!("SET LOCAL lock_timeout = '1s'; DROP TABLE IF EXISTS {table}"))
            .await
            .map_err(store_error)
            .map(|_| ())
    }

    /// Deletes bodies below `end` whose delivery is gone.
    async fn thin(&self, table: &str, end: Uuid) -> StoreResult<()> {
        let statement = self.statement(
            &format!(
                "WITH gone AS (DELETE FROM {table} WHERE id IN (SELECT b.id FROM {table} b WHERE b.id < $1 \
                 AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.id = b.id) LIMIT $2) RETURNING 1) SELECT count(*) AS gone FROM gone"
            ),
            [end.into(), PIECE.into()],
        );
        loop {
            let row = self
                .db
                .write
                .query_one_raw(statement.clone())
                .await
                .map_err(store_error)?;
            let gone: i64 = row.map_or(Ok(0), |row| get(&row, "gone"))?;
            if gone < PIECE {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
