//! Empty databases: a SQLite file, and a database of its own on the test server when there is one.

use std::path::PathBuf;

use jackfield_storage::{Database, OpenOptions, PluginDatabases};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A place of its own in the temporary directory, removed with the value.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("jackfield-services-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind when a file is still held: it is in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) host: Database,
    pub(crate) directory: Scratch,
}

impl Place {
    pub(crate) fn plugins(&self, migrate: bool) -> PluginDatabases {
        PluginDatabases::new(self.host.clone(), self.directory.0.clone(), migrate)
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }
}

/// One of each kind, with the host's schema.
pub(crate) async fn places() -> Vec<Place> {
    let mut urls = vec![None];
    match std::env::var("JACKFIELD_TEST_POSTGRES_URL") {
        Ok(server) => {
            let name = format!("t{}", uuid::Uuid::now_v7().simple());
            let mut admin = PgConnection::connect(&server).await.unwrap();
            let make = AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(make).execute(&mut admin).await.unwrap();
            let mut url = url::Url::parse(&server).unwrap();
            url.set_path(&name);
            urls.push(Some(url.to_string()));
        }
        Err(_) => println!("skipped: JACKFIELD_TEST_POSTGRES_URL is not set; `cargo xtask services` prints it"),
    }
    let mut all = Vec::new();
    for url in urls {
        let directory = Scratch::new();
        let url = url.unwrap_or_else(|| format!("sqlite://{}", directory.0.join("host.db").display()));
        let host = Database::open(&url, &OpenOptions::default()).await.unwrap();
        all.push(Place { url, host, directory });
    }
    all
}
