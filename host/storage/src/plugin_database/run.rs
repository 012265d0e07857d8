//! Statements, values and rows of both databases.

use bytes::Bytes;
use futures_util::TryStreamExt;
use jackfield_sdk::{
    database::{Dialect, Rows, Statement, Value},
    service::ServiceError,
};
use sqlx::{
    Arguments, AssertSqlSafe, Column, Either, Encode, Executor, Postgres, Row, Sqlite, Transaction, Type, TypeInfo,
    ValueRef,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, types::Oid},
    sqlite::{SqliteArguments, SqliteRow},
};
use uuid::Uuid;

use crate::sql;

/// A transaction on a plugin's tables; dropped means rolled back.
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Runs one statement that [`sql::admit`] has seen.
    pub(super) async fn run(&mut self, statement: Statement) -> Result<Rows, ServiceError> {
        let mut out = Rows::default();
        let only_reads = sql::only_reads(&statement.sql, self.dialect());
        let text = AssertSqlSafe(statement.sql);
        // Not kept prepared: two plugins may mean different tables by one text, and a migration changes what `*` is.
        match self {
            Self::Sqlite(tx) => {
                let query = sqlx::query_with(text, sqlite_arguments(statement.params)?).persistent(false);
                let mut answers = tx.fetch_many(query);
                while let Some(answer) = answers.try_next().await.map_err(failed)? {
                    match answer {
                        Either::Left(done) => out.affected += done.rows_affected(),
                        Either::Right(row) => {
                            out.columns = names(&row);
                            out.rows.push(sqlite_row(&row).map_err(failed)?);
                        }
                    }
                }
            }
            Self::Postgres(tx) => {
                let query = sqlx::query_with(text, postgres_arguments(statement.params)?).persistent(false);
                let mut answers = tx.fetch_many(query);
                while let Some(answer) = answers.try_next().await.map_err(failed)? {
                    match answer {
                        Either::Left(done) => out.affected += done.rows_affected(),
                        Either::Right(row) => {
                            out.columns = names(&row);
                            out.rows.push(postgres_row(&row)?);
                        }
                    }
                }
            }
        }
        if only_reads || !out.rows.is_empty() {
            // SQLite repeats the number of the last change.
            out.affected = out.rows.len() as u64;
        }
        Ok(out)
    }

    /// Runs a text of the host's own, or a statement of a migration.
    pub(super) async fn execute(&mut self, text: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(text));
        match self {
            Self::Sqlite(tx) => query.execute(&mut **tx).await.map(|_| ()),
            Self::Postgres(tx) => query.execute(&mut **tx).await.map(|_| ()),
        }
    }

    pub(super) async fn commit(self) -> Result<(), ServiceError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(failed)
    }

    pub(super) async fn rollback(self) -> Result<(), ServiceError> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await,
        }
        .map_err(failed)
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }
}

/// Whether another attempt may succeed. The message is the database's first line, which holds no values.
pub(super) fn failed(error: sqlx::Error) -> ServiceError {
    match &error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default().into_owned();
            // PostgreSQL: lost connections, lack of resources, conflicts, locks and time limits. SQLite: its low byte is
            // BUSY, LOCKED, IOERR, CANTOPEN or FULL.
            let away = ["08", "40", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.len() == 5 && code.starts_with(class))
                || (code.len() < 5
                    && code
                        .parse::<u32>()
                        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14)));
            let message = format!("the plugin's database: {}", database.message());
            match away {
                true => ServiceError::unavailable(message),
                false => ServiceError::invalid(message),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => {
            ServiceError::unavailable(format!("the plugin's database cannot be reached: {error}"))
        }
        _ => ServiceError::invalid(format!("the plugin's database: {error}")),
    }
}

fn unfit(error: BoxDynError) -> ServiceError {
    ServiceError::invalid(format!("a parameter cannot be sent: {error}"))
}

fn sqlite_arguments(values: Vec<Value>) -> Result<SqliteArguments, ServiceError> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Bool(flag) => arguments.add(flag),
            Value::Int(number) => arguments.add(number),
            Value::Real(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(Vec::from(bytes)),
        }
        .map_err(unfit)?;
    }
    Ok(arguments)
}

fn postgres_arguments(values: Vec<Value>) -> Result<PgArguments, ServiceError> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Null => arguments.add(Untyped),
            Value::Bool(flag) => arguments.add(flag),
            Value::Int(number) => arguments.add(number),
            Value::Real(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Blob(bytes) => arguments.add(Vec::from(bytes)),
        }
        .map_err(unfit)?;
    }
    Ok(arguments)
}

/// NULL of the type that the statement asks for: PostgreSQL refuses a NULL of another type, and the type 0 lets it choose.
struct Untyped;

impl Type<Postgres> for Untyped {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Untyped {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

fn names<R: Row>(row: &R) -> Vec<String> {
    row.columns().iter().map(|column| column.name().to_owned()).collect()
}

fn sqlite_row(row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
    let mut values = Vec::with_capacity(row.len());
    for at in 0..row.len() {
        let raw = row.try_get_raw(at)?;
        // A boolean is an integer in a column that was declared as one.
        let boolean = row.columns()[at].type_info().name() == "BOOLEAN";
        values.push(match (raw.is_null(), raw.type_info().name()) {
            (true, _) => Value::Null,
            (_, "BOOLEAN" | "INTEGER") if boolean => Value::Bool(row.try_get_unchecked(at)?),
            (_, "BOOLEAN" | "INTEGER") => Value::Int(row.try_get(at)?),
            (_, "REAL") => Value::Real(row.try_get(at)?),
            (_, "BLOB") => Value::Blob(row.try_get::<Vec<u8>, _>(at)?.into()),
            _ => Value::Text(row.try_get_unchecked(at)?),
        });
    }
    Ok(values)
}

fn postgres_row(row: &PgRow) -> Result<Vec<Value>, ServiceError> {
    let mut values = Vec::with_capacity(row.len());
    for at in 0..row.len() {
        values.push(postgres_value(row, at).map_err(failed)?.ok_or_else(|| {
            let column = &row.columns()[at];
            ServiceError::invalid(format!(
                "column `{}` of type {} cannot be read; write CAST({} AS text)",
                column.name(),
                column.type_info().name(),
                column.name()
            ))
        })?);
    }
    Ok(values)
}

fn postgres_value(row: &PgRow, at: usize) -> Result<Option<Value>, sqlx::Error> {
    let raw = row.try_get_raw(at)?;
    Ok(Some(match (raw.is_null(), raw.type_info().name()) {
        (true, _) => Value::Null,
        (_, "BOOL") => Value::Bool(row.try_get(at)?),
        (_, "INT2") => Value::Int(row.try_get::<i16, _>(at)?.into()),
        (_, "INT4") => Value::Int(row.try_get::<i32, _>(at)?.into()),
        (_, "INT8") => Value::Int(row.try_get(at)?),
        (_, "FLOAT4") => Value::Real(row.try_get::<f32, _>(at)?.into()),
        (_, "FLOAT8") => Value::Real(row.try_get(at)?),
        (_, "BYTEA") => Value::Blob(Bytes::from(row.try_get::<Vec<u8>, _>(at)?)),
        (_, "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN") => Value::Text(row.try_get(at)?),
        (_, "UUID") => Value::Text(row.try_get::<Uuid, _>(at)?.to_string()),
        (_, kind @ ("JSON" | "JSONB")) => {
            let bytes = raw.as_bytes().map_err(sqlx::Error::Decode)?;
            // The binary form of jsonb begins with its version.
            let text = if kind == "JSONB" {
                bytes.get(1..).unwrap_or_default()
            } else {
                bytes
            };
            Value::Text(String::from_utf8_lossy(text).into_owned())
        }
        _ => return Ok(None),
    }))
}
