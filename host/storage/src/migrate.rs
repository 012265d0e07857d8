//! Schema migrations of the host: plain SQL per backend, run by sea-orm's migrator under a lock. They only expand, so an
//! older program may serve as long as `min_reader` allows it.

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait::async_trait};
use serde::Serialize;

use crate::open::{Database, OpenError};

/// One migration and whether it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationState {
    /// `host`, or a plugin's id.
    pub set: String,
    /// Name.
    pub name: String,
    /// Whether it is applied.
    pub applied: bool,
}

struct Sql {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// Every migration, oldest first.
const ALL: &[Sql] = &[Sql {
    name: "m0001_inbox",
    sqlite: include_str!("../migrations/0001_inbox.sqlite.sql"),
    postgres: include_str!("../migrations/0001_inbox.postgres.sql"),
}];

/// The oldest program that may serve on the newest schema: one that knows this many migrations.
const MIN_READER: u32 = 1;

/// A number of our own for PostgreSQL's advisory lock.
const LOCK: i64 = 0x4a41_434b_4649_454c;

impl MigrationName for Sql {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait]
impl MigrationTrait for Sql {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let text = match connection.get_database_backend() {
            DatabaseBackend::Sqlite => self.sqlite,
            _ => self.postgres,
        };
        connection.execute_unprepared(text).await.map(|_| ())
    }
}

struct Migrator;

#[async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        ALL.iter()
            .map(|sql| {
                Box::new(Sql {
                    name: sql.name,
                    sqlite: sql.sqlite,
                    postgres: sql.postgres,
                }) as Box<dyn MigrationTrait>
            })
            .collect()
    }
}

/// Names of all migrations.
pub fn migrations() -> Vec<&'static str> {
    ALL.iter().map(|sql| sql.name).collect()
}

/// What is applied.
pub async fn status(database: &Database) -> Result<Vec<MigrationState>, DbErr> {
    let applied = applied(database).await?;
    let state = |sql: &Sql| MigrationState {
        set: "host".to_owned(),
        name: sql.name.to_owned(),
        applied: applied.iter().any(|name| name == sql.name),
    };
    Ok(ALL.iter().map(state).collect())
}

/// Applies what is pending, one host at a time.
pub async fn up(database: &Database) -> Result<(), DbErr> {
    if database.is_sqlite() {
        Migrator::up(&database.write, None).await?;
    } else {
        // A session-level lock must stay on its connection: hold it in a transaction of its own.
        let guard = database.begin().await?;
        guard
            .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
            .await?;
        let done = Migrator::up(&database.write, None).await;
        guard.commit().await?;
        done?;
    }
    let statement = Statement::from_sql_and_values(
        database.backend,
        "INSERT INTO host_value (key, value) VALUES ('schema/min_reader', $1) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [MIN_READER.to_string().into_bytes().into()],
    );
    database.write.execute_raw(statement).await.map(|_| ())
}

/// Checks the schema before it is used.
pub(crate) async fn prepare(database: &Database, migrate: bool, url: &str) -> Result<(), OpenError> {
    let connect = |source| OpenError::Connect {
        at: crate::open::describe(url),
        source,
    };
    let known = u32::try_from(ALL.len()).unwrap_or(u32::MAX);
    let applied = applied(database).await.map_err(connect)?;
    if !applied.is_empty() {
        let row = database
            .read
            .query_one_raw(Statement::from_string(
                database.backend,
                "SELECT value FROM host_value WHERE key = 'schema/min_reader'",
            ))
            .await
            .map_err(connect)?;
        let bytes: Option<Vec<u8>> = row.and_then(|row| row.try_get_by_index(0).ok());
        let needed = bytes
            .and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok())
            .unwrap_or(1);
        if needed > known {
            return Err(OpenError::TooOld { needed, known });
        }
    }
    let pending = ALL
        .iter()
        .filter(|sql| !applied.iter().any(|name| name == sql.name))
        .count();
    match (pending, migrate) {
        (0, _) => Ok(()),
        (_, true) => up(database).await.map_err(connect),
        (pending, false) => Err(OpenError::Pending(pending)),
    }
}

async fn applied(database: &Database) -> Result<Vec<String>, DbErr> {
    let exists = match database.backend {
        DatabaseBackend::Sqlite => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'",
        _ => {
            "SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'seaql_migrations'"
        }
    };
    // On the write side: with SQLite this is also what creates the file.
    let statement = |sql: &str| Statement::from_string(database.backend, sql);
    if database.write.query_one_raw(statement(exists)).await?.is_none() {
        return Ok(Vec::new());
    }
    let rows = database
        .write
        .query_all_raw(statement("SELECT version FROM seaql_migrations"))
        .await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
