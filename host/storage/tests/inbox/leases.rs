//! Leases that a dead process left.

use jackfield_inbox::{model::State, store::Store};
use jackfield_storage::SqlStore;

use super::{
    databases::{Postgres, Scratch, sqlite},
    work::{delivery, request},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_on_sqlite_does_not_wait_for_its_own_leases() {
    let scratch = Scratch::new();
    let store = SqlStore::new(sqlite(&scratch).await);
    let works: Vec<_> = (0..2_500)
        .map(|n| delivery(&n.to_string(), (n < 9).then(|| n.to_string())))
        .collect();
    store.accept(&works).await.unwrap();
    assert_eq!(store.claim(&request(2_500, 60_000)).await.unwrap().len(), 2_500);
    assert_eq!(store.claim(&request(2_500, 60_000)).await.unwrap().len(), 0);
    assert_eq!(store.free_leases().await.unwrap(), 2_500);
    let again = store.claim(&request(2_500, 60_000)).await.unwrap();
    assert_eq!(again.len(), 2_500, "their lanes are free as well");
    assert!(
        again
            .iter()
            .all(|one| one.lost == 1 && one.attempt == 1 && one.maybe_done)
    );
    assert_eq!(store.free_leases().await.unwrap(), 2_500);
    assert_eq!(store.free_leases().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_other_replicas_keep_theirs() {
    let Some(postgres) = Postgres::new().await else {
        return;
    };
    let store = SqlStore::new(postgres.open().await);
    let stored = store.accept(&[delivery("a", None)]).await.unwrap();
    assert_eq!(store.claim(&request(1, 60_000)).await.unwrap().len(), 1);
    assert_eq!(store.free_leases().await.unwrap(), 0);
    let shown = store.show(stored[0].id()).await.unwrap().unwrap();
    assert_eq!(shown.summary.state, State::Running);
    postgres.drop_it().await;
}
