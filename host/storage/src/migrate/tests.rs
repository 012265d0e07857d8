#![allow(clippy::unwrap_used)]

use jackfield_inbox::store::Store;

use super::*;
use crate::{open::OpenOptions, store::SqlStore, test_places::places};

const FIRST: Sql = Sql {
    name: "m0001",
    sqlite: "CREATE TABLE host_value (key text PRIMARY KEY, value blob NOT NULL); CREATE TABLE a (x integer)",
    postgres: "CREATE TABLE host_value (key text PRIMARY KEY, value bytea NOT NULL); CREATE TABLE a (x integer)",
};
const SLOW: Sql = Sql {
    name: "m0002",
    sqlite: "CREATE TABLE b (x integer); INSERT INTO b VALUES (1)",
    postgres: "CREATE TABLE b (x integer); INSERT INTO b VALUES (1); SELECT pg_sleep(0.3)",
};
const BROKEN: Sql = Sql {
    name: "m0002",
    sqlite: "CREATE TABLE half (x integer); INSERT INTO nowhere VALUES (1)",
    postgres: "CREATE TABLE half (x integer); INSERT INTO nowhere VALUES (1)",
};
const OTHER: Sql = Sql {
    name: "m0002_other",
    ..SLOW
};
const OLD: Known = Known {
    all: &[FIRST],
    min_reader: 1,
};
const NEW: Known = Known {
    all: &[FIRST, SLOW],
    min_reader: 1,
};

async fn count(database: &Database, sql: &str) -> i64 {
    let statement = Statement::from_string(database.backend, sql);
    let row = database.write.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
async fn two_hosts_that_start_at_once_migrate_once() {
    for place in places().await {
        let open = || Database::connect(&place.url, &OpenOptions::default()).unwrap();
        let hosts: Vec<Database> = (0..4).map(|_| open()).collect();
        let started = hosts.iter().map(|database| NEW.prepare(database, true));
        for done in futures_util::future::join_all(started).await {
            done.unwrap();
        }
        assert_eq!(count(&hosts[0], "SELECT count(*) FROM b").await, 1, "{}", place.url);
        assert_eq!(count(&hosts[0], "SELECT count(*) FROM seaql_migrations").await, 2);
    }
}

#[tokio::test]
async fn a_migration_that_fails_half_way_leaves_nothing_behind() {
    for place in places().await {
        let database = Database::connect(&place.url, &OpenOptions::default()).unwrap();
        let broken = Known {
            all: &[FIRST, BROKEN],
            min_reader: 1,
        };
        let error = broken.prepare(&database, true).await.unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
        assert_eq!(applied(&database, &database.write).await.unwrap(), Vec::<String>::new());
        OLD.prepare(&database, true).await.unwrap();
        let statement = Statement::from_string(database.backend, "SELECT count(*) FROM half");
        assert!(database.write.query_one_raw(statement).await.is_err());
    }
}

#[tokio::test]
async fn an_older_program_serves_as_long_as_min_reader_allows_it() {
    for place in places().await {
        let database = Database::connect(&place.url, &OpenOptions::default()).unwrap();
        NEW.prepare(&database, true).await.unwrap();
        OLD.prepare(&database, true).await.unwrap();
        OLD.up_on(&database).await.unwrap();
        let strict = Known {
            all: &[
                FIRST,
                SLOW,
                Sql {
                    name: "m0003",
                    sqlite: "SELECT 1",
                    postgres: "SELECT 1",
                },
            ],
            min_reader: 3,
        };
        let pending = strict.prepare(&database, false).await.unwrap_err();
        assert!(matches!(pending, OpenError::Pending(1)), "{pending}");
        assert!(pending.to_string().contains("run `jackfield migrate up`"));
        strict.prepare(&database, true).await.unwrap();
        let refused = NEW.prepare(&database, true).await.unwrap_err();
        assert!(
            matches!(refused, OpenError::TooOld { needed: 3, known: 2 }),
            "{refused}"
        );
        assert!(OLD.up_on(&database).await.is_err());
        assert_eq!(min_reader(&database, &database.write).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn two_lines_of_programs_on_one_database_are_refused() {
    for place in places().await {
        let database = Database::connect(&place.url, &OpenOptions::default()).unwrap();
        NEW.prepare(&database, true).await.unwrap();
        let other = Known {
            all: &[FIRST, OTHER],
            min_reader: 1,
        };
        let refused = other.prepare(&database, true).await.unwrap_err();
        assert!(matches!(refused, OpenError::Diverged(1)), "{refused}");
    }
}

#[tokio::test]
async fn status_lists_what_is_applied_and_what_a_newer_program_added() {
    for place in places().await {
        let database = Database::connect(&place.url, &OpenOptions::default()).unwrap();
        let before = status(&database).await.unwrap();
        assert!(!before.is_empty() && before.iter().all(|row| !row.applied && row.set == "host"));
        up(&database).await.unwrap();
        let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_newer', 0)";
        database.write.execute_unprepared(newer).await.unwrap();
        let after = status(&database).await.unwrap();
        assert!(after.iter().all(|row| row.applied), "{after:?}");
        assert_eq!(after.last().unwrap().name, "m9999_newer");
        assert_eq!(after.len(), before.len() + 1);
    }
}

#[tokio::test]
async fn who_only_looks_changes_nothing() {
    for place in places().await {
        let look = OpenOptions {
            read_only: true,
            ..OpenOptions::default()
        };
        // Nothing is made by looking, neither a file nor a schema.
        assert!(Database::open(&place.url, &look).await.is_err());
        let file = place.url.strip_prefix("sqlite://").map(std::path::Path::new);
        assert!(file.is_none_or(|file| !file.exists()));
        let host = SqlStore::new(Database::open(&place.url, &OpenOptions::default()).await.unwrap());
        host.set_value("a", Some("1".into())).await.unwrap();
        // Beside a running host, and without one.
        let beside = SqlStore::new(Database::open(&place.url, &look).await.unwrap());
        assert_eq!(beside.values("a").await.unwrap().len(), 1);
        assert!(beside.set_value("a", None).await.is_err());
        drop(host);
        let alone = SqlStore::new(Database::open(&place.url, &look).await.unwrap());
        assert_eq!(alone.values("a").await.unwrap().len(), 1);
    }
}
