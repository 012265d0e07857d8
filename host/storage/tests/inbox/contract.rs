//! The suite of `jackfield_inbox::contract` on both databases.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jackfield_inbox::contract::{Subject, check};
use jackfield_storage::{Database, SqlStore};

use super::databases::{Postgres, Scratch, sqlite};

fn subject(database: Database) -> Subject {
    let clock = Arc::new(AtomicI64::new(1_000_000));
    Subject {
        store: Arc::new(SqlStore::with_clock(database, Arc::clone(&clock))),
        advance: Box::new(move |by: Duration| {
            clock.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let scratch = Scratch::new();
    check(async || subject(sqlite(&scratch).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let database = postgres.open().await;
    check(async || {
        postgres.clear().await;
        subject(database.clone())
    })
    .await;
    postgres.drop_it().await;
}
