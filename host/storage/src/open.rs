//! Opening the database.
//!
//! SQLite: one write connection, a read pool with `query_only`, WAL, `synchronous=FULL`. PostgreSQL: one pool.

use std::{
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use sea_orm::{
    DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, SqliteTransactionMode,
    SqlxPostgresConnector, SqlxSqliteConnector, TransactionOptions, TransactionTrait,
};
use sqlx::{
    Connection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// Prepared statements that a SQLite connection keeps: the inbox has a handful of texts for each number of rows.
const STATEMENTS: usize = 1_000;

/// How to open.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// PostgreSQL connections.
    pub connections: u32,
    /// Longest wait for a connection: an outage shows after this.
    pub acquire: Duration,
    /// Whether pending migrations are applied.
    pub migrate: bool,
    /// Only to look: nothing is made or changed, and the database refuses writes.
    pub read_only: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            acquire: Duration::from_secs(3),
            migrate: true,
            read_only: false,
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
    /// Where it is, without credentials.
    at: Arc<str>,
}

/// Why it cannot be opened. Never holds the password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is neither.
    #[error(
        "the database address `{0}` is neither sqlite://PATH nor postgres://USER@HOST/NAME; see JACKFIELD_DATABASE_URL"
    )]
    Address(String),
    /// No connection, or a statement that failed.
    #[error("cannot open the database {at}: {source}; {fix}")]
    Connect {
        /// Where, without credentials.
        at: String,
        /// Why.
        source: DbErr,
        /// What to do.
        fix: &'static str,
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
    /// Two programs with different migrations.
    #[error(
        "the database has migrations that this program does not know, and lacks {0} that it knows; start the newer jackfield"
    )]
    Diverged(usize),
    /// Migrations are pending and may not be applied by `serve`.
    #[error("{0} migrations are pending; run `jackfield migrate up`")]
    Pending(usize),
}

/// Creates a file that only its owner reads, and its directory, when they are missing. SQLite gives a database's mode to
/// the files beside it.
pub(crate) fn private_file(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
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
        Ok(parsed) if parsed.scheme() == "sqlite" => url.to_owned(),
        // Whatever it is, it may hold a password.
        _ => url.split_once(':').map_or("…", |(scheme, _)| scheme).to_owned() + ":…",
    }
}

/// What to do about an error of the database.
fn advice(error: &DbErr) -> &'static str {
    let (DbErr::Conn(RuntimeErr::SqlxError(error))
    | DbErr::Exec(RuntimeErr::SqlxError(error))
    | DbErr::Query(RuntimeErr::SqlxError(error))) = error
    else {
        return match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => AWAY,
            _ => "see JACKFIELD_DATABASE_URL",
        };
    };
    match error.as_ref() {
        sqlx::Error::Database(error) => match error.code().unwrap_or_default().as_ref() {
            "28P01" | "28000" => {
                "check user and password in JACKFIELD_DATABASE_URL (or DB_USER and DB_PASS), and pg_hba.conf"
            }
            "3D000" => {
                "make the database first (CREATE DATABASE), or check the name at the end of JACKFIELD_DATABASE_URL"
            }
            "42501" => "give the user the right to create tables in the schema that its search_path begins with",
            "53300" => "the server has no connections left: raise its max_connections or lower inbox.connections",
            "14" | "8" | "1032" => {
                "the file and its directory must be there and writable for the user that runs jackfield"
            }
            "26" | "11" => "the file is no SQLite database, or it is damaged: restore a backup",
            "13" => "the disk is full",
            _ => "nothing was changed",
        },
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
            "check the file that JACKFIELD_DATABASE_URL names"
        }
        // A certificate that is refused arrives as invalid data.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => TLS,
        sqlx::Error::Tls(_) => TLS,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => AWAY,
        _ => "see JACKFIELD_DATABASE_URL",
    }
}

const TLS: &str = "check sslmode and sslrootcert in JACKFIELD_DATABASE_URL";
const AWAY: &str = "nothing answers there: check host and port in JACKFIELD_DATABASE_URL (or DB_HOST and DB_PORT), and that PostgreSQL runs";

impl Database {
    /// Opens `sqlite://PATH` or `postgres://…` and brings its schema up when `options.migrate`.
    pub async fn open(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        let database = Self::connect(url, options)?;
        crate::migrate::prepare(&database, options.migrate && !options.read_only).await?;
        if !options.read_only
            && let Err(error) = database.make_days(time::OffsetDateTime::now_utc()).await
        {
            tracing::warn!(%error, "the days ahead cannot be prepared; bodies go to body_default, which retention empties slowly");
        }
        Ok(database)
    }

    /// Opens without a look at the schema: for `migrate` itself.
    pub fn connect(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Connect {
            at: describe(url),
            fix: advice(&source),
            source,
        };
        if let Some(path) = url.strip_prefix("sqlite://") {
            if options.read_only {
                return Ok(Self::sqlite_to_read(Path::new(path)));
            }
            private_file(Path::new(path)).map_err(|error| failed(DbErr::Custom(error.to_string())))?;
            Ok(Self::sqlite(Path::new(path)))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::postgres(url, options).map_err(failed)
        } else {
            Err(OpenError::Address(describe(url)))
        }
    }

    /// What went wrong, where, and what to do.
    pub(crate) fn failed(&self, source: DbErr) -> OpenError {
        OpenError::Connect {
            at: self.at.to_string(),
            fix: advice(&source),
            source,
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
            .statement_cache_capacity(STATEMENTS)
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
            at: format!("sqlite://{}", path.display()).into(),
        }
    }

    fn sqlite_to_read(path: &Path) -> Self {
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(2).connect_lazy_with(connect);
        let pool = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
        Self {
            write: pool.clone(),
            read: pool,
            backend: DatabaseBackend::Sqlite,
            at: format!("sqlite://{}", path.display()).into(),
        }
    }

    fn postgres(url: &str, options: &OpenOptions) -> Result<Self, DbErr> {
        let mut connect = PgConnectOptions::from_str(url)
            .map_err(|error| DbErr::Custom(error.to_string()))?
            .options([
                ("statement_timeout", "15s"),
                ("idle_in_transaction_session_timeout", "30s"),
                ("lock_timeout", "10s"),
                // The inbox's statements take a few rows by an index. Its tables fill and empty within seconds, so what the
                // planner last counted is wrong: it would read whole tables, and keep that plan while they grow.
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
            ]);
        if options.read_only {
            connect = connect.options([("default_transaction_read_only", "on")]);
        }
        if connect.get_application_name().is_none() {
            connect = connect.application_name("jackfield");
        }
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(options.acquire)
            .connect_lazy_with(connect);
        let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Ok(Self {
            write: pool.clone(),
            read: pool,
            backend: DatabaseBackend::Postgres,
            at: describe(url).into(),
        })
    }

    /// Where entities are written: one connection on SQLite, the pool on PostgreSQL.
    pub fn writer(&self) -> &DatabaseConnection {
        &self.write
    }

    /// Where entities are read.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.read
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
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
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
