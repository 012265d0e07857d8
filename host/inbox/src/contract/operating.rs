//! What operators and the host ask for.

use super::*;

pub(super) async fn cancels_in_every_state(subject: Subject) {
    let running = subject.add_in("a", "running").await;
    let run = subject.claim_one().await;
    let blocked = subject.add_in("a", "blocked").await;
    assert!(subject.store.cancel(running, "not needed").await.unwrap());
    assert_eq!(
        subject.end(run.fence, Next::Done(Outcome::done("late"))).await,
        Err(WriteError::Fenced)
    );
    assert_eq!(subject.store.heartbeat(&[run.fence], LEASE).await.unwrap(), [run.fence]);
    let shown = subject.store.show(running).await.unwrap().unwrap();
    assert_eq!(shown.summary.state, State::Cancelled);
    assert_eq!(shown.summary.reason.as_deref(), Some("not needed"));
    assert!(shown.summary.finished_at.is_some());
    let run = subject.claim_one().await;
    assert_eq!(run.fence.job, blocked, "the lane is free");
    subject.park(run.fence, wait("w", None, 0, MINUTE)).await;
    assert!(subject.store.cancel(blocked, "while it waits").await.unwrap());
    let held = NewWork {
        held: Some("paused".to_owned()),
        ..work("held")
    };
    let held = subject.accept(held).await.id();
    assert!(subject.store.cancel(held, "while it is held").await.unwrap());
    let done = subject.add("done").await;
    subject.done(subject.claim_one().await.fence).await;
    assert!(!subject.store.cancel(done, "too late").await.unwrap());
    assert!(!subject.store.cancel(held, "twice").await.unwrap());
    assert!(!subject.store.cancel(Uuid::now_v7(), "nobody").await.unwrap());
    subject.wait(MINUTE);
    assert_eq!(subject.claim().await, []);
    assert_eq!(subject.state(done).await, State::Done);
}

pub(super) async fn hold_and_unhold(subject: Subject) {
    let (a, b) = (subject.add("a").await, subject.add("b").await);
    let other = NewWork {
        plugin: "q".to_owned(),
        dedup: DedupKey::of("q", "webhook", "", "a"),
        ..work("a")
    };
    let other = subject.accept(other).await.id();
    let few = ClaimRequest { limit: 1, ..request() };
    let running = subject.store.claim(&few).await.unwrap();
    assert_eq!(running[0].fence.job, a);
    assert_eq!(subject.store.hold(PLUGIN, "paused: by the operator").await.unwrap(), 1);
    assert_eq!(subject.state(a).await, State::Running, "what runs goes on");
    let shown = subject.store.show(b).await.unwrap().unwrap();
    assert_eq!(shown.summary.state, State::Held);
    assert_eq!(shown.summary.reason.as_deref(), Some("paused: by the operator"));
    assert_eq!(subject.state(other).await, State::Pending);
    assert_eq!(subject.claim().await, []);
    assert_eq!(subject.store.hold(PLUGIN, "again").await.unwrap(), 0);
    assert_eq!(subject.store.unhold(PLUGIN).await.unwrap(), 1);
    assert_eq!(subject.store.unhold(PLUGIN).await.unwrap(), 0);
    let run = subject.claim_one().await;
    assert_eq!((run.fence.job, run.attempt, run.maybe_done), (b, 1, false));
}

pub(super) async fn lists_in_pages(subject: Subject) {
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(subject.add(&n.to_string()).await);
    }
    ids.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = subject.store.list(&Filter::default(), before, 3).await.unwrap();
        assert!(page.len() <= 3);
        before = page.last().map(|last| last.id);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|one| one.id));
    }
    assert_eq!(seen, ids, "newest first, each once");
}

pub(super) async fn filters(subject: Subject) {
    let old = subject.add("old").await;
    let since = subject.store.now_ms().await.unwrap() + 60_000;
    subject.wait(MINUTE);
    let (dead, done, new) = (
        subject.add("dead").await,
        subject.add("done").await,
        subject.add("new").await,
    );
    let runs = subject.claim().await;
    let fence = |id: Uuid| runs.iter().find(|run| run.fence.job == id).unwrap().fence;
    subject.dead(fence(dead)).await;
    subject.done(fence(done)).await;
    subject.park(fence(old), wait("w", None, 0, MINUTE)).await;
    let other = NewWork {
        plugin: "q".to_owned(),
        dedup: DedupKey::of("q", "webhook", "", "a"),
        ..work("a")
    };
    let other = subject.accept(other).await.id();
    let in_state = |state| Filter {
        state: Some(state),
        ..Filter::default()
    };
    let table: Vec<(Filter, Vec<Uuid>)> = vec![
        (Filter::default(), vec![other, new, done, dead, old]),
        (in_state(State::Dead), vec![dead]),
        (in_state(State::Done), vec![done]),
        (in_state(State::Running), vec![new]),
        (in_state(State::Waiting), vec![old]),
        (in_state(State::Pending), vec![other]),
        (in_state(State::Cancelled), vec![]),
        (in_state(State::Held), vec![]),
        (
            Filter {
                plugin: Some("q".to_owned()),
                ..Filter::default()
            },
            vec![other],
        ),
        (
            Filter {
                since_ms: Some(since),
                plugin: Some(PLUGIN.to_owned()),
                ..Filter::default()
            },
            vec![new, done, dead],
        ),
        (
            Filter {
                until_ms: Some(since),
                ..Filter::default()
            },
            vec![old],
        ),
        (only(&[done, old, Uuid::now_v7()]), vec![done, old]),
        (
            Filter {
                state: Some(State::Dead),
                ..only(&[dead, done])
            },
            vec![dead],
        ),
    ];
    for (filter, expected) in table {
        let found = subject.store.list(&filter, None, 50).await.unwrap();
        let ids: Vec<Uuid> = found.iter().map(|one| one.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
        let count = subject.store.count(&filter).await.unwrap();
        assert_eq!(count, expected.len() as u64, "{filter:?}");
    }
}

pub(super) async fn blocked_is_derived(subject: Subject) {
    let (first, second) = (subject.add_in("a", "1").await, subject.add_in("a", "2").await);
    let free = subject.add("free").await;
    let states = async || {
        let all = subject.store.list(&Filter::default(), None, 9).await.unwrap();
        let state = |id: Uuid| all.iter().find(|one| one.id == id).unwrap().state;
        (state(first), state(second), state(free))
    };
    assert_eq!(states().await, (State::Pending, State::Blocked, State::Pending));
    let blocked = Filter {
        state: Some(State::Blocked),
        ..Filter::default()
    };
    let found = subject.store.list(&blocked, None, 9).await.unwrap();
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [second]);
    assert_eq!(subject.store.count(&blocked).await.unwrap(), 1);
    let pending = Filter {
        state: Some(State::Pending),
        ..Filter::default()
    };
    assert_eq!(subject.store.count(&pending).await.unwrap(), 2);
    subject.claim().await;
    assert_eq!(states().await, (State::Running, State::Blocked, State::Running));
    subject.store.cancel(first, "enough").await.unwrap();
    assert_eq!(states().await.1, State::Pending);
}

pub(super) async fn retention(subject: Subject) {
    for n in 0..5 {
        let id = subject.add(&n.to_string()).await;
        let run = subject.claim_one().await;
        subject.step(run.fence, "one").await;
        subject.done(run.fence).await;
        assert_eq!(subject.state(id).await, State::Done);
        subject.wait(MINUTE);
    }
    let kept = subject.add("kept").await;
    subject.done(subject.claim_one().await.fence).await;
    let before = subject.store.show(kept).await.unwrap().unwrap().summary.received_at;
    assert_eq!(subject.store.purge(before, 3).await.unwrap(), 3, "in pieces");
    assert_eq!(subject.store.purge(before, 3).await.unwrap(), 2);
    assert_eq!(subject.store.purge(before, 3).await.unwrap(), 0);
    let left = subject.store.list(&Filter::default(), None, 9).await.unwrap();
    assert_eq!(left.iter().map(|one| one.id).collect::<Vec<_>>(), [kept]);
    assert!(
        matches!(subject.accept(work("0")).await, Stored::New(_)),
        "its key is forgotten too"
    );
    assert_eq!(subject.accept(work("kept")).await, Stored::Duplicate(kept));
    let replay = subject.replay(only(&[kept]), ReplayMode::Resume).await;
    subject.wait(MINUTE);
    assert!(subject.store.replay_get(replay.id).await.unwrap().is_some());
    subject.store.purge(before + 120_000, 9).await.unwrap();
    assert_eq!(
        subject.store.replay_get(replay.id).await.unwrap(),
        None,
        "so are replays"
    );
}

pub(super) async fn retention_keeps_what_lives(subject: Subject) {
    let pending = subject.add("pending").await;
    let few = ClaimRequest { limit: 1, ..request() };
    let runs = subject.store.claim(&few).await.unwrap();
    subject
        .park(runs[0].fence, wait("w", Some("t"), 0, 100_000 * MINUTE))
        .await;
    let running = subject.add("running").await;
    subject.claim_one().await;
    subject.wait(60_000 * MINUTE);
    let now = subject.store.now_ms().await.unwrap();
    assert_eq!(subject.store.purge(now, 100).await.unwrap(), 0);
    assert_eq!(subject.state(pending).await, State::Waiting);
    assert_eq!(subject.state(running).await, State::Running);
    assert_eq!(subject.accept(work("pending")).await, Stored::Duplicate(pending));
    subject.signal("t", "1").await;
    assert_eq!(subject.claim_one().await.fence.job, pending, "its topic is still there");
}

pub(super) async fn topics_never_count_backwards(subject: Subject) {
    let mut last = 0;
    for _ in 0..5 {
        let seq = subject.signal("t", "1").await;
        assert!(seq > last, "also within one millisecond");
        last = seq;
    }
    subject.add("a").await;
    let run = subject.claim_one().await;
    subject.wait(50_000 * MINUTE);
    let now = subject.store.now_ms().await.unwrap();
    subject.store.purge(now, 100).await.unwrap();
    // `last` is a cursor that a job has kept in a memo all the while.
    assert_eq!(
        subject.park(run.fence, wait("w", Some("t"), last, MINUTE)).await,
        Written::Ok
    );
    assert!(subject.signal("t", "2").await > last);
    assert_eq!(subject.claim_one().await.fence.job, run.fence.job);
}

pub(super) async fn host_values(subject: Subject) {
    let set = async |key: &str, value: Option<&'static str>| {
        let value = value.map(|value| Bytes::from_static(value.as_bytes()));
        subject.store.set_value(key, value).await.unwrap();
    };
    for (key, value) in [
        ("pause/ä/1", "a"),
        ("pause/ä/2", "b"),
        ("pause/z", "c"),
        ("other", "d"),
        ("pause%", "e"),
    ] {
        set(key, Some(value)).await;
    }
    set("pause/ä/2", Some("b2")).await;
    set("pause/z", None).await;
    set("never there", None).await;
    let found = subject.store.values("pause/ä/").await.unwrap();
    let found: Vec<(&str, &[u8])> = found
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_ref()))
        .collect();
    assert_eq!(found, [("pause/ä/1", b"a".as_slice()), ("pause/ä/2", b"b2")]);
    assert_eq!(
        subject.store.values("pause").await.unwrap().len(),
        3,
        "as text, not as a pattern"
    );
    assert_eq!(subject.store.values("x").await.unwrap(), []);
}

pub(super) async fn counts(subject: Subject) {
    assert_eq!(subject.store.counts().await.unwrap(), []);
    subject.add("a").await;
    subject.wait(MINUTE);
    subject.add("b").await;
    subject.add("c").await;
    let later = NewWork {
        delay_ms: 600_000,
        ..work("later")
    };
    subject.accept(later).await;
    let few = ClaimRequest { limit: 2, ..request() };
    let runs = subject.store.claim(&few).await.unwrap();
    subject.done(runs[0].fence).await;
    subject.wait(MINUTE);
    let mut counts = subject.store.counts().await.unwrap();
    counts.sort_by_key(|count| count.state);
    let shown: Vec<(State, u64)> = counts.iter().map(|count| (count.state, count.jobs)).collect();
    assert_eq!(shown, [(State::Pending, 2), (State::Running, 1)]);
    assert_eq!(counts[0].oldest_ms, 60_000);
    assert_eq!(counts[0].plugin, PLUGIN);
}
