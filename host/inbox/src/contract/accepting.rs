//! `accept`.

use super::*;
use jackfield_sdk::handler::DeathRecord;

pub(super) async fn stores_and_deduplicates(subject: Subject) {
    let first = work("a");
    let id = first.id;
    assert_eq!(subject.accept(first).await, Stored::New(id));
    assert_eq!(subject.accept(work("a")).await, Stored::Duplicate(id));
    let running = subject.claim_one().await;
    assert_eq!(subject.accept(work("a")).await, Stored::Duplicate(id), "while it runs");
    assert_eq!(
        subject.park(running.fence, wait("w", None, 0, MINUTE)).await,
        Written::Ok
    );
    assert_eq!(subject.accept(work("a")).await, Stored::Duplicate(id), "while it waits");
    subject.wait(MINUTE);
    subject.done(subject.claim_one().await.fence).await;
    assert_eq!(
        subject.accept(work("a")).await,
        Stored::Duplicate(id),
        "after it is done"
    );
    assert_eq!(subject.store.count(&Filter::default()).await.unwrap(), 1);
    let other_tenant = NewWork {
        dedup: DedupKey::of(PLUGIN, "webhook", "t", "a"),
        ..work("a")
    };
    assert!(matches!(subject.accept(other_tenant).await, Stored::New(_)));
}

pub(super) async fn same_id_twice_in_one_batch(subject: Subject) {
    let batch: Vec<NewWork> = ["b", "a", "b", "a", "c", "b"].into_iter().map(work).collect();
    let stored = subject.store.accept(&batch).await.unwrap();
    let fresh: Vec<bool> = stored.iter().map(|one| matches!(one, Stored::New(_))).collect();
    assert_eq!(fresh, [true, true, false, false, true, false]);
    assert_eq!(stored[2].id(), batch[0].id);
    assert_eq!(stored[3].id(), batch[1].id);
    let claimed = subject.claimed_ids().await;
    assert_eq!(
        claimed,
        [batch[0].id, batch[1].id, batch[4].id],
        "in the order of arrival"
    );
}

pub(super) async fn resending_what_is_dead_arms_it_once(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    subject.step(run.fence, "one").await;
    subject.dead(run.fence).await;
    let again = [work("a"), work("x"), work("a")];
    let stored = subject.store.accept(&again).await.unwrap();
    assert_eq!(stored[0], Stored::Rearmed(id));
    assert_eq!(stored[1], Stored::New(again[1].id));
    assert_eq!(stored[2], Stored::Duplicate(id));
    assert_eq!(subject.accept(work("a")).await, Stored::Duplicate(id));
    let claimed = subject.claim().await;
    assert_eq!(claimed.len(), 2);
    let run = claimed.iter().find(|one| one.fence.job == id).unwrap();
    assert_eq!(names(&run.memos), ["one"], "it goes on from the failed step");
    assert_eq!((run.attempt, run.failures, run.maybe_done), (2, 0, true));
    assert_eq!(run.first_failed_ms, None);
    // Cancelled work stays so: somebody meant it.
    subject.store.cancel(id, "enough").await.unwrap();
    assert_eq!(subject.accept(work("a")).await, Stored::Duplicate(id));
}

pub(super) async fn a_slot_that_died_is_not_armed_by_the_clock(subject: Subject) {
    let slot = || NewWork {
        kind: WorkKind::Schedule,
        ..work("slot")
    };
    let id = subject.accept(slot()).await.id();
    subject.dead(subject.claim_one().await.fence).await;
    assert_eq!(subject.accept(slot()).await, Stored::Duplicate(id));
    assert_eq!(subject.claim().await, []);
}

pub(super) async fn begins_as_it_is_stored(subject: Subject) {
    let begun = |work: &NewWork, stored: Stored| match stored {
        Stored::Begun(id, now) if id == work.id => Claimed::begun(work.clone(), now),
        other => panic!("not begun: {other:?}"),
    };
    let first = leased(work("a"));
    let stored = subject.accept(first.clone()).await;
    let run = begun(&first, stored);
    let shown = subject.store.show(first.id).await.unwrap().unwrap().summary;
    assert_eq!((shown.state, shown.attempts), (State::Running, 1));
    assert_eq!(shown.received_at, run.received_ms);
    assert_eq!(subject.claim().await, [], "it is claimed already");
    assert_eq!(
        subject.accept(leased(work("a"))).await,
        Stored::Duplicate(first.id),
        "what is there does not begin again"
    );
    subject.step(run.fence, "one").await;
    assert_eq!(subject.store.heartbeat(&[run.fence], LEASE).await.unwrap(), []);
    subject.wait(Duration::from_millis(LEASE + 1));
    assert_eq!(subject.store.reclaim().await.unwrap(), 1);
    let again = subject.claim_one().await;
    assert_eq!(
        (again.fence.token, again.attempt, again.maybe_done, names(&again.memos)),
        (2, 1, true, vec!["one"]),
        "as after any lost lease"
    );
    let stale = subject.end(run.fence, Next::Done(Outcome::done("late"))).await;
    assert_eq!(stale, Err(WriteError::Fenced));
    subject.done(again.fence).await;
    // The claim and the commit give the same.
    let second = leased(NewWork {
        tenant: "t".to_owned(),
        lane: Some("l".to_owned()),
        ..work("b")
    });
    let stored = subject.accept(second.clone()).await;
    let run = begun(&second, stored);
    assert_eq!(subject.end(run.fence, Next::Released).await, Ok(Written::Ok));
    let claimed = subject.claim_one().await;
    let like_it = Claimed {
        fence: claimed.fence,
        maybe_done: true,
        now_ms: claimed.now_ms,
        ..run
    };
    assert_eq!(claimed, like_it);
}

pub(super) async fn only_the_first_of_a_free_lane_begins(subject: Subject) {
    let batch = [
        leased(in_lane("l", "a")),
        leased(in_lane("l", "b")),
        in_lane("m", "c"),
        leased(in_lane("m", "d")),
        leased(work("e")),
        leased(work("f")),
    ];
    let stored = subject.store.accept(&batch).await.unwrap();
    let begun: Vec<bool> = stored.iter().map(|one| matches!(one, Stored::Begun(..))).collect();
    assert_eq!(begun, [true, false, false, false, true, true]);
    assert_eq!(
        subject.claimed_ids().await,
        [batch[2].id],
        "the lane of the others is taken"
    );
    let next = leased(in_lane("l", "g"));
    assert_eq!(subject.accept(next.clone()).await, Stored::New(next.id), "one runs");
    subject
        .done(Fence {
            job: batch[0].id,
            token: 1,
        })
        .await;
    let last = leased(in_lane("l", "h"));
    assert_eq!(
        subject.accept(last.clone()).await,
        Stored::New(last.id),
        "two are before it"
    );
    assert_eq!(subject.claimed_ids().await, [batch[1].id]);
    let other = leased(NewWork {
        plugin: "q".to_owned(),
        dedup: DedupKey::of("q", "webhook", "", "a"),
        ..in_lane("l", "a")
    });
    let stored = subject.accept(other).await;
    assert!(matches!(stored, Stored::Begun(..)), "another plugin's lane: {stored:?}");
}

pub(super) async fn what_waits_does_not_begin(subject: Subject) {
    let held = leased(NewWork {
        held: Some("paused".to_owned()),
        ..work("a")
    });
    let later = leased(NewWork {
        delay_ms: 1,
        ..work("b")
    });
    for waits in [held, later] {
        assert_eq!(subject.accept(waits.clone()).await, Stored::New(waits.id));
    }
    // One that failed and is to be tried again is in the way; one that is parked is not.
    subject.add_in("l", "c").await;
    let run = subject.claim_one().await;
    assert_eq!(subject.end(run.fence, retry(MINUTE)).await, Ok(Written::Ok));
    let behind = leased(in_lane("l", "d"));
    assert_eq!(subject.accept(behind.clone()).await, Stored::New(behind.id));
    subject.add_in("m", "e").await;
    let run = subject
        .claim()
        .await
        .into_iter()
        .find(|one| one.lane.as_deref() == Some("m"))
        .unwrap();
    assert_eq!(subject.park(run.fence, wait("w", None, 0, MINUTE)).await, Written::Ok);
    let beside = leased(in_lane("m", "f"));
    let stored = subject.accept(beside).await;
    assert!(matches!(stored, Stored::Begun(..)), "{stored:?}");
    // Dead work that is sent again waits for a claim, too.
    let id = subject.add("g").await;
    let run = subject
        .claim()
        .await
        .into_iter()
        .find(|one| one.fence.job == id)
        .unwrap();
    subject.dead(run.fence).await;
    assert_eq!(subject.accept(leased(work("g"))).await, Stored::Rearmed(id));
}

pub(super) async fn any_text_comes_back(subject: Subject) {
    let odd = "\0a\u{1}b\0\u{1}0ü'\"\\%_";
    let given = NewWork {
        handler: odd.to_owned(),
        tenant: format!("tenant {odd}"),
        delivery_id: odd.to_owned(),
        event: odd.to_owned(),
        lane: Some(odd.to_owned()),
        death: Some(DeathRecord {
            failure: Failure {
                message: odd.to_owned(),
                ..failure()
            },
            attempts: 1,
            job: Uuid::now_v7(),
        }),
        ..work(odd)
    };
    let id = subject.accept(given.clone()).await.id();
    let run = subject.claim_one().await;
    assert_eq!(
        (
            &run.handler,
            &run.tenant,
            &run.delivery_id,
            &run.event,
            &run.lane,
            &run.death
        ),
        (
            &given.handler,
            &given.tenant,
            &given.delivery_id,
            &given.event,
            &given.lane,
            &given.death
        )
    );
    assert_eq!(
        subject.add_in("\0a\u{1}b\0", "another lane").await,
        subject.claim_one().await.fence.job
    );
    subject.add_in(odd, "same lane").await;
    assert_eq!(subject.claim().await, []);
    subject.step(run.fence, odd).await;
    assert_eq!(
        subject.park(run.fence, wait("w\0", Some(odd), 0, MINUTE)).await,
        Written::Ok
    );
    let cursor = subject.signal(odd, "1").await;
    assert_eq!(subject.store.cursor(PLUGIN, odd).await.unwrap(), cursor);
    let run = subject
        .claim()
        .await
        .into_iter()
        .find(|one| one.fence.job == id)
        .unwrap();
    assert_eq!(names(&run.memos), [odd, "w\0"]);
    let broken = Failure {
        message: odd.to_owned(),
        ..failure()
    };
    let next = Next::Retry {
        failure: broken,
        delay_ms: 0,
    };
    subject.end(run.fence, next).await.unwrap();
    let run = subject.claim_one().await;
    subject.end(run.fence, Next::Done(Outcome::done(odd))).await.unwrap();
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(shown.summary.outcome.as_deref(), Some(odd));
    assert_eq!(shown.summary.last_error.as_deref(), Some(odd));
    assert_eq!(shown.summary.event, odd);
    assert_eq!(shown.outcome, Some(Outcome::done(odd)));
    assert_eq!(shown.attempts[0].error.as_deref(), Some(odd));
}

pub(super) async fn bodies_and_headers_come_back_byte_for_byte(subject: Subject) {
    let all: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let given = NewWork {
        headers: vec![
            ("b".to_owned(), Bytes::from_static(&[255, 0, 10])),
            ("a".to_owned(), Bytes::new()),
            ("b".to_owned(), Bytes::from_static(b"twice")),
        ],
        body: all.into(),
        ..work("a")
    };
    subject.accept(given.clone()).await;
    let run = subject.claim_one().await;
    assert_eq!((&run.headers, &run.body), (&given.headers, &given.body));
    assert_eq!(run.received_ms, run.now_ms);
    let shown = subject.store.show(given.id).await.unwrap().unwrap();
    assert_eq!((shown.headers, shown.body), (given.headers, given.body));
    assert_eq!(subject.store.show(Uuid::now_v7()).await.unwrap(), None);
}

pub(super) async fn an_empty_lane_is_none(subject: Subject) {
    subject.add_in("", "a").await;
    subject.add_in("", "b").await;
    let claimed = subject.claim().await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|one| one.lane.is_none()));
}

pub(super) async fn a_batch_is_all_or_nothing(subject: Subject) {
    let many: Vec<NewWork> = (0..300).map(|n| work(&n.to_string())).collect();
    let stored = subject.store.accept(&many).await.unwrap();
    let expected: Vec<Stored> = many.iter().map(|one| Stored::New(one.id)).collect();
    assert_eq!(stored, expected);
    assert_eq!(subject.store.accept(&[]).await.unwrap(), []);
    assert_eq!(subject.store.count(&Filter::default()).await.unwrap(), 300);
    assert_eq!(subject.claim().await.len(), 100);
}
