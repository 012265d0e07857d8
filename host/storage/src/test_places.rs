//! Empty databases for the suites: a SQLite file, and a database of its own on the test server when there is one.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// An empty database; its directory goes with it.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) directory: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Left behind when a file is still held: it is in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// One of each kind.
pub(crate) async fn places() -> Vec<Place> {
    let place = |url: Option<String>| {
        let directory = std::env::temp_dir().join(format!("jackfield-storage-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&directory).unwrap();
        Place {
            url: url.unwrap_or_else(|| format!("sqlite://{}", directory.join("host.db").display())),
            directory,
        }
    };
    let mut all = vec![place(None)];
    match std::env::var("JACKFIELD_TEST_POSTGRES_URL") {
        Ok(server) => {
            let name = format!("t{}", uuid::Uuid::now_v7().simple());
            let mut admin = PgConnection::connect(&server).await.unwrap();
            let make = AssertSqlSafe(format!("CREATE DATABASE {name}"));
            sqlx::raw_sql(make).execute(&mut admin).await.unwrap();
            let mut url = url::Url::parse(&server).unwrap();
            url.set_path(&name);
            all.push(place(Some(url.into())));
        }
        Err(_) => println!("skipped: JACKFIELD_TEST_POSTGRES_URL is not set; `cargo xtask services` prints it"),
    }
    all
}
