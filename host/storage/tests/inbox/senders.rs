//! Two replicas that store the same deliveries at once, retention beside resends, and a deadlock, on PostgreSQL.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jackfield_inbox::{
    model::{NewWork, Stored, Written},
    store::Store,
};
use jackfield_storage::SqlStore;
use rand::RngExt;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::{
    databases::Postgres,
    work::{dead, delivery, done, request},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_store_the_same_ids_make_one_job_each() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let (one, two) = (
        SqlStore::new(postgres.open().await),
        SqlStore::new(postgres.open().await),
    );
    for round in 0..10 {
        postgres.clear().await;
        let batch = || -> Vec<NewWork> { (0..100).map(|at| delivery(&format!("{round}-{at}"), None)).collect() };
        // In opposite orders, so that a store that did not sort would wait for the other one, and it for us.
        let (forth, mut back) = (batch(), batch());
        back.reverse();
        let (a, b) = tokio::join!(one.accept(&forth), two.accept(&back));
        let (a, mut b) = (a.unwrap(), b.unwrap());
        b.reverse();
        for (at, (a, b)) in a.iter().zip(&b).enumerate() {
            assert_eq!(a.id(), b.id(), "both answer with one id for {at}");
            assert!(
                matches!(
                    (a, b),
                    (Stored::New(_), Stored::Duplicate(_)) | (Stored::Duplicate(_), Stored::New(_))
                ),
                "{at} is new once: {a:?} {b:?}"
            );
        }
        assert_eq!(postgres.number("SELECT count(*) FROM job").await, 100);
        assert_eq!(postgres.number("SELECT count(*) FROM delivery").await, 100);
    }
    postgres.drop_it().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_a_hundred_times_at_once_is_one_job() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let stores = [
        Arc::new(SqlStore::new(postgres.open().await)),
        Arc::new(SqlStore::new(postgres.open().await)),
    ];
    let mut sends = Vec::new();
    for at in 0..100 {
        let store = Arc::clone(&stores[at % 2]);
        sends.push(tokio::spawn(
            async move { store.accept(&[delivery("same", None)]).await },
        ));
    }
    let mut fresh = 0;
    for send in sends {
        fresh += u32::from(matches!(send.await.unwrap().unwrap()[0], Stored::New(_)));
    }
    assert_eq!(fresh, 1);
    assert_eq!(postgres.number("SELECT count(*) FROM job").await, 1);
    postgres.drop_it().await;
}

/// Everything that has ended is old enough to go at once; senders send the same few ids over and over.
#[tokio::test(flavor = "multi_thread")]
async fn retention_beside_resends_loses_nothing() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let store = Arc::new(SqlStore::new(postgres.open().await));
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = Vec::new();
    for _ in 0..4 {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        senders.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let size = rand::rng().random_range(1..6);
                let batch: Vec<NewWork> = (0..size)
                    .map(|_| delivery(&rand::rng().random_range(0..20).to_string(), None))
                    .collect();
                answers.extend(store.accept(&batch).await.unwrap());
            }
            answers
        }));
    }
    let purging = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut gone = 0;
            while !stop.load(Ordering::SeqCst) {
                gone += store.purge(i64::MAX, 7).await.unwrap();
            }
            gone
        })
    };
    let mut runs: HashMap<Uuid, u32> = HashMap::new();
    let began = std::time::Instant::now();
    let work = async |runs: &mut HashMap<Uuid, u32>| {
        let claimed = store.claim(&request(16, 60_000)).await.unwrap();
        let mut ends = Vec::new();
        for one in &claimed {
            *runs.entry(one.fence.job).or_default() += 1;
            ends.push(if rand::rng().random_range(0..3) == 0 {
                dead(one.fence)
            } else {
                done(one.fence)
            });
        }
        let ended = store.write(&ends).await.unwrap();
        assert!(ended.iter().all(|answer| *answer == Ok(Written::Ok)));
        claimed.len()
    };
    while began.elapsed() < Duration::from_secs(2) {
        work(&mut runs).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut expected: HashMap<Uuid, u32> = HashMap::new();
    let mut duplicates = Vec::new();
    for sender in senders {
        for answer in sender.await.unwrap() {
            match answer {
                Stored::New(id) | Stored::Begun(id, _) | Stored::Rearmed(id) => *expected.entry(id).or_default() += 1,
                Stored::Duplicate(id) => duplicates.push(id),
            }
        }
    }
    let gone = purging.await.unwrap();
    while work(&mut runs).await > 0 {}
    println!(
        "{} accepted, {} duplicates, {gone} removed",
        expected.len(),
        duplicates.len()
    );
    assert!(gone > 0 && !duplicates.is_empty());
    assert_eq!(runs, expected, "what was answered New or Rearmed ran exactly so often");
    assert!(duplicates.iter().all(|id| expected.contains_key(id)));
    postgres.drop_it().await;
}

/// Another transaction locks two keys in the order that the store does not use; the server ends ours, and it is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let store = Arc::new(SqlStore::new(postgres.open().await));
    let mut pair = [delivery("a", None), delivery("b", None)];
    pair.sort_by_key(|work| work.dedup);
    let mut other = PgConnection::connect(&postgres.url).await.unwrap();
    // It looks for deadlocks much later than the store's connection, so that one is ended.
    other.execute("SET deadlock_timeout = '60s'").await.unwrap();
    other.execute("BEGIN").await.unwrap();
    let take = async |other: &mut PgConnection, key: [u8; 16]| {
        sqlx::query("INSERT INTO dedup (key, delivery, seen_ms) VALUES ($1, gen_random_uuid(), 1)")
            .bind(key.to_vec())
            .execute(other)
            .await
            .map(|_| ())
    };
    take(&mut other, pair[1].dedup.0).await.unwrap();
    let storing = tokio::spawn({
        let (store, pair) = (Arc::clone(&store), pair.clone());
        async move { store.accept(&pair).await }
    });
    // Until the store has its first key and waits for ours.
    let mut looks = 0;
    while postgres
        .number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        .await
        == 0
    {
        looks += 1;
        assert!(looks < 500, "the store never waited");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let taken = tokio::time::timeout(Duration::from_secs(20), take(&mut other, pair[0].dedup.0)).await;
    taken
        .expect("the deadlock is resolved")
        .expect("by ending the store's transaction, not ours");
    other.execute("ROLLBACK").await.unwrap();
    let stored = storing.await.unwrap().unwrap();
    assert_eq!(stored, [Stored::New(pair[0].id), Stored::New(pair[1].id)]);
    postgres.drop_it().await;
}

/// A batch of new work and of a resend whose second part is in somebody's way: what the first part has begun stays begun.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_stays_begun_when_the_rest_of_its_batch_is_tried_again() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let store = SqlStore::new(postgres.open().await);
    let old = delivery("old", None);
    store.accept(std::slice::from_ref(&old)).await.unwrap();
    let run = store.claim(&request(1, 20_000)).await.unwrap().remove(0);
    store.write(&[dead(run.fence)]).await.unwrap();
    // A sequence forgets nothing when its transaction is rolled back, so the first arming fails and the second does not.
    let mut other = PgConnection::connect(&postgres.url).await.unwrap();
    let once = "CREATE SEQUENCE armings; \
        CREATE FUNCTION once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
          IF nextval('armings') = 1 THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '40001'; END IF; RETURN new; END $$; \
        CREATE TRIGGER once BEFORE UPDATE ON delivery FOR EACH ROW EXECUTE FUNCTION once()";
    other.execute(once).await.unwrap();
    let fresh = NewWork {
        lease_ms: Some(20_000),
        ..delivery("fresh", None)
    };
    let stored = store.accept(&[delivery("old", None), fresh.clone()]).await.unwrap();
    assert_eq!(stored[0], Stored::Rearmed(old.id));
    assert!(
        matches!(stored[1], Stored::Begun(id, _) if id == fresh.id),
        "who stored it runs it: {stored:?}"
    );
    assert_eq!(postgres.number("SELECT last_value FROM armings").await, 2);
    postgres.drop_it().await;
}
