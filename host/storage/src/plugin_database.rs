//! A plugin's own SQL database, executed by the host. SQLite: `{data_dir}/plugins/{id}.db`, so that a plugin's writes never
//! wait on the inbox; PostgreSQL: the schema `plugin_{id}`. Prevents accidents; in-process it is not isolation.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_sdk::{
    database::{DatabaseService, Dialect, Rows, Statement, Value},
    service::ServiceError,
};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, SqlxSqliteConnector, Statement as Sql, TransactionTrait,
};
use sqlx::{
    Column, Row, TypeInfo, ValueRef,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use tokio::sync::{Mutex, OnceCell};

use crate::open::{Database, sound};

/// Longest life of an open transaction.
const LEASE: Duration = Duration::from_secs(5);

/// Makes each plugin's database.
pub struct PluginDatabases {
    host: Database,
    directory: PathBuf,
}

impl PluginDatabases {
    /// Beside the host's database.
    pub fn new(host: Database, data_dir: PathBuf) -> Self {
        Self {
            host,
            directory: data_dir.join("plugins"),
        }
    }

    /// The database of plugin `id`, opened when it is first used.
    pub fn of(&self, id: &str) -> Arc<dyn DatabaseService> {
        Arc::new(PluginDatabase {
            host: self.host.clone(),
            schema: format!("plugin_{}", id.replace('-', "_")),
            file: self.directory.join(format!("{id}.db")),
            opened: OnceCell::new(),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }
}

struct PluginDatabase {
    host: Database,
    schema: String,
    file: PathBuf,
    opened: OnceCell<Database>,
    open: Mutex<HashMap<u64, (DatabaseTransaction, Instant)>>,
    next: AtomicU64,
}

impl PluginDatabase {
    async fn database(&self) -> Result<&Database, ServiceError> {
        self.opened.get_or_try_init(|| self.open_now()).await
    }

    async fn open_now(&self) -> Result<Database, ServiceError> {
        if !self.host.is_sqlite() {
            let make = format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema);
            self.host.write.execute_unprepared(&make).await.map_err(unavailable)?;
            return Ok(self.host.clone());
        }
        if let Some(parent) = self.file.parent() {
            tokio::fs::create_dir_all(parent)
                .await
                .map_err(|error| ServiceError::unavailable(format!("`{}`: {error}", parent.display())))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&self.file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5));
        let pool = sound(SqlitePoolOptions::new())
            .max_connections(1)
            .acquire_timeout(LEASE * 2)
            .connect_lazy_with(options);
        let write = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
        Ok(Database {
            read: write.clone(),
            write,
            backend: self.host.backend,
        })
    }

    async fn start(&self) -> Result<DatabaseTransaction, ServiceError> {
        let database = self.database().await?;
        let tx = if database.is_sqlite() {
            database.begin().await.map_err(unavailable)?
        } else {
            database.write.begin().await.map_err(unavailable)?
        };
        if !database.is_sqlite() {
            tx.execute_unprepared(&format!("SET LOCAL search_path TO {}", self.schema))
                .await
                .map_err(unavailable)?;
        }
        Ok(tx)
    }

    async fn run(&self, tx: &DatabaseTransaction, statement: Statement) -> Result<Rows, ServiceError> {
        admit(&statement.sql)?;
        let values = statement.params.into_iter().map(|value| match value {
            Value::Null => sea_orm::Value::String(None),
            Value::Bool(flag) => flag.into(),
            Value::Int(number) => number.into(),
            Value::Real(number) => number.into(),
            Value::Text(text) => text.into(),
            Value::Blob(bytes) => bytes.to_vec().into(),
        });
        let returns = returns_rows(&statement.sql);
        let sql = Sql::from_sql_and_values(self.host.backend, statement.sql, values);
        if !returns {
            let done = tx.execute_raw(sql).await.map_err(wrong)?;
            return Ok(Rows {
                affected: done.rows_affected(),
                ..Rows::default()
            });
        }
        let rows = tx.query_all_raw(sql).await.map_err(wrong)?;
        let mut out = Rows {
            affected: rows.len() as u64,
            ..Rows::default()
        };
        for row in &rows {
            let (columns, values) = read(row)?;
            out.columns = columns;
            out.rows.push(values);
        }
        Ok(out)
    }

    /// Transactions whose lease is over are rolled back by being dropped.
    async fn expire(&self) {
        self.open.lock().await.retain(|_, (_, since)| since.elapsed() < LEASE);
    }
}

#[async_trait]
impl DatabaseService for PluginDatabase {
    async fn dialect(&self) -> Result<Dialect, ServiceError> {
        Ok(if self.host.is_sqlite() {
            Dialect::Sqlite
        } else {
            Dialect::Postgres
        })
    }

    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Rows>, ServiceError> {
        self.expire().await;
        let tx = self.start().await?;
        let mut results = Vec::with_capacity(statements.len());
        for statement in statements {
            results.push(self.run(&tx, statement).await?);
        }
        tx.commit().await.map_err(unavailable)?;
        Ok(results)
    }

    async fn begin(&self) -> Result<u64, ServiceError> {
        self.expire().await;
        let tx = self.start().await?;
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.lock().await.insert(id, (tx, Instant::now()));
        Ok(id)
    }

    async fn within(&self, transaction: u64, statement: Statement) -> Result<Rows, ServiceError> {
        self.expire().await;
        let open = self.open.lock().await;
        let (tx, _) = open.get(&transaction).ok_or_else(over)?;
        self.run(tx, statement).await
    }

    async fn commit(&self, transaction: u64) -> Result<(), ServiceError> {
        self.expire().await;
        let (tx, _) = self.open.lock().await.remove(&transaction).ok_or_else(over)?;
        tx.commit().await.map_err(unavailable)
    }

    async fn rollback(&self, transaction: u64) -> Result<(), ServiceError> {
        match self.open.lock().await.remove(&transaction) {
            Some((tx, _)) => tx.rollback().await.map_err(unavailable),
            None => Ok(()),
        }
    }
}

fn over() -> ServiceError {
    ServiceError::invalid("the transaction has ended, or its lease of 5 s is over")
}

fn unavailable(error: DbErr) -> ServiceError {
    ServiceError::unavailable(error.to_string())
}

fn wrong(error: DbErr) -> ServiceError {
    match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => unavailable(error),
        other => ServiceError::invalid(other.to_string()),
    }
}

/// The first word of a statement, comments left out.
fn first_word(sql: &str) -> String {
    let mut rest = sql.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after).trim_start();
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after).trim_start();
        } else {
            break;
        }
    }
    rest.chars()
        .take_while(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_uppercase()
}

/// One statement per call, of a kind that stays within the plugin's own database.
fn admit(sql: &str) -> Result<(), ServiceError> {
    const ALLOWED: [&str; 9] = [
        "SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "VALUES",
    ];
    let word = first_word(sql);
    if !ALLOWED.contains(&word.as_str()) {
        return Err(ServiceError::invalid(format!(
            "a plugin may not run `{word}`; it may run {}",
            ALLOWED.join(", ")
        )));
    }
    Ok(())
}

fn returns_rows(sql: &str) -> bool {
    matches!(first_word(sql).as_str(), "SELECT" | "WITH" | "VALUES") || sql.to_ascii_uppercase().contains("RETURNING")
}

fn read(row: &QueryResult) -> Result<(Vec<String>, Vec<Value>), ServiceError> {
    let broken = |error: sqlx::Error| ServiceError::invalid(error.to_string());
    if let Some(row) = row.try_as_sqlite_row() {
        let columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
        let mut values = Vec::new();
        for at in 0..row.len() {
            let raw = row.try_get_raw(at).map_err(broken)?;
            values.push(match (raw.is_null(), raw.type_info().name()) {
                (true, _) => Value::Null,
                (_, "INTEGER" | "BOOLEAN") => Value::Int(row.try_get(at).map_err(broken)?),
                (_, "REAL") => Value::Real(row.try_get(at).map_err(broken)?),
                (_, "BLOB") => Value::Blob(Bytes::from(row.try_get::<Vec<u8>, _>(at).map_err(broken)?)),
                _ => Value::Text(row.try_get(at).map_err(broken)?),
            });
        }
        return Ok((columns, values));
    }
    let row = row
        .try_as_pg_row()
        .ok_or_else(|| ServiceError::invalid("a row of an unknown database"))?;
    let columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
    let mut values = Vec::new();
    for at in 0..row.len() {
        let raw = row.try_get_raw(at).map_err(broken)?;
        values.push(match (raw.is_null(), raw.type_info().name()) {
            (true, _) => Value::Null,
            (_, "BOOL") => Value::Bool(row.try_get(at).map_err(broken)?),
            (_, "INT2") => Value::Int(row.try_get::<i16, _>(at).map_err(broken)?.into()),
            (_, "INT4") => Value::Int(row.try_get::<i32, _>(at).map_err(broken)?.into()),
            (_, "INT8") => Value::Int(row.try_get(at).map_err(broken)?),
            (_, "FLOAT4") => Value::Real(row.try_get::<f32, _>(at).map_err(broken)?.into()),
            (_, "FLOAT8") => Value::Real(row.try_get(at).map_err(broken)?),
            (_, "BYTEA") => Value::Blob(Bytes::from(row.try_get::<Vec<u8>, _>(at).map_err(broken)?)),
            (_, "TEXT" | "VARCHAR" | "CHAR" | "NAME") => Value::Text(row.try_get(at).map_err(broken)?),
            (_, other) => {
                return Err(ServiceError::invalid(format!(
                    "a column of type {other} cannot be read; cast it to text"
                )));
            }
        });
    }
    Ok((columns, values))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::open::OpenOptions;

    #[tokio::test]
    async fn runs_statements_and_refuses_what_leaves_its_database() {
        let directory = std::env::temp_dir().join(format!("jackfield-plugin-db-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let url = format!("sqlite://{}", directory.join("host.db").display());
        let host = Database::open(&url, &OpenOptions::default()).await.unwrap();
        let own = PluginDatabases::new(host, directory.clone()).of("pager");
        let made = Statement::new("CREATE TABLE note (id integer PRIMARY KEY, text text)");
        let put = Statement::new("INSERT INTO note (text) VALUES (?1)").bind("hello");
        own.batch(vec![made, put]).await.unwrap();
        let tx = own.begin().await.unwrap();
        own.within(tx, Statement::new("DELETE FROM note")).await.unwrap();
        own.rollback(tx).await.unwrap();
        let rows = own
            .batch(vec![Statement::new("SELECT id, text FROM note")])
            .await
            .unwrap();
        assert_eq!(rows[0].value(0, "text"), Some(&Value::Text("hello".to_owned())));
        for sql in [
            "ATTACH 'x' AS y",
            "/* c */ PRAGMA journal_mode",
            "-- c\npragma x",
            "VACUUM",
        ] {
            assert!(
                matches!(
                    own.batch(vec![Statement::new(sql)]).await,
                    Err(ServiceError::Invalid { .. })
                ),
                "{sql}"
            );
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
