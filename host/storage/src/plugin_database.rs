//! A plugin's own SQL database, executed by the host. SQLite: `{data_dir}/plugins/{id}.db`, so that a plugin's writes never
//! wait on the inbox; PostgreSQL: the schema `plugin_{id}`, which every transaction is pointed at. Prevents accidents;
//! in-process it is not isolation.
//!
//! - One statement per call, checked by [`crate::sql`]; all of a plugin's statements run in a transaction.
//! - A transaction that a plugin holds ends with its lease of 5 s, and with the plugin's instance.
//! - After a statement failed, a transaction can only be rolled back: PostgreSQL would answer a commit with a silent rollback.

mod migrations;
mod run;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jackfield_sdk::{
    database::{DatabaseService, Dialect, Rows, Statement},
    service::ServiceError,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};
use tokio::{sync::OnceCell, task::AbortHandle};

pub use migrations::PluginMigrationError;
use run::{Tx, failed};

use crate::{
    open::{Database, private_file, sound},
    sql,
};

/// Longest life of a transaction that a plugin holds.
const LEASE: Duration = Duration::from_secs(5);

/// Makes each plugin's database.
pub struct PluginDatabases {
    host: Database,
    directory: PathBuf,
    migrate: bool,
    /// One pool per file, whichever generation of the plugin asks.
    places: Mutex<HashMap<String, Arc<Place>>>,
}

/// Where a plugin's tables are.
struct Place {
    host: Database,
    schema: String,
    file: PathBuf,
    opened: OnceCell<Pools>,
}

/// SQLite only.
struct Pools {
    write: SqlitePool,
    read: SqlitePool,
}

impl PluginDatabases {
    /// Beside the host's database. `migrate`: whether pending migrations are applied, or refused.
    pub fn new(host: Database, data_dir: PathBuf, migrate: bool) -> Self {
        Self {
            host,
            directory: data_dir.join("plugins"),
            migrate,
            places: Mutex::default(),
        }
    }

    /// The database of plugin `id`, opened when it is first used. Transactions end when the handle is dropped.
    pub fn of(&self, id: &str) -> Arc<dyn DatabaseService> {
        Arc::new(PluginDatabase {
            place: self.place(id),
            open: Arc::default(),
        })
    }

    fn place(&self, id: &str) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(id.to_owned()).or_insert_with(|| {
            Arc::new(Place {
                host: self.host.clone(),
                schema: format!("plugin_{}", id.replace('-', "_")),
                file: self.directory.join(format!("{id}.db")),
                opened: OnceCell::new(),
            })
        });
        Arc::clone(place)
    }
}

impl Place {
    fn dialect(&self) -> Dialect {
        if self.host.is_sqlite() {
            Dialect::Sqlite
        } else {
            Dialect::Postgres
        }
    }

    async fn pools(&self) -> Result<&Pools, ServiceError> {
        self.opened.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<Pools, ServiceError> {
        private_file(&self.file)
            .map_err(|error| ServiceError::unavailable(format!("`{}`: {error}", self.file.display())))?;
        let options = SqliteConnectOptions::new()
            .filename(&self.file)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(LEASE);
        to_wal(&options).await.map_err(failed)?;
        let pool = |connections, options| {
            sound(SqlitePoolOptions::new())
                .max_connections(connections)
                .acquire_timeout(LEASE * 2)
                .connect_lazy_with(options)
        };
        Ok(Pools {
            write: pool(1, options.clone()),
            read: pool(4, options.pragma("query_only", "on")),
        })
    }

    /// A transaction on the plugin's tables.
    async fn begin(&self, only_reads: bool) -> Result<Tx, ServiceError> {
        if self.host.is_sqlite() {
            let pools = self.pools().await?;
            let begun = match only_reads {
                true => pools.read.begin().await,
                false => pools.write.begin_with("BEGIN IMMEDIATE").await,
            };
            return begun.map(Tx::Sqlite).map_err(failed);
        }
        // The plugin's name holds nothing but letters, digits and `-` (SDK contract, rule 1).
        let begin = format!(
            "BEGIN; SET LOCAL search_path TO {}; SET LOCAL statement_timeout = '{}s'; \
             SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on",
            self.schema,
            LEASE.as_secs()
        );
        let pool = self.host.write.get_postgres_connection_pool();
        pool.begin_with(AssertSqlSafe(begin))
            .await
            .map(Tx::Postgres)
            .map_err(failed)
    }
}

/// Switches the file to WAL before any pool opens it. While one connection switches, SQLite tells every other one "busy"
/// without regard to its time limit.
async fn to_wal(options: &SqliteConnectOptions) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    loop {
        let switched = match options.connect().await {
            Ok(connection) => connection.close().await,
            Err(error) => Err(error),
        };
        let busy = |error: &sqlx::Error| {
            matches!(
                error
                    .as_database_error()
                    .and_then(sqlx::error::DatabaseError::code)
                    .as_deref(),
                Some("5" | "261" | "517")
            )
        };
        match switched {
            Err(error) if busy(&error) && begun.elapsed() < LEASE => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            done => return done,
        }
    }
}

/// The handle of one plugin instance.
struct PluginDatabase {
    place: Arc<Place>,
    open: Arc<Mutex<HashMap<u64, Arc<Open>>>>,
}

/// A transaction that a plugin holds.
struct Open {
    /// None: a statement failed, or it ended.
    tx: tokio::sync::Mutex<Option<Tx>>,
    lease: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.lease.abort();
    }
}

type Held = Mutex<HashMap<u64, Arc<Open>>>;

fn take(held: &Held, id: u64) -> Option<Arc<Open>> {
    held.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
}

/// Rolls a transaction back when its lease is over.
async fn expire(held: Weak<Held>, id: u64) {
    tokio::time::sleep(LEASE).await;
    let open = held.upgrade().and_then(|held| take(&held, id));
    if let Some(open) = open
        && let Some(tx) = open.tx.lock().await.take()
    {
        tracing::warn!(
            "a plugin held a transaction for {} s; it is rolled back",
            LEASE.as_secs()
        );
        drop(tx);
    }
}

#[async_trait]
impl DatabaseService for PluginDatabase {
    async fn dialect(&self) -> Result<Dialect, ServiceError> {
        Ok(self.place.dialect())
    }

    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Rows>, ServiceError> {
        let dialect = self.place.dialect();
        for statement in &statements {
            sql::admit(&statement.sql, statement.params.len(), dialect)?;
        }
        let only_reads = statements
            .iter()
            .all(|statement| sql::only_reads(&statement.sql, dialect));
        let mut tx = self.place.begin(only_reads).await?;
        let mut results = Vec::with_capacity(statements.len());
        for statement in statements {
            results.push(tx.run(statement).await?);
        }
        tx.commit().await?;
        Ok(results)
    }

    async fn begin(&self) -> Result<u64, ServiceError> {
        let tx = self.place.begin(false).await?;
        let id: u64 = rand::random();
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = tokio::spawn(expire(Arc::downgrade(&self.open), id)).abort_handle();
        let tx = tokio::sync::Mutex::new(Some(tx));
        held.insert(id, Arc::new(Open { tx, lease }));
        Ok(id)
    }

    async fn within(&self, transaction: u64, statement: Statement) -> Result<Rows, ServiceError> {
        let held = |open: &Held| {
            let open = open.lock().unwrap_or_else(PoisonError::into_inner);
            open.get(&transaction).cloned()
        };
        let open = held(&self.open).ok_or_else(over)?;
        sql::admit(&statement.sql, statement.params.len(), self.place.dialect())?;
        let mut slot = open.tx.lock().await;
        let tx = slot.as_mut().ok_or_else(broken)?;
        let result = tx.run(statement).await;
        if result.is_err() {
            // Rolled back by being dropped.
            *slot = None;
        }
        result
    }

    async fn commit(&self, transaction: u64) -> Result<(), ServiceError> {
        let open = take(&self.open, transaction).ok_or_else(over)?;
        let tx = open.tx.lock().await.take();
        tx.ok_or_else(broken)?.commit().await
    }

    async fn rollback(&self, transaction: u64) -> Result<(), ServiceError> {
        let Some(open) = take(&self.open, transaction) else {
            return Ok(());
        };
        let tx = open.tx.lock().await.take();
        match tx {
            Some(tx) => tx.rollback().await,
            None => Ok(()),
        }
    }
}

fn over() -> ServiceError {
    ServiceError::invalid("the transaction has ended, or its lease of 5 s is over")
}

fn broken() -> ServiceError {
    ServiceError::invalid("a statement of the transaction has failed, so it was rolled back")
}
