//! Migrations of plugins: texts of the manifest, applied in one transaction under a lock before a generation is activated,
//! while the old one still serves. What is applied is kept in the plugin's own table `jackfield_migration`.

use jackfield_sdk::{
    database::{Dialect, Statement, Value, sql},
    manifest::Migration,
    service::ServiceError,
};
use sha2::{Digest, Sha256};

use super::{Place, PluginDatabases, run::Tx};
use crate::migrate::MigrationState;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS jackfield_migration (
    number bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, min_reader bigint NOT NULL,
    applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)";

/// Why a plugin's tables are not what it needs. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PluginMigrationError {
    /// The text of an applied migration is another one now.
    #[error("migration {0} was changed after it had been applied; put its text back and add a new migration")]
    Changed(String),
    /// A newer plugin has changed the tables so that this one may not work on them.
    #[error(
        "the plugin's tables need a plugin that knows migration {needed}, this one knows up to {known}; install a newer one"
    )]
    TooOld {
        /// The tables' `min_reader`.
        needed: i64,
        /// The plugin's newest migration.
        known: i64,
    },
    /// `inbox.migrate` is off.
    #[error("{0} migrations of the plugin are pending; run `jackfield migrate up`")]
    Pending(usize),
    /// One does not run.
    #[error("migration {name} failed, and none was applied: {reason}")]
    Failed {
        /// Which one.
        name: String,
        /// The database's reason.
        reason: String,
    },
    /// The database cannot be reached.
    #[error(transparent)]
    Database(#[from] ServiceError),
}

#[derive(serde::Deserialize)]
struct Applied {
    number: i64,
    name: String,
    checksum: String,
    min_reader: i64,
}

impl PluginDatabases {
    /// Brings the tables of plugin `id` up, or says why they cannot serve it. One host at a time; all or nothing.
    pub async fn migrate(&self, id: &str, all: &[Migration]) -> Result<(), PluginMigrationError> {
        if self.migrate {
            return self.migrate_now(id, all).await;
        }
        let place = self.place(id);
        let applied = place.applied().await?;
        match check(&applied, all, place.dialect())? {
            [] => Ok(()),
            pending => Err(PluginMigrationError::Pending(pending.len())),
        }
    }

    /// [`PluginDatabases::migrate`] whatever the setting says: `jackfield migrate up`.
    pub async fn migrate_now(&self, id: &str, all: &[Migration]) -> Result<(), PluginMigrationError> {
        let place = self.place(id);
        let dialect = place.dialect();
        let mut tx = place.begin_migration().await?;
        let own = |error| PluginMigrationError::Database(super::failed(error));
        tx.execute(TABLE).await.map_err(own)?;
        let applied = read(&mut tx).await?;
        for migration in check(&applied, all, dialect)? {
            let name = name(migration);
            let failed = |reason: String| PluginMigrationError::Failed {
                name: name.clone(),
                reason,
            };
            let statements = crate::sql::statements(text(migration, dialect), dialect);
            for statement in statements.map_err(|error| failed(error.to_string()))? {
                // The message of the database, with where it stands, is what an author needs.
                tx.execute(statement).await.map_err(|error| failed(error.to_string()))?;
            }
            let note: Statement =
                sql("INSERT INTO jackfield_migration (number, name, checksum, min_reader) VALUES ($1, $2, $3, $4)")
                    .bind(migration.number)
                    .bind(&name)
                    .bind(checksum(text(migration, dialect)))
                    .bind(migration.min_reader);
            tx.run(note).await?;
            tracing::info!(plugin = id, migration = name, "applied");
        }
        tx.commit().await?;
        Ok(())
    }

    /// What is applied of plugin `id`, without making anything.
    pub async fn status(&self, id: &str, all: &[Migration]) -> Result<Vec<MigrationState>, PluginMigrationError> {
        let applied = self.place(id).applied().await?;
        let known = all.iter().map(|migration| {
            let applied = applied.iter().any(|row| row.number == i64::from(migration.number));
            (name(migration), applied)
        });
        let newer = applied.iter().filter(|row| row.number > newest(all));
        let newer = newer.map(|row| (row.name.clone(), true));
        let state = |(name, applied)| MigrationState {
            set: id.to_owned(),
            name,
            applied,
        };
        Ok(known.chain(newer).map(state).collect())
    }
}

impl Place {
    /// A transaction that holds the plugin's lock and is not cut short.
    async fn begin_migration(&self) -> Result<Tx, PluginMigrationError> {
        if self.host.is_sqlite() {
            // `BEGIN IMMEDIATE` is the lock.
            return Ok(self.begin(false).await?);
        }
        let pool = self.host.write.get_postgres_connection_pool();
        let begin = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0";
        let own = |error| PluginMigrationError::Database(super::failed(error));
        let mut tx = Tx::Postgres(pool.begin_with(begin).await.map_err(own)?);
        let lock = format!("SELECT pg_advisory_xact_lock(hashtextextended('{}', 0))", self.schema);
        tx.execute(&lock).await.map_err(own)?;
        // Only when it is missing: the right to make schemas may have been taken away since.
        let make = format!(
            "DO $$ BEGIN IF to_regnamespace('{0}') IS NULL THEN CREATE SCHEMA {0}; END IF; END $$; \
             SET LOCAL search_path TO {0}",
            self.schema
        );
        tx.execute(&make).await.map_err(own)?;
        Ok(tx)
    }

    /// What is applied; nothing when there are no tables yet.
    async fn applied(&self) -> Result<Vec<Applied>, PluginMigrationError> {
        if self.host.is_sqlite() && !self.file.exists() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin(true).await?;
        let exists = match self.host.is_sqlite() {
            true => {
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'jackfield_migration'".to_owned()
            }
            false => format!(
                "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = '{}' AND tablename = 'jackfield_migration'",
                self.schema
            ),
        };
        let found = tx.run(sql(exists)).await?;
        if found.rows.first().and_then(|row| row.first()) == Some(&Value::Int(0)) {
            return Ok(Vec::new());
        }
        read(&mut tx).await
    }
}

async fn read(tx: &mut Tx) -> Result<Vec<Applied>, PluginMigrationError> {
    let rows = tx
        .run(sql(
            "SELECT number, name, checksum, min_reader FROM jackfield_migration ORDER BY number",
        ))
        .await?;
    let unfit = |error: jackfield_sdk::error::Error| ServiceError::invalid(error.to_string());
    Ok(rows.read().map_err(unfit)?)
}

/// What is pending.
fn check<'m>(
    applied: &[Applied],
    all: &'m [Migration],
    dialect: Dialect,
) -> Result<&'m [Migration], PluginMigrationError> {
    let known = newest(all);
    let needed = applied.iter().map(|row| row.min_reader).max().unwrap_or(0);
    if needed > known {
        return Err(PluginMigrationError::TooOld { needed, known });
    }
    for row in applied {
        let own = all.iter().find(|migration| i64::from(migration.number) == row.number);
        if own.is_some_and(|migration| checksum(text(migration, dialect)) != row.checksum) {
            return Err(PluginMigrationError::Changed(row.name.clone()));
        }
    }
    let last = applied.last().map_or(0, |row| row.number);
    let done = all
        .iter()
        .take_while(|migration| i64::from(migration.number) <= last)
        .count();
    Ok(&all[done..])
}

fn newest(all: &[Migration]) -> i64 {
    all.last().map_or(0, |migration| migration.number.into())
}

fn name(migration: &Migration) -> String {
    format!("{:03}_{}", migration.number, migration.name)
}

fn text(migration: &Migration, dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => migration.sqlite,
        Dialect::Postgres => migration.postgres,
    }
}

/// Line ends do not count: a checkout may change them.
fn checksum(text: &str) -> String {
    hex::encode(Sha256::digest(text.replace("\r\n", "\n")))
}
