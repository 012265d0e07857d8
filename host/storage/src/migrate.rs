//! Migrations of the host: plain SQL per backend, run by sea-orm's migrator in one transaction under a lock: all of them or
//! none, one host at a time. They only expand, so an older program may serve as long as `min_reader` allows it.

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTraitSelf, SchemaManager, async_trait::async_trait};
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

#[derive(Clone, Copy)]
struct Sql {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// What a program knows.
#[derive(Clone, Copy)]
struct Known {
    /// Every migration, oldest first.
    all: &'static [Sql],
    /// The oldest program that may serve on the newest schema: one that knows this many migrations.
    min_reader: u32,
}

/// This program's.
const HOST: Known = Known {
    all: &[
        Sql {
            name: "m0001_inbox",
            sqlite: include_str!("../migrations/0001_inbox.sqlite.sql"),
            postgres: include_str!("../migrations/0001_inbox.postgres.sql"),
        },
        Sql {
            name: "m0002_secret",
            sqlite: include_str!("../migrations/0002_secret.sqlite.sql"),
            postgres: include_str!("../migrations/0002_secret.postgres.sql"),
        },
        Sql {
            name: "m0003_identity",
            sqlite: include_str!("../migrations/0003_identity.sqlite.sql"),
            postgres: include_str!("../migrations/0003_identity.postgres.sql"),
        },
        Sql {
            name: "m0004_keycloak",
            sqlite: include_str!("../migrations/0004_keycloak.sqlite.sql"),
            postgres: include_str!("../migrations/0004_keycloak.postgres.sql"),
        },
    ],
    min_reader: 1,
};

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

impl MigratorTraitSelf for Known {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        self.all
            .iter()
            .map(|sql| Box::new(*sql) as Box<dyn MigrationTrait>)
            .collect()
    }
}

/// What is applied, and what a newer program has applied besides.
pub async fn status(database: &Database) -> Result<Vec<MigrationState>, OpenError> {
    let applied = applied(database, &database.read)
        .await
        .map_err(|source| database.failed(source))?;
    let state = |name: &str, applied| MigrationState {
        set: "host".to_owned(),
        name: name.to_owned(),
        applied,
    };
    let known = HOST
        .all
        .iter()
        .map(|sql| state(sql.name, applied.iter().any(|name| name == sql.name)));
    let newer = applied
        .iter()
        .filter(|name| HOST.all.iter().all(|sql| sql.name != **name));
    Ok(known.chain(newer.map(|name| state(name, true))).collect())
}

/// Applies what is pending: all of it or nothing, one host at a time.
pub async fn up(database: &Database) -> Result<(), OpenError> {
    HOST.up_on(database).await
}

/// Checks the schema before it is used.
pub(crate) async fn prepare(database: &Database, migrate: bool) -> Result<(), OpenError> {
    HOST.prepare(database, migrate).await
}

impl Known {
    async fn prepare(&self, database: &Database, migrate: bool) -> Result<(), OpenError> {
        let failed = |source| database.failed(source);
        let pending = self.pending(database, &database.write).await?;
        match (pending, migrate) {
            (0, _) => Ok(()),
            (_, true) => {
                self.up_on(database).await?;
                database.ping().await.map_err(failed)
            }
            (pending, false) => Err(OpenError::Pending(pending)),
        }
    }

    async fn up_on(&self, database: &Database) -> Result<(), OpenError> {
        let failed = |source| database.failed(source);
        let tx = lock(database).await.map_err(failed)?;
        // Another host may have done it while we waited.
        if self.pending(database, &tx).await? > 0 {
            MigratorTraitSelf::up(self, &tx, None).await.map_err(failed)?;
            let statement = Statement::from_sql_and_values(
                database.backend,
                "INSERT INTO host_value (key, value) VALUES ('schema/min_reader', $1) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [self.min_reader.to_string().into_bytes().into()],
            );
            tx.execute_raw(statement).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    /// How many are pending. An error when a newer program does not let this one serve.
    async fn pending(&self, database: &Database, on: &impl ConnectionTrait) -> Result<usize, OpenError> {
        let failed = |source| database.failed(source);
        let applied = applied(database, on).await.map_err(failed)?;
        if !applied.is_empty() {
            let known = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
            let needed = min_reader(database, on).await.map_err(failed)?;
            if needed > known {
                return Err(OpenError::TooOld { needed, known });
            }
        }
        let missing = |sql: &&Sql| !applied.iter().any(|name| name == sql.name);
        let pending = self.all.iter().filter(missing).count();
        if pending > 0 && applied.len() + pending > self.all.len() {
            // Both this program and a newer one have migrations that the other lacks.
            return Err(OpenError::Diverged(pending));
        }
        Ok(pending)
    }
}

/// A transaction that no other host's migrations run beside, and that no time limit of ours cuts short.
async fn lock(database: &Database) -> Result<DatabaseTransaction, DbErr> {
    let tx = database.begin().await?;
    if !database.is_sqlite() {
        tx.execute_unprepared(&format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
             SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})"
        ))
        .await?;
    }
    Ok(tx)
}

async fn min_reader(database: &Database, on: &impl ConnectionTrait) -> Result<u32, DbErr> {
    let statement = Statement::from_string(
        database.backend,
        "SELECT value FROM host_value WHERE key = 'schema/min_reader'",
    );
    let row = on.query_one_raw(statement).await?;
    let bytes: Option<Vec<u8>> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    let number = bytes.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    Ok(number.unwrap_or(1))
}

async fn applied(database: &Database, on: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let exists = match database.backend {
        DatabaseBackend::Sqlite => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'",
        _ => {
            "SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'seaql_migrations'"
        }
    };
    let statement = |sql: &str| Statement::from_string(database.backend, sql);
    if on.query_one_raw(statement(exists)).await?.is_none() {
        return Ok(Vec::new());
    }
    let rows = on
        .query_all_raw(statement("SELECT version FROM seaql_migrations ORDER BY version"))
        .await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

#[cfg(test)]
mod tests;
