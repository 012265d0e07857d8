//! Migrations of plugins over SQLite and PostgreSQL.

use jackfield_sdk::{
    database::{DatabaseService, sql},
    manifest::Migration,
    migrations,
};
use jackfield_storage::{PluginDatabases, PluginMigrationError};

use crate::places::places;

const NOTES: &[Migration] = migrations!("tests/notes");

const fn migration(number: u32, name: &'static str, text: &'static str, min_reader: u32) -> Migration {
    Migration {
        number,
        name,
        sqlite: text,
        postgres: text,
        min_reader,
    }
}

const TABLE: Migration = migration(1, "table", "CREATE TABLE t (x bigint)", 0);
const HALF: Migration = migration(
    2,
    "half",
    "CREATE TABLE half (x bigint); INSERT INTO nowhere VALUES (1)",
    0,
);
const MORE: Migration = migration(
    2,
    "more",
    "INSERT INTO t (x) VALUES (1); INSERT INTO t (x) VALUES (2)",
    0,
);
const BREAKS: Migration = migration(3, "breaks", "ALTER TABLE t RENAME TO u", 2);

async fn applied(plugins: &PluginDatabases, all: &[Migration]) -> Vec<(String, bool)> {
    let rows = plugins.status("shop", all).await.unwrap();
    assert!(rows.iter().all(|row| row.set == "shop"));
    rows.into_iter().map(|row| (row.name, row.applied)).collect()
}

async fn query(own: &dyn DatabaseService, text: &str) -> Vec<i64> {
    own.batch(vec![sql(text)]).await.unwrap().remove(0).read().unwrap()
}

#[tokio::test]
async fn files_beside_the_crate_become_tables_with_their_triggers() {
    for place in places().await {
        let plugins = place.plugins(true);
        let names = |done| vec![("001_note".to_owned(), done), ("002_size".to_owned(), done)];
        assert_eq!(applied(&plugins, NOTES).await, names(false), "{}", place.url);
        plugins.migrate("shop", NOTES).await.unwrap();
        plugins.migrate("shop", NOTES).await.unwrap();
        assert_eq!(applied(&plugins, NOTES).await, names(true));
        let own = plugins.of("shop");
        own.batch(vec![sql("INSERT INTO note (text) VALUES ($1)").bind("four")])
            .await
            .unwrap();
        assert_eq!(query(own.as_ref(), "SELECT size FROM note").await, [4], "{}", place.url);
    }
}

#[tokio::test]
async fn hosts_that_start_at_once_apply_each_migration_once() {
    for place in places().await {
        let hosts: Vec<PluginDatabases> = (0..4).map(|_| place.plugins(true)).collect();
        let all = [TABLE, MORE];
        let done = futures_util::future::join_all(hosts.iter().map(|plugins| plugins.migrate("shop", &all))).await;
        done.into_iter().for_each(|done| done.unwrap());
        assert_eq!(
            query(hosts[0].of("shop").as_ref(), "SELECT x FROM t ORDER BY x").await,
            [1, 2],
            "{}",
            place.url
        );
    }
}

#[tokio::test]
async fn one_that_fails_applies_none_and_names_itself() {
    for place in places().await {
        let plugins = place.plugins(true);
        let error = plugins.migrate("shop", &[TABLE, HALF]).await.unwrap_err();
        assert!(matches!(error, PluginMigrationError::Failed { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("002_half") && error.contains("nowhere"), "{error}");
        assert!(
            applied(&plugins, &[TABLE, HALF])
                .await
                .iter()
                .all(|(_, applied)| !applied),
            "{}",
            place.url
        );
        plugins.migrate("shop", &[TABLE, MORE]).await.unwrap();
        for text in [
            "COMMIT",
            "CREATE TABLE z (x bigint); PRAGMA user_version = 1",
            "SET search_path TO public",
        ] {
            let escape = Migration {
                sqlite: text,
                postgres: text,
                ..migration(3, "escape", "", 0)
            };
            let error = plugins
                .migrate("shop", &[TABLE, MORE, escape])
                .await
                .unwrap_err()
                .to_string();
            assert!(error.contains("003_escape") && error.contains("may not run"), "{error}");
        }
    }
}

#[tokio::test]
async fn an_applied_text_may_not_change() {
    for place in places().await {
        let plugins = place.plugins(true);
        plugins.migrate("shop", &[TABLE]).await.unwrap();
        let changed = migration(1, "table", "CREATE TABLE t (y bigint)", 0);
        let error = plugins.migrate("shop", &[changed]).await.unwrap_err().to_string();
        assert!(error.contains("001_table") && error.contains("changed"), "{error}");
        // A checkout may change line ends.
        let (unix, dos) = ("CREATE TABLE u (\nx bigint)", "CREATE TABLE u (\r\nx bigint)");
        plugins.migrate("other", &[migration(1, "u", unix, 0)]).await.unwrap();
        plugins.migrate("other", &[migration(1, "u", dos, 0)]).await.unwrap();
    }
}

#[tokio::test]
async fn an_older_plugin_is_admitted_as_long_as_min_reader_allows_it() {
    for place in places().await {
        let plugins = place.plugins(true);
        plugins.migrate("shop", &[TABLE, MORE]).await.unwrap();
        plugins.migrate("shop", &[TABLE]).await.unwrap();
        plugins.migrate("shop", &[TABLE, MORE, BREAKS]).await.unwrap();
        plugins.migrate("shop", &[TABLE, MORE]).await.unwrap();
        let error = plugins.migrate("shop", &[TABLE]).await.unwrap_err();
        assert!(
            matches!(error, PluginMigrationError::TooOld { needed: 2, known: 1 }),
            "{error}"
        );
        let seen = applied(&plugins, &[TABLE]).await;
        assert_eq!(seen.len(), 3, "{seen:?}");
    }
}

#[tokio::test]
async fn without_leave_to_migrate_pending_ones_are_named_and_not_applied() {
    for place in places().await {
        let held = place.plugins(false);
        let error = held.migrate("shop", NOTES).await.unwrap_err().to_string();
        assert!(
            error.contains("2 migrations") && error.contains("jackfield migrate up"),
            "{error}"
        );
        assert!(applied(&held, NOTES).await.iter().all(|(_, applied)| !applied));
        place.plugins(true).migrate("shop", NOTES).await.unwrap();
        held.migrate("shop", NOTES).await.unwrap();
    }
}
