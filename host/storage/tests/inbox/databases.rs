//! Scratch databases: a SQLite file, a database of its own on the PostgreSQL that the suite was given.

use std::{path::PathBuf, sync::Arc};

use jackfield_storage::{Database, OpenOptions};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// A directory that goes when it is dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("jackfield-inbox-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) async fn sqlite(scratch: &Scratch) -> Database {
    sqlite_at(scratch).await.0
}

/// With its address, for statements past the store.
pub(crate) async fn sqlite_at(scratch: &Scratch) -> (Database, String) {
    let file = scratch.0.join(format!("{}.db", Uuid::new_v4()));
    let url = format!("sqlite://{}", file.display());
    (Database::open(&url, &OpenOptions::default()).await.unwrap(), url)
}

/// A PostgreSQL database that goes when [`Postgres::drop_it`] is called.
pub(crate) struct Postgres {
    server: String,
    name: String,
    pub(crate) url: String,
}

impl Postgres {
    /// None without a server.
    pub(crate) async fn new() -> Option<Arc<Self>> {
        let Ok(server) = std::env::var("JACKFIELD_TEST_POSTGRES_URL") else {
            println!("skipped: JACKFIELD_TEST_POSTGRES_URL is not set; `cargo xtask test` sets it");
            return None;
        };
        let name = format!("inbox_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&server).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        Some(Arc::new(Self {
            server,
            name,
            url: url.to_string(),
        }))
    }

    pub(crate) async fn open(&self) -> Database {
        Database::open(&self.url, &OpenOptions::default()).await.unwrap()
    }

    /// Runs statements past the store.
    pub(crate) async fn run(&self, text: &str) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// The number that a query gives.
    pub(crate) async fn number(&self, text: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        sqlx::query_scalar(text).fetch_one(&mut connection).await.unwrap()
    }

    /// Makes every table empty.
    pub(crate) async fn clear(&self) {
        self.run(
            "TRUNCATE delivery, body, job, memo, attempt, dedup, lane_lease, topic, signal, replay, host_value RESTART IDENTITY",
        )
        .await;
    }

    pub(crate) async fn drop_it(&self) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        let text = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::raw_sql(sqlx::AssertSqlSafe(text))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}
