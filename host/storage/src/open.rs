//! Opening the database.
//!
//! SQLite: one write connection, a read pool with `query_only`, WAL, `synchronous=FULL`. PostgreSQL: one pool.

use std::{path::Path, str::FromStr, time::Duration};

use sea_orm::{
    DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, SqlxPostgresConnector,
    SqlxSqliteConnector, TransactionOptions, TransactionTrait,
};
use sqlx::{
    Connection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// How to open.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// PostgreSQL connections.
    pub connections: u32,
    /// Longest wait for a connection: an outage shows after this.
    pub acquire: Duration,
    /// Whether pending migrations are applied.
    pub migrate: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            acquire: Duration::from_secs(3),
            migrate: true,
        }
    }
}

/// An open database.
#[derive(Clone)]
pub struct Database {
    /// For writes. On SQLite one connection.
    pub(crate) write: DatabaseConnection,
    /// For reads.
    pub(crate) read: DatabaseConnection,
    pub(crate) backend: DatabaseBackend,
}

/// Why it cannot be opened. Never holds the password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is neither.
    #[error(
        "the database address `{0}` is neither sqlite://PATH nor postgres://USER@HOST/NAME; see JACKFIELD_DATABASE_URL"
    )]
    Address(String),
    /// No connection.
    #[error("cannot open the database {at}: {source}")]
    Connect {
        /// Where, without credentials.
        at: String,
        /// Why.
        source: DbErr,
    },
    /// A newer program has changed the schema so that this one may not serve.
    #[error(
        "the database needs a program that knows migration {needed}, this one knows up to {known}; start a newer jackfield"
    )]
    TooOld {
        /// The store's `min_reader`.
        needed: u32,
        /// Our newest migration.
        known: u32,
    },
    /// Migrations are pending and may not be applied by `serve`.
    #[error("{0} migrations are pending; run `jackfield migrate up`")]
    Pending(usize),
}

/// An address without user and password.
pub fn describe(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.scheme().starts_with("postgres") => {
            // A postgres address always has an authority, so these cannot fail.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.set_query(None);
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

impl Database {
    /// Opens `sqlite://PATH` or `postgres://…` and brings its schema up when `options.migrate`.
    pub async fn open(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        let database = Self::connect(url, options)?;
        crate::migrate::prepare(&database, options.migrate, url).await?;
        Ok(database)
    }

    /// Opens without a look at the schema: for `migrate` itself.
    pub fn connect(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            Ok(Self::sqlite(Path::new(path)))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::postgres(url, options).map_err(|source| OpenError::Connect {
                at: describe(url),
                source,
            })
        } else {
            Err(OpenError::Address(describe(url)))
        }
    }

    fn sqlite(path: &Path) -> Self {
        let base = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(false)
            .busy_timeout(Duration::from_secs(5))
            .pragma("wal_autocheckpoint", "4000")
            .pragma("cache_size", "-16000");
        let write = sound(SqlitePoolOptions::new())
            .min_connections(0)
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(30))
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(base.clone());
        let read = sound(SqlitePoolOptions::new())
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .connect_lazy_with(base.pragma("query_only", "on"));
        Self {
            write: SqlxSqliteConnector::from_sqlx_sqlite_pool(write),
            read: SqlxSqliteConnector::from_sqlx_sqlite_pool(read),
            backend: DatabaseBackend::Sqlite,
        }
    }

    fn postgres(url: &str, options: &OpenOptions) -> Result<Self, DbErr> {
        let connect = PgConnectOptions::from_str(url)
            .map_err(|error| DbErr::Custom(error.to_string()))?
            .application_name("jackfield")
            .options([
                ("statement_timeout", "15s"),
                ("idle_in_transaction_session_timeout", "30s"),
                ("lock_timeout", "10s"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(options.acquire)
            .connect_lazy_with(connect);
        let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Ok(Self {
            write: pool.clone(),
            read: pool,
            backend: DatabaseBackend::Postgres,
        })
    }

    /// Whether it is SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.backend == DatabaseBackend::Sqlite
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), DbErr> {
        use sea_orm::ConnectionTrait;
        self.read.execute_unprepared("SELECT 1").await.map(|_| ())
    }

    /// A write transaction; `BEGIN IMMEDIATE` on SQLite.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: self.is_sqlite().then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.write.begin_with_options(options).await
    }
}

/// A connection that is still inside a transaction is closed instead of used. A full disk rolls a transaction back without
/// being asked; the driver's own rollback then fails and it goes on counting a transaction, so that every later one would be
/// a savepoint within it, and its commit would commit nothing.
pub(crate) fn sound(options: SqlitePoolOptions) -> SqlitePoolOptions {
    options.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}
