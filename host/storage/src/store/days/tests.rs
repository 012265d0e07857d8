#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use jackfield_inbox::{
    model::{DedupKey, Filter, NewWork, WorkKind},
    store::Store,
};
use time::macros::{date, datetime};
use uuid::{NoContext, Timestamp};

use super::*;
use crate::{open::OpenOptions, test_places::places};

const DAY_MS: i64 = 86_400_000;

#[test]
fn a_day_has_its_name_and_its_ids() {
    let day = date!(2026 - 02 - 09);
    assert_eq!(name(day).unwrap(), "body_20260209");
    assert_eq!(day_of("body_20260209"), Some(day));
    assert_eq!(day_of("body_default"), None);
    let at = |at: OffsetDateTime| {
        let seconds = at.unix_timestamp().unsigned_abs();
        Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.nanosecond()))
    };
    let (first, last) = (datetime!(2026-02-09 00:00 UTC), datetime!(2026-02-09 23:59:59.999 UTC));
    assert!(least(begin_ms(day)) <= at(first) && at(last) < least(begin_ms(next(day))));
    assert!(at(first - Duration::MILLISECOND) < least(begin_ms(day)));
}

fn work(at: OffsetDateTime, name: &str) -> NewWork {
    let seconds = at.unix_timestamp().unsigned_abs();
    NewWork {
        id: Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)),
        kind: WorkKind::Webhook,
        plugin: "p".to_owned(),
        handler: "hook".to_owned(),
        tenant: String::new(),
        delivery_id: name.to_owned(),
        event: String::new(),
        lane: None,
        headers: Vec::new(),
        body: Bytes::from("x".repeat(10_000)),
        dedup: DedupKey::of("p", "webhook", "", name),
        delay_ms: 0,
        held: None,
        lease_ms: None,
        death: None,
    }
}

/// Where each body is, and how it is compressed.
async fn bodies(db: &Database) -> Vec<(String, Option<String>)> {
    let text = "SELECT tableoid::regclass::text AS name, pg_column_compression(body) AS how FROM body ORDER BY id";
    let rows = db
        .read
        .query_all_raw(Statement::from_string(db.backend, text))
        .await
        .unwrap();
    rows.iter()
        .map(|row| (row.try_get("", "name").unwrap(), row.try_get("", "how").unwrap()))
        .collect()
}

#[tokio::test]
async fn a_day_of_bodies_goes_at_once_when_all_of_it_may_go() {
    let Some(place) = places()
        .await
        .into_iter()
        .find(|place| place.url.starts_with("postgres"))
    else {
        return;
    };
    let db = Database::open(&place.url, &OpenOptions::default()).await.unwrap();
    let now = OffsetDateTime::now_utc();
    let old = now - Duration::days(40);
    // As that host did forty days ago.
    db.make_days(old).await.unwrap();
    db.make_days(old).await.unwrap();
    let days = db.days(&db.read).await.unwrap();
    assert_eq!(days.len(), 16, "a week and a day, then and now");
    let store = SqlStore::new(db.clone());
    let ancient = now - Duration::days(90);
    let all = [
        work(ancient, "no day"),
        work(old, "goes"),
        work(old + Duration::days(1), "stays"),
        work(old + Duration::days(1), "goes too"),
        work(now, "new"),
    ];
    store.accept(&all).await.unwrap();
    let there = bodies(&db).await;
    let tables: Vec<&str> = there.iter().map(|(name, _)| name.as_str()).collect();
    let (first, second) = (name(old.date()).unwrap(), name(next(old.date())).unwrap());
    let today = name(now.date()).unwrap();
    assert_eq!(tables, ["body_default", &first, &second, &second, &today]);
    assert!(there.iter().all(|(_, how)| how.as_deref() == Some("lz4")), "{there:?}");
    for work in &all {
        assert_eq!(
            store.show(work.id).await.unwrap().unwrap().body,
            work.body,
            "{}",
            work.delivery_id
        );
    }
    // Their deliveries go, as retention does it; one of them still waits for something.
    for at in [0, 1, 3] {
        let text = format!("DELETE FROM delivery WHERE id = '{}'", all[at].id);
        db.write.execute_unprepared(&text).await.unwrap();
    }
    let before_ms = now.unix_timestamp() * 1_000 - 30 * DAY_MS;
    store.drop_days(before_ms).await.unwrap();
    let left: Vec<String> = bodies(&db).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        left,
        [second.clone(), today.clone()],
        "of the second day only what is needed"
    );
    let days = db.days(&db.read).await.unwrap();
    assert!(!days.contains(&old.date()) && days.contains(&next(old.date())));
    let text = format!("DELETE FROM delivery WHERE id = '{}'", all[2].id);
    db.write.execute_unprepared(&text).await.unwrap();
    store.purge(before_ms, 500).await.unwrap();
    assert_eq!(bodies(&db).await.len(), 1);
    assert_eq!(
        db.days(&db.read).await.unwrap().len(),
        8,
        "the retention of every minute does it"
    );
    assert_eq!(store.count(&Filter::default()).await.unwrap(), 1);
}
