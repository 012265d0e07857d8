//! A plugin's database over SQLite and PostgreSQL: one text for both, and nothing leaves the transaction.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jackfield_sdk::{
    database::{DatabaseService, Rows, Value, sql},
    service::ServiceError,
};

use crate::places::{Place, places};

async fn tables(place: &Place, id: &str, make: &str) -> Arc<dyn DatabaseService> {
    let plugins = place.plugins(true);
    plugins.migrate(id, &[]).await.unwrap();
    let own = plugins.of(id);
    own.batch(vec![sql(make)]).await.unwrap();
    own
}

fn make(place: &Place) -> &'static str {
    if place.is_postgres() {
        "CREATE TABLE note (id bigint PRIMARY KEY, text text, done boolean, size double precision, raw bytea)"
    } else {
        "CREATE TABLE note (id bigint PRIMARY KEY, text text, done boolean, size double precision, raw blob)"
    }
}

async fn count(own: &Arc<dyn DatabaseService>) -> i64 {
    let rows = own
        .batch(vec![sql("SELECT count(*) FROM note")])
        .await
        .unwrap()
        .remove(0);
    rows.read::<i64>().unwrap()[0]
}

fn invalid(result: Result<impl std::fmt::Debug, ServiceError>) -> String {
    match result {
        Err(ServiceError::Invalid { message }) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_text_writes_and_reads_the_same_values_on_both() {
    for place in places().await {
        let own = tables(&place, "pager", make(&place)).await;
        let insert = sql("INSERT INTO note (id, text, done, size, raw) VALUES ($1, $2, $3, $4, $5)");
        let full = insert
            .clone()
            .bind(1)
            .bind("it's; $9")
            .bind(true)
            .bind(1.5)
            .bind(vec![0_u8, 255]);
        let null = |none: Option<i64>| insert.clone().bind(2).bind(none).bind(none).bind(none).bind(none);
        let done = own.batch(vec![full, null(None)]).await.unwrap();
        assert_eq!(done.iter().map(|rows| rows.affected).collect::<Vec<_>>(), [1, 1]);
        let select = sql("SELECT id, text, done, size, raw FROM note WHERE id <= $1 ORDER BY id").bind(5);
        let rows = own.batch(vec![select]).await.unwrap().remove(0);
        let expected = Rows {
            columns: ["id", "text", "done", "size", "raw"].map(str::to_owned).to_vec(),
            rows: vec![
                vec![
                    Value::Int(1),
                    "it's; $9".into(),
                    Value::Bool(true),
                    Value::Real(1.5),
                    Value::Blob(Bytes::from_static(b"\x00\xff")),
                ],
                vec![2.into(), Value::Null, Value::Null, Value::Null, Value::Null],
            ],
            affected: 2,
        };
        assert_eq!(rows, expected, "{}", place.url);
        let changes = vec![
            sql("UPDATE note SET done = $2 WHERE id = $1 OR text = $3 RETURNING id")
                .bind(1)
                .bind(false)
                .bind("x"),
            sql("UPDATE note SET done = $1 WHERE id > 0").bind(true),
            sql("SELECT id FROM note WHERE id = 99"),
            sql("WITH n AS (SELECT id FROM note) SELECT count(*) FROM n"),
            sql("DELETE FROM note WHERE id = $1").bind(2),
        ];
        let done = own.batch(changes).await.unwrap();
        assert_eq!(
            done.iter().map(|rows| rows.affected).collect::<Vec<_>>(),
            [1, 2, 0, 1, 1],
            "{}",
            place.url
        );
    }
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    for place in places().await {
        let own = tables(&place, "pager", make(&place)).await;
        let put = |id| sql("INSERT INTO note (id) VALUES ($1)").bind(id);
        let error = invalid(own.batch(vec![put(1), put(2), put(1)]).await);
        assert!(error.to_lowercase().contains("unique"), "{error}");
        assert_eq!(count(&own).await, 0, "{}", place.url);
        own.batch(vec![put(1), put(2)]).await.unwrap();
        assert_eq!(count(&own).await, 2);
    }
}

#[tokio::test]
async fn a_transaction_commits_rolls_back_and_ends_with_its_holder() {
    for place in places().await {
        let own = tables(&place, "pager", make(&place)).await;
        let put = |id| sql("INSERT INTO note (id) VALUES ($1)").bind(id);
        let tx = own.begin().await.unwrap();
        own.within(tx, put(1)).await.unwrap();
        assert_eq!(count(&own).await, 0, "{}: nobody sees it yet", place.url);
        own.commit(tx).await.unwrap();
        assert_eq!(count(&own).await, 1);
        invalid(own.within(tx, put(2)).await);
        invalid(own.commit(tx).await);
        let tx = own.begin().await.unwrap();
        own.within(tx, put(3)).await.unwrap();
        own.rollback(tx).await.unwrap();
        assert_eq!(count(&own).await, 1);
        // Retired with a transaction open: another generation is not kept waiting.
        let plugins = place.plugins(true);
        let (old, new) = (plugins.of("pager"), plugins.of("pager"));
        let tx = old.begin().await.unwrap();
        old.within(tx, put(4)).await.unwrap();
        invalid(new.commit(tx).await);
        drop(old);
        tokio::time::timeout(Duration::from_secs(3), new.batch(vec![put(5)]))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(count(&new).await, 2, "{}", place.url);
    }
}

#[tokio::test]
async fn after_a_failure_a_transaction_cannot_be_committed() {
    for place in places().await {
        let own = tables(&place, "pager", make(&place)).await;
        let put = |id| sql("INSERT INTO note (id) VALUES ($1)").bind(id);
        let tx = own.begin().await.unwrap();
        own.within(tx, put(1)).await.unwrap();
        invalid(own.within(tx, put(1)).await);
        assert!(invalid(own.within(tx, put(2)).await).contains("rolled back"));
        assert!(invalid(own.commit(tx).await).contains("rolled back"), "{}", place.url);
        assert_eq!(count(&own).await, 0);
    }
}

#[tokio::test]
async fn a_lease_ends_a_forgotten_transaction_while_others_wait() {
    for place in places().await {
        let own = tables(&place, "pager", make(&place)).await;
        let put = sql("INSERT INTO note (id) VALUES (1)");
        let tx = own.begin().await.unwrap();
        own.within(tx, put.clone()).await.unwrap();
        // Reads go on meanwhile; the same row, or SQLite's one writer, waits for the lease.
        tokio::time::timeout(Duration::from_secs(2), count(&own)).await.unwrap();
        tokio::time::timeout(Duration::from_secs(8), own.batch(vec![put.clone()]))
            .await
            .unwrap()
            .or_else(|error| match error {
                // PostgreSQL gives up on the statement in the moment in which the lease ends.
                ServiceError::Unavailable { .. } if place.is_postgres() => Ok(Vec::new()),
                other => Err(other),
            })
            .unwrap();
        assert!(invalid(own.commit(tx).await).contains("lease"), "{}", place.url);
        own.batch(vec![sql("INSERT INTO note (id) VALUES (2)")]).await.unwrap();
    }
}

#[tokio::test]
async fn two_transactions_of_one_plugin_do_not_wait_for_each_other() {
    for place in places().await.into_iter().filter(Place::is_postgres) {
        let own = tables(&place, "pager", make(&place)).await;
        own.batch(vec![sql("INSERT INTO note (id) VALUES (1)")]).await.unwrap();
        let (first, second) = (own.begin().await.unwrap(), own.begin().await.unwrap());
        let update = sql("UPDATE note SET text = 'x' WHERE id = 1");
        own.within(first, update.clone()).await.unwrap();
        let waits = {
            let own = Arc::clone(&own);
            tokio::spawn(async move {
                own.within(second, update).await.unwrap();
                own.commit(second).await
            })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        // While the second waits for the row, the first goes on and lets it in.
        own.within(first, sql("SELECT 1")).await.unwrap();
        own.commit(first).await.unwrap();
        waits.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn plugins_do_not_see_each_other_or_the_host_and_leave_nothing_on_the_connection() {
    for place in places().await {
        let first = tables(&place, "first-one", "CREATE TABLE note (id bigint, a text)").await;
        let second = tables(&place, "second", "CREATE TABLE note (id bigint, b bigint, c text)").await;
        for _ in 0..3 {
            // The same text means each one's own table, on whichever pooled connection it runs.
            let (one, two) = tokio::join!(
                first.batch(vec![sql("INSERT INTO note (id) VALUES (1) RETURNING *")]),
                second.batch(vec![sql("INSERT INTO note (id) VALUES (1) RETURNING *")])
            );
            assert_eq!(one.unwrap()[0].columns, ["id", "a"], "{}", place.url);
            assert_eq!(two.unwrap()[0].columns, ["id", "b", "c"], "{}", place.url);
        }
        invalid(first.batch(vec![sql("SELECT * FROM delivery")]).await);
        for escape in [
            "SET search_path TO public",
            "SELECT set_config('search_path', 'public', false)",
            "COMMIT",
            "SELECT 1; COMMIT; SELECT * FROM delivery",
            "ATTACH 'other.db' AS other",
            "PRAGMA journal_mode = off",
            "VACUUM INTO 'copy.db'",
            "SELECT load_extension('x')",
        ] {
            invalid(first.batch(vec![sql(escape)]).await);
            let tx = first.begin().await.unwrap();
            invalid(first.within(tx, sql(escape)).await);
            first.within(tx, sql("SELECT a FROM note")).await.unwrap();
            first.rollback(tx).await.unwrap();
        }
        // The host's own statements still mean the host's tables.
        assert!(
            jackfield_storage::status(&place.host)
                .await
                .unwrap()
                .iter()
                .all(|row| row.applied)
        );
        if !place.is_postgres() {
            use std::os::unix::fs::PermissionsExt;
            for file in [
                "plugins/first-one.db",
                "plugins/second.db",
                "plugins/second.db-wal",
                "host.db",
                "host.db-wal",
            ] {
                let mode = std::fs::metadata(place.directory.0.join(file))
                    .unwrap()
                    .permissions()
                    .mode()
                    & 0o777;
                assert_eq!(mode, 0o600, "{file}");
            }
        }
    }
}

#[tokio::test]
async fn errors_say_whether_another_attempt_may_help() {
    for place in places().await {
        let own = tables(&place, "pager", make(&place)).await;
        let error = invalid(own.batch(vec![sql("SELECT * FROM nowhere")]).await);
        assert!(error.contains("nowhere"), "{error}");
        invalid(own.batch(vec![sql("SELECT $1").bind(1).bind(2)]).await);
        if place.is_postgres() {
            let error = invalid(own.batch(vec![sql("SELECT now() AS at")]).await);
            assert!(error.contains("CAST(at AS text)"), "{error}");
            let kinds = own
                .batch(vec![sql(
                    "SELECT '{\"a\": 1}'::jsonb, '7f1b5a0e-3a68-4e64-9f0a-0d9be0c3f1a2'::uuid, 'x'::name",
                )])
                .await
                .unwrap();
            let read: Vec<(String, String, String)> = kinds[0].clone().read().unwrap();
            assert_eq!(read[0].0, "{\"a\": 1}");
            let slow = own.batch(vec![sql("SELECT pg_sleep(20)::text")]).await.unwrap_err();
            assert!(matches!(slow, ServiceError::Unavailable { .. }), "{slow}");
        }
    }
}
