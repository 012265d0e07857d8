//! `write`: steps and ends.

use super::*;
use jackfield_sdk::handler::DeathRecord;

pub(super) async fn steps_are_kept(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    let failing = Memo {
        state: MemoState::Failing { count: 1 },
        ..memo(run.fence, "two")
    };
    subject
        .write(Write::Memo(run.fence, memo(run.fence, "one")))
        .await
        .unwrap();
    subject.write(Write::Memo(run.fence, failing)).await.unwrap();
    let two = Memo {
        state: MemoState::Refused { failure: failure() },
        attempt: 2,
        ..memo(run.fence, "two")
    };
    subject.write(Write::Memo(run.fence, two.clone())).await.unwrap();
    subject.end(run.fence, retry(Duration::ZERO)).await.unwrap();
    let run = subject.claim_one().await;
    assert_eq!(names(&run.memos), ["one", "two"], "a failing step is replaced");
    let kept = run.memos.iter().find(|memo| memo.name == "two").unwrap();
    assert_eq!(*kept, two);
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(shown.steps, run.memos);
}

pub(super) async fn a_stale_token_writes_nothing(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    let stale = Fence {
        token: run.fence.token - 1,
        ..run.fence
    };
    let unknown = Fence {
        job: Uuid::now_v7(),
        token: 1,
    };
    for fence in [stale, unknown] {
        let writes = [
            Write::Memo(fence, memo(fence, "one")),
            Write::Park(fence, wait("w", None, 0, MINUTE)),
            Write::End(fence, end(Next::Done(Outcome::done("ok")))),
            Write::End(fence, end(dead(Some(work("notice"))))),
            Write::End(fence, end(Next::Held("no".to_owned()))),
        ];
        let answers = subject.store.write(&writes).await.unwrap();
        assert!(answers.iter().all(|one| *one == Err(WriteError::Fenced)), "{answers:?}");
    }
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(
        (shown.summary.state, shown.steps.len(), shown.attempts.len()),
        (State::Running, 0, 0)
    );
    assert_eq!(subject.store.count(&Filter::default()).await.unwrap(), 1, "no notice");
    subject.done(run.fence).await;
    assert_eq!(
        subject.end(run.fence, Next::Released).await,
        Err(WriteError::Fenced),
        "an ended job belongs to nobody"
    );
    assert_eq!(subject.state(id).await, State::Done);
}

pub(super) async fn a_batch_of_writes(subject: Subject) {
    for n in 0..20 {
        subject.add_in(&format!("lane {}", n % 10), &n.to_string()).await;
    }
    let runs = subject.claim().await;
    assert_eq!(runs.len(), 10);
    let mut writes = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        writes.push(Write::Memo(run.fence, memo(run.fence, "one")));
        writes.push(Write::Memo(run.fence, memo(run.fence, "two")));
        let next = match at % 5 {
            0 => Next::Done(Outcome::done("ok").with(&serde_json::json!({"n": at})).unwrap()),
            1 => retry(MINUTE),
            2 => dead(None),
            3 => Next::Released,
            _ => Next::Done(Outcome::ignored("nothing")),
        };
        writes.push(Write::End(run.fence, end(next)));
    }
    let stale = Fence {
        token: 9,
        ..runs[0].fence
    };
    writes.push(Write::Memo(stale, memo(stale, "three")));
    writes.push(Write::Memo(runs[0].fence, memo(runs[0].fence, "after its end")));
    let answers = subject.store.write(&writes).await.unwrap();
    assert_eq!(answers[30..], [Err(WriteError::Fenced), Err(WriteError::Fenced)]);
    assert!(answers[..30].iter().all(|one| *one == Ok(Written::Ok)));
    let expected = [State::Done, State::Pending, State::Dead, State::Pending, State::Done];
    for (at, run) in runs.iter().enumerate() {
        let shown = subject.store.show(run.fence.job).await.unwrap().unwrap();
        assert_eq!(shown.summary.state, expected[at % 5], "{at}");
        assert_eq!(names(&shown.steps), ["one", "two"]);
    }
    let shown = subject.store.show(runs[0].fence.job).await.unwrap().unwrap();
    assert_eq!(shown.outcome.unwrap().detail, Some(serde_json::json!({"n": 0})));
    // Six lanes are free for their second job, two for the released first; two wait for their retry.
    assert_eq!(subject.claim().await.len(), 8);
    assert_eq!(subject.store.write(&[]).await.unwrap(), []);
}

pub(super) async fn retries_wait_and_count(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    let began = run.now_ms;
    subject.end(run.fence, retry(MINUTE)).await.unwrap();
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(shown.summary.state, State::Pending);
    assert_eq!(shown.summary.next_attempt_at, Some(began + 60_000));
    assert_eq!(shown.summary.last_error.as_deref(), Some("it broke"));
    subject.wait(Duration::from_millis(59_999));
    assert_eq!(subject.claim().await, []);
    subject.wait(Duration::from_millis(1));
    let run = subject.claim_one().await;
    assert_eq!((run.attempt, run.failures, run.maybe_done), (2, 1, true));
    assert_eq!(run.first_failed_ms, Some(began));
    subject.end(run.fence, retry(MINUTE)).await.unwrap();
    subject.wait(MINUTE);
    let run = subject.claim_one().await;
    assert_eq!((run.attempt, run.failures, run.first_failed_ms), (3, 2, Some(began)));
    let shown = subject.store.show(id).await.unwrap().unwrap();
    let numbers: Vec<(u32, bool)> = shown
        .attempts
        .iter()
        .map(|one| (one.number, one.error.is_some()))
        .collect();
    assert_eq!(numbers, [(1, true), (2, true)]);
    assert_eq!(shown.attempts[0].started_at, 5);
}

pub(super) async fn dead_with_its_notice(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    let record = DeathRecord {
        failure: failure(),
        attempts: 1,
        job: id,
    };
    let notice = NewWork {
        kind: WorkKind::Death,
        death: Some(record.clone()),
        ..work("notice")
    };
    let notice_id = notice.id;
    subject.end(run.fence, dead(Some(notice))).await.unwrap();
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(shown.summary.state, State::Dead);
    assert_eq!(shown.summary.reason.as_deref(), Some("it broke"));
    assert!(shown.summary.finished_at.is_some());
    let told = subject.claim_one().await;
    assert_eq!(
        (told.fence.job, told.kind, told.death),
        (notice_id, WorkKind::Death, Some(record))
    );
}

pub(super) async fn release_keeps_steps_and_is_no_attempt(subject: Subject) {
    let id = subject.add_in("a", "1").await;
    subject.add_in("a", "2").await;
    let run = subject.claim_one().await;
    subject.step(run.fence, "one").await;
    subject.end(run.fence, Next::Released).await.unwrap();
    let again = subject.claim_one().await;
    assert_eq!(again.fence.job, id, "at once, and before its successor");
    assert_eq!((again.attempt, again.failures, again.maybe_done), (1, 0, true));
    assert!(again.fence.token > run.fence.token);
    assert_eq!(names(&again.memos), ["one"]);
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!((shown.summary.attempts, shown.attempts.len()), (1, 0));
}

pub(super) async fn hold_keeps_steps_and_is_no_attempt(subject: Subject) {
    let id = subject.add_in("a", "1").await;
    let next = subject.add_in("a", "2").await;
    let run = subject.claim_one().await;
    subject.step(run.fence, "one").await;
    subject
        .end(run.fence, Next::Held("its handler is gone".to_owned()))
        .await
        .unwrap();
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!((shown.summary.state, shown.summary.attempts), (State::Held, 0));
    assert_eq!(shown.summary.reason.as_deref(), Some("its handler is gone"));
    assert_eq!(shown.attempts, []);
    assert_eq!(subject.claimed_ids().await, [next], "it is not in the way");
    assert_eq!(subject.store.unhold(PLUGIN).await.unwrap(), 1);
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(shown.summary.reason, None);
    let running = subject.store.list(&Filter::default(), None, 9).await.unwrap();
    let running = running.iter().find(|one| one.id == next).unwrap();
    assert_eq!(running.state, State::Running);
    subject.wait(Duration::from_secs(21));
    subject.store.reclaim().await.unwrap();
    let again = subject.claim_one().await;
    assert_eq!((again.fence.job, again.attempt), (id, 1));
    assert_eq!(names(&again.memos), ["one"]);
}

pub(super) async fn maybe_done_follows_how_runs_end(subject: Subject) {
    subject.add("a").await;
    let run = subject.claim_one().await;
    assert!(!run.maybe_done);
    subject.park(run.fence, wait("w1", None, 0, Duration::ZERO)).await;
    let run = subject.claim_one().await;
    assert!(!run.maybe_done, "parking is a clean end");
    subject.end(run.fence, retry(Duration::ZERO)).await.unwrap();
    let run = subject.claim_one().await;
    assert!(run.maybe_done);
    subject.park(run.fence, wait("w2", None, 0, Duration::ZERO)).await;
    let run = subject.claim_one().await;
    assert!(!run.maybe_done);
    subject.end(run.fence, Next::Released).await.unwrap();
    assert!(subject.claim_one().await.maybe_done);
}

pub(super) async fn done_tells_everything(subject: Subject) {
    let id = subject.add("a").await;
    let run = subject.claim_one().await;
    subject.wait(Duration::from_secs(3));
    let outcome = Outcome::ignored("nothing to do")
        .with(&serde_json::json!({"why": [1, "\u{0}"]}))
        .unwrap();
    subject.end(run.fence, Next::Done(outcome.clone())).await.unwrap();
    let shown = subject.store.show(id).await.unwrap().unwrap();
    assert_eq!(shown.outcome, Some(outcome));
    let summary = shown.summary;
    assert_eq!((summary.state, summary.attempts), (State::Done, 1));
    assert_eq!(summary.outcome.as_deref(), Some("nothing to do"));
    assert_eq!(summary.finished_at, Some(run.now_ms + 3_000));
    assert_eq!(
        (summary.next_attempt_at, summary.last_error, summary.reason),
        (None, None, None)
    );
    assert_eq!(shown.attempts[0].ended_at, run.now_ms + 3_000);
    assert_eq!(shown.attempts[0].error, None);
}

pub(super) async fn orphans_are_listed(subject: Subject) {
    for (name, next) in [
        ("a", Next::Done(Outcome::done("ok"))),
        ("b", retry(MINUTE)),
        ("c", dead(None)),
    ] {
        let id = subject.add(name).await;
        let run = subject.claim_one().await;
        let end = AttemptEnd {
            started_ms: 5,
            next,
            orphans: vec!["old step".to_owned(), "older".to_owned()],
        };
        subject.write(Write::End(run.fence, Box::new(end))).await.unwrap();
        let shown = subject.store.show(id).await.unwrap().unwrap();
        assert_eq!(shown.orphans, ["old step", "older"], "{name}");
    }
}

pub(super) async fn a_park_ends_the_retries(subject: Subject) {
    subject.add("a").await;
    subject
        .end(subject.claim_one().await.fence, retry(MINUTE))
        .await
        .unwrap();
    subject.wait(MINUTE);
    let run = subject.claim_one().await;
    assert_eq!(run.failures, 1);
    subject.park(run.fence, wait("w", None, 0, 60 * MINUTE)).await;
    subject.wait(60 * MINUTE);
    let run = subject.claim_one().await;
    assert_eq!(
        (run.failures, run.first_failed_ms),
        (0, None),
        "what fails now has its own window"
    );
}
